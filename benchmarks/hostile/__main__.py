"""What the worst bodies cost: `python -m benchmarks.hostile --out result.json`.

Each body goes through the middleware with everything on: budgets in requests, tokens, money,
concurrency and buckets with a score, a store in memory, and an application that reads the body and
answers in a few bytes. The cost is processor time of all threads, less that of the same application
alone. It is given as a multiple of the time that `json.loads` takes over the same bytes in the same
round: over each line of a file of requests, or over one long text of that size where `json.loads`
gives up earlier. Forms are compared with python-multipart if it is installed, which Starlette reads
them by. It may be ten times that, or 50 ms for a body that parses within 5 ms. The event
loop's own part may be 50 ms.

Members of the JSON, times in ms, medians over rounds:

    environment   machine and versions
    size          bytes of each body, decompressed
    rows          a record for each body: body, bytes (as sent), size, parse_ms, cost_ms (of the
                  event loop's thread), all_ms (of all threads), times,
                  memory (peak bytes of Python's memory during the call, by the body's bytes)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import itertools
import json
import sys
import time
import tracemalloc
from collections.abc import Awaitable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.hostile.bodies import BODIES, CHAT, EDITS, FILES, compressed, content_type, names
from benchmarks.rounds import machine
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.types import ASGIApp, Message, Receive, Scope, Send

MIB = 1024 * 1024
PIECE = 64 * 1024
"""Bytes of a message, as servers receive them."""

GOAL_TIMES, GOAL_MS, SHORT_MS = 10, 50, 5

POLICY: dict[str, Any] = {
    "version": 1,
    "secret": "a benchmark keeps no secrets",
    "identity": ["api_key"],
    "models": {"*": {"input": 2.5, "output": 10}},
    "budgets": [
        {"name": "requests", "limit": "100M requests/day"},
        {"name": "tokens", "limit": "1B tokens/day"},
        {"name": "money", "limit": "$1M/month"},
        {"name": "open", "limit": "100 concurrent"},
        {"name": "coverage", "limit": "4000 buckets/day"},
    ],
}
_ANSWER = b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'


_CALLERS = itertools.count()


async def application(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer."""
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _ANSWER})


async def call(app: ASGIApp, path: str, body: bytes, *, encoding: bytes = b"") -> int:
    """Send one request of a caller of its own, and return its status."""
    pieces = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    messages.reverse()
    status = 0

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = [
        (b"authorization", b"Bearer sk-%d" % next(_CALLERS)),
        (b"content-type", content_type(path, body)),
    ]
    if encoding:
        headers.append((b"content-encoding", encoding))
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    return status


async def timed(work: Awaitable[object]) -> tuple[float, float]:
    """Return the ms that an awaitable takes of this thread, and of all threads."""
    begun, all_begun = time.thread_time_ns(), time.process_time_ns()
    await work
    return (time.thread_time_ns() - begun) / 1e6, (time.process_time_ns() - all_begun) / 1e6


def parse(path: str, body: bytes) -> float:
    """Return the ms that `json.loads` takes, or takes to give up; of a form, python-multipart."""
    if path == EDITS:
        return parse_form(body)
    begun = time.thread_time_ns()
    for document in body.splitlines() if path == FILES else (body,):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(document)
    return (time.thread_time_ns() - begun) / 1e6


def parse_form(body: bytes) -> float:
    """Return the ms that Starlette's parser of forms takes; none if it is not installed."""
    with contextlib.suppress(ImportError):
        multipart = importlib.import_module("python_multipart")
        begun = time.thread_time_ns()
        parts = body.startswith(b"--")
        parser = multipart.MultipartParser(b"x") if parts else multipart.QuerystringParser()
        with contextlib.suppress(multipart.exceptions.FormParserError):
            parser.write(body)
            parser.finalize()
        return (time.thread_time_ns() - begun) / 1e6
    return 0


async def row(app: ASGIApp, name: str, size: int, rounds: int, *, gzipped: bool) -> dict[str, Any]:
    path, body = BODIES[name](size)
    _, plain = BODIES["one long text"](len(body))
    encoding = b"gzip" if gzipped else b""
    parses, costs, totals = list[float](), list[float](), list[float]()
    await call(app, *BODIES["English, never sent before"](1_000))  # makes tables of words
    for _ in range(rounds):
        path, body = BODIES[name](size)  # a new one: what was analysed before is cached
        sent = compressed(body) if gzipped else body
        parses.append(max(parse(path, body), parse(CHAT, plain)))
        alone = await timed(call(application, path, sent, encoding=encoding))
        ours = await timed(call(app, path, sent, encoding=encoding))
        costs.append(ours[0] - alone[0])
        totals.append(ours[1] - alone[1])
    path, body = BODIES[name](size)
    sent = compressed(body) if gzipped else body
    tracemalloc.start()
    status = await call(app, path, sent, encoding=encoding)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parsing, cost, total = median(parses), median(costs), median(totals)
    return {
        "body": name + (", gzipped" if gzipped else ""),
        "status": status,
        "bytes": len(sent),
        "size": len(body),
        "parse_ms": round(parsing, 3),
        "cost_ms": round(cost, 3),
        "all_ms": round(total, 3),
        "times": round(total / parsing, 2),
        "memory": round(peak / len(body), 2),
        "within": cost <= GOAL_MS
        and total <= max(GOAL_TIMES * parsing, GOAL_MS if parsing <= SHORT_MS else 0),
    }


async def measured(size: int, rounds: int, wanted: list[str]) -> list[dict[str, Any]]:
    policy = {**POLICY, "body": {"limit": f"{size + 4096} B"}}
    app = QueryBudgetMiddleware(application, policy)
    rows = list[dict[str, Any]]()
    show(None)
    for name in names(wanted):
        for gzipped in (False, True) if name in GZIPPED else (False,):
            rows.append(await row(app, name, size, rounds, gzipped=gzipped))
            show(rows[-1])
    await app.limiter.aclose()
    return rows


GZIPPED = frozenset({"one long text", "small messages", "many members"})


FIGURES = (
    ("bytes", 9),
    ("parse_ms", 9),
    ("cost_ms", 9),
    ("all_ms", 9),
    ("times", 7),
    ("memory", 7),
)


def show(record: dict[str, Any] | None) -> None:
    if record is None:
        print(f"{'body':44}", *(f"{name:>{width}}" for name, width in FIGURES))
        return
    mark = "" if record["within"] else "  above the goal"
    figures = (f"{record[name]:>{width}}" for name, width in FIGURES)
    print(f"{record['body'][:44]:44}", *figures, mark, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.hostile", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    parser.add_argument("--mib", type=float, default=16, help="size of each body in MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("only", nargs="*", help="words of the names of the bodies to measure")
    arguments = parser.parse_args()
    size = int(arguments.mib * MIB)
    rows = asyncio.run(measured(size, arguments.rounds, arguments.only))
    if arguments.out:
        result = {"environment": machine("asyncio"), "size": size, "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if all(record["within"] for record in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
