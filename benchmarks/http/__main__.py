"""Measure over HTTP: `python -m benchmarks.http --out result.json [--quick]`.

uvicorn with one worker serves the application of `benchmarks.overhead`, with each limiter and
without one. The load comes from another process: wrk if it is installed, otherwise a client of
ours. All servers are up at once, and are asked in turn, in rounds of random order; a figure is the
median over rounds, and `ratio` that of requests a second to the bare application of the same
round. The gateway alternative, LiteLLM's proxy, forwards to the bare application; it is measured if
`--litellm` or the variable LITELLM names its program, or it is on PATH.

Members of the JSON:

    environment     machine, versions, event loop
    method          rounds, seconds a load, connections, and what made the load
    not_measured    what is not installed
    servers         case, path, per_second, p50_ms and p99_ms (spreads), ratio, errors
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from benchmarks.http.load import Load, load, tool
from benchmarks.overhead.cases import BARE, CHAT, PLAIN
from benchmarks.overhead.frameworks import BARE_FASTAPI, BARE_LITESTAR, OPTIONAL, missing
from benchmarks.overhead.measure import Request
from benchmarks.overhead.report import environment
from benchmarks.overhead.rivals import RIVALS
from benchmarks.rounds import Progress, event_loop, spread
from tests.servers.process import Process, ServerError, on_free_port

LITELLM = "LiteLLM proxy"
SLOW = 4.0
"""Seconds of a load on the gateway: 64 calls at once may take it more than one."""

READY = "Uvicorn running"
PATIENCE = 60.0
"""Seconds that the gateway may take from its word to its port."""

GATEWAY = """
model_list:
  - model_name: bench-1
    litellm_params: {{model: openai/bench-1, api_base: "{url}/v1", api_key: none}}
"""


@dataclass
class Server:
    """One server under load.

    Attributes:
        case: The middleware around the application.
        request: What it is asked.
        base: The case that it is compared with.
        url: Of the server.
        loads: One of each round.
    """

    case: str
    request: Request
    base: str = BARE
    url: str = ""
    loads: list[Load] = field(default_factory=list[Load])


def wanted(absent: Sequence[str]) -> list[Server]:
    """Every server that can be measured here; bases first."""
    found = [Server(BARE, PLAIN), Server(BARE, CHAT), Server("BaseHTTPMiddleware", PLAIN)]
    for name, base in ((BARE_FASTAPI, "fastapi-limiter"), (BARE_LITESTAR, "litestar")):
        if not any(one.startswith(base) for one in absent):
            found.append(Server(name, PLAIN, name))
    found += [Server(name, PLAIN) for name in RIVALS]
    for name, (_, _, base) in OPTIONAL.items():
        if name not in absent:
            found.append(Server(name, PLAIN, base or BARE))
    found += [Server("querybudget, 1 budget", PLAIN), Server("querybudget, 1 budget", CHAT)]
    return [*found, Server("querybudget, 4 budgets", CHAT)]


@contextmanager
def served(server: Server) -> Iterator[Process]:
    env = {"LIMITER": server.case, "BEHIND": server.request.path}
    words = [sys.executable, "-m", "uvicorn", "benchmarks.http.app:app", "--no-access-log"]
    with _running(server, words, env, READY) as process:
        yield process


@contextmanager
def gateway(server: Server, program: str, upstream: str, folder: Path) -> Iterator[Process]:
    """LiteLLM's proxy before the bare application, with nothing but one model configured."""
    config = folder / "litellm.yaml"
    config.write_text(GATEWAY.format(url=upstream))
    words = [program, "--config", str(config), "--host", "127.0.0.1"]
    env = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        # It checks no keys here, as the application behind the others does not.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    with _running(server, words, env, "Set models") as process:
        _listening(server.url)
        yield process


def _listening(url: str) -> None:
    """Wait for a server that says it is ready before it is."""
    at, until = urlsplit(url), time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            socket.create_connection((at.hostname, at.port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise ServerError(f"{url}: expected it to listen within {PATIENCE:.0f} s")


@contextmanager
def _running(
    server: Server, words: list[str], env: dict[str, str], ready: str
) -> Iterator[Process]:
    ports = list[int]()

    def make(port: int) -> Process:
        ports[:] = [port]
        return Process([*words, "--port", str(port)], ready=ready, env=env)

    process = on_free_port(make, "in use")
    server.url = f"http://127.0.0.1:{ports[0]}"
    try:
        yield process
    finally:
        process.kill_group()


def measured(
    program: str | None, *, rounds: int, seconds: float, connections: int
) -> dict[str, Any]:
    absent = missing()
    servers = wanted(absent)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for server in servers:
            stack.enter_context(served(server))
        if program:
            upstream = next(s.url for s in servers if s.case == BARE and s.request is CHAT)
            proxy = Server(LITELLM, CHAT)
            try:
                stack.enter_context(gateway(proxy, program, upstream, folder))
            except ServerError as error:
                print(f"{LITELLM} is not measured: {error}", file=sys.stderr)
            else:
                servers.append(proxy)
        _rounds(servers, rounds, seconds, connections, folder)
    method = {"rounds": rounds, "seconds": seconds, "connections": connections, "load": tool()}
    left = absent if servers[-1].case == LITELLM else [*absent, LITELLM]
    return {
        "method": method,
        "not_measured": left,
        "servers": [record(server, servers) for server in servers],
    }


def _rounds(
    servers: Sequence[Server], rounds: int, seconds: float, connections: int, folder: Path
) -> None:
    order, shuffled = list(servers), random.Random(1)
    tick = Progress("over HTTP", (rounds + 1) * len(servers))
    for at in range(rounds + 1):
        shuffled.shuffle(order)
        for server in order:
            request = server.request
            found = load(
                server.url + request.path,
                request.body,
                seconds=max(seconds if at else 1, SLOW if server.case == LITELLM else 0),
                connections=connections,
                folder=folder,
            )
            if at:  # the first round warms them
                server.loads.append(found)
            tick()


def record(server: Server, servers: Sequence[Server]) -> dict[str, Any]:
    """The figures of a server, beside its base in the same round."""
    base = next(s for s in servers if s.case == server.base and s.request is server.request)
    pairs = zip(server.loads, base.loads, strict=True)
    return {
        "case": server.case,
        "path": server.request.path,
        "base": server.base,
        "per_second": spread([one.per_second for one in server.loads]),
        "p50_ms": spread([one.p50_ms for one in server.loads]),
        "p99_ms": spread([one.p99_ms for one in server.loads]),
        "ratio": round(median(a.per_second / b.per_second for a, b in pairs), 3),
        "errors": sum(one.errors for one in server.loads),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.http", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="where the JSON is written")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    parser.add_argument("--litellm", help="LiteLLM's proxy, if it is not on PATH")
    given = parser.parse_args(arguments)
    program = given.litellm or os.environ.get("LITELLM") or shutil.which("litellm")
    rounds, seconds = (2, 1.0) if given.quick else (4, 2.0)
    figures = measured(program, rounds=rounds, seconds=seconds, connections=64)
    _, loop = event_loop()
    result = {"environment": environment(loop), **figures}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    for one in result["servers"]:
        rate, p50, p99 = (one[name]["median"] for name in ("per_second", "p50_ms", "p99_ms"))
        print(f"{one['case']:36} {one['path']:22} {rate:8.0f}/s {p50:8.2f} {p99:8.2f} ms")
    print(f"written to {given.out}")


if __name__ == "__main__":
    main()
