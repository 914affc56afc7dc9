"""What the worst bodies cost: `python -m benchmarks.hostile --out result.json`.

Each body goes through the middleware with everything on: budgets in requests, tokens, money,
concurrency and buckets with a score, a store in memory, and an application that reads the body and
answers in a few bytes. The cost is processor time of all threads, less that of the same application
alone. It is given as a multiple of the time that `json.loads` takes over the same bytes in the same
round: over each line of a file of requests, or over one long text of that size where `json.loads`
gives up earlier. Forms are compared with python-multipart if it is installed, which Starlette reads
them by. The event loop's own part may be ten times that, and 50 ms; or 50 ms for a body that parses
within 5 ms. What is done in threads is measured beside it, and how late other work on the event
loop becomes meanwhile, which threads delay by holding the interpreter's lock.

Members of the JSON, times in ms, medians over rounds:

    environment   machine and versions
    size          bytes of each body, decompressed
    rows          a record for each body: body, bytes (as sent), size, parse_ms, loop_ms (of the
                  event loop's thread), times (that by parse_ms), late_ms (the longest, by the
                  clock, of work that is due each millisecond), all_ms (of all threads),
                  all_times, memory (peak bytes of Python's memory during the call, by the body's
                  bytes), within (whether the event loop's part is), all_within (whether all is)
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

GOAL_TIMES, GOAL_MS, SHORT_MS, TICK_MS = 10, 50, 5, 1

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


async def latest(work: Awaitable[object]) -> float:
    """Return by how many ms at most other work is late that is due each ms while some is done."""
    late = 0.0

    async def tick() -> None:
        nonlocal late
        while True:
            begun = time.perf_counter_ns()
            await asyncio.sleep(TICK_MS / 1e3)
            late = max(late, (time.perf_counter_ns() - begun) / 1e6 - TICK_MS)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await work
    await asyncio.sleep(0)
    ticking.cancel()
    return late


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
    parses, costs, totals, lates = list[float](), list[float](), list[float](), list[float]()
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
        lates.append(await latest(call(app, path, sent, encoding=encoding)))
    path, body = BODIES[name](size)
    sent = compressed(body) if gzipped else body
    tracemalloc.start()
    status = await call(app, path, sent, encoding=encoding)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parsing, cost, total = median(parses), median(costs), median(totals)
    allowed = GOAL_MS if parsing <= SHORT_MS else GOAL_TIMES * parsing
    return {
        "body": name + (", gzipped" if gzipped else ""),
        "status": status,
        "bytes": len(sent),
        "size": len(body),
        "parse_ms": round(parsing, 3),
        "loop_ms": round(cost, 3),
        "times": round(cost / parsing, 2),
        "late_ms": round(median(lates), 3),
        "all_ms": round(total, 3),
        "all_times": round(total / parsing, 2),
        "memory": round(peak / len(body), 2),
        "within": cost <= min(GOAL_MS, allowed),
        "all_within": total <= allowed,
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
    ("loop_ms", 9),
    ("times", 7),
    ("late_ms", 9),
    ("all_ms", 9),
    ("all_times", 9),
    ("memory", 7),
)


def show(record: dict[str, Any] | None) -> None:
    if record is None:
        print(f"{'body':44}", *(f"{name:>{width}}" for name, width in FIGURES))
        return
    threads = "" if record["all_within"] else "  above it in threads"
    mark = threads if record["within"] else "  above the goal"
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
