"""What the proxy adds to a call, beside a client that asks the server itself.

    python -m benchmarks.proxy [--rounds 5] [--calls 200] [--chunks 100]

Three processes: a model server that streams, the proxy, and this client. Rounds of both ways take
turns; the medians are printed, with the time to the first piece and of the whole stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from querybudget.asgi.types import Receive, Scope, Send
from tests.servers.process import Process, on_free_port

BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
POLICY = "{budgets: [{name: tokens, limit: 1B tokens/day}, {name: calls, limit: 1B/day}]}"


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream as many pieces as the environment says."""
    if scope["type"] != "http":
        return
    await receive()
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    piece = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
    for _ in range(int(os.environ["CHUNKS"])):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def measured(url: str, calls: int) -> tuple[float, float]:
    """Medians, in ms: to the first piece, and to the end."""
    firsts, wholes = [], []
    async with httpx.AsyncClient(base_url=url, headers={"authorization": "Bearer k"}) as client:
        for _ in range(calls):
            begin = time.perf_counter()
            async with client.stream("POST", "/v1/chat/completions", json=BODY) as answer:
                pieces = answer.aiter_raw()
                await anext(pieces)
                firsts.append(time.perf_counter() - begin)
                async for _piece in pieces:
                    pass
            wholes.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(firsts), 1e3 * statistics.median(wholes)


def started(command: list[str], ready: str, env: dict[str, str]) -> tuple[Process, str]:
    ports: list[int] = []

    def make(port: int) -> Process:
        ports[:] = [port]
        return Process([*command, "--port", str(port)], ready=ready, env=env)

    process = on_free_port(make, "in use")
    return process, f"http://127.0.0.1:{ports[0]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--chunks", type=int, default=100)
    arguments = parser.parse_args()
    env = {"CHUNKS": str(arguments.chunks)}
    uvicorn = [sys.executable, "-m", "uvicorn", "benchmarks.proxy:streaming", "--log-level", "info"]
    server, url = started([*uvicorn, "--no-access-log"], "Uvicorn running", env)
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder, "policy.yaml")
        policy.write_text(POLICY)
        command = [sys.executable, "-m", "querybudget", "proxy", "--upstream", url]
        proxy, through = started([*command, "--policy", str(policy)], "Uvicorn running", {})
        rows: dict[str, list[tuple[float, float]]] = {url: [], through: []}
        try:
            for _ in range(arguments.rounds):
                for where, found in rows.items():
                    found.append(asyncio.run(measured(where, arguments.calls)))
        except (httpx.HTTPError, subprocess.SubprocessError):
            print("\n".join(proxy.lines[-20:]))
            raise
        finally:
            proxy.kill_group()
            server.kill_group()
    names = {url: "direct", through: "proxy"}
    medians = {
        names[where]: [statistics.median(column) for column in zip(*found, strict=True)]
        for where, found in rows.items()
    }
    for name, (first, whole) in medians.items():
        print(f"{name:8} first piece {first:6.2f} ms, {arguments.chunks} pieces {whole:6.2f} ms")
    print(json.dumps(medians))


if __name__ == "__main__":
    main()
