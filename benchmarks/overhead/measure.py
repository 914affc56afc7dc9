"""Calls an ASGI application without sockets, and measures its time.

An application is called as a server would call it, with a new scope, a `receive` that returns the
body, and a `send` that reads only the status. The cost of this is the same in every case, and
cancels out in the differences.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.rounds import calibrated
from benchmarks.rounds import interleaved as rounds_of

__all__ = ["Request", "Sample", "Subject", "answer", "interleaved"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """One kind of request, sent by any caller."""

    method: str
    path: str
    body: bytes = b""

    def scope(self, caller: int) -> Scope:
        headers = [
            (b"host", b"bench.example"),
            (b"authorization", b"Bearer sk-%06d" % caller),
            (b"accept", b"*/*"),
        ]
        if self.body:
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", b"%d" % len(self.body)))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("203.0.113.7", 40000),
            "server": ("bench.example", 80),
            "state": {},
        }


@dataclass(frozen=True)
class Subject:
    """An application to measure.

    Attributes:
        name: Unique name.
        app: The application.
        request: The request sent.
        in_flight: Number of concurrent requests.
    """

    name: str
    app: ASGIApp
    request: Request
    in_flight: int


@dataclass(frozen=True)
class Sample:
    """One batch: µs per request, of wall time and of this thread's processor time."""

    wall: float
    cpu: float


async def answer(app: ASGIApp, request: Request, caller: int) -> int:
    """Send one request, and return the status of the answer; 0 without one."""
    messages = iter(({"type": "http.request", "body": request.body, "more_body": False},))
    status = 0

    async def receive() -> Message:
        for message in messages:
            return message
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await app(request.scope(caller), receive, send)
    return status


async def interleaved(
    subjects: Sequence[Subject],
    *,
    rounds: int,
    batch: float,
    callers: int,
    tick: Callable[[], object],
) -> dict[str, list[Sample]]:
    """Measure every subject once per round, in random order, so that noise affects all alike.

    Args:
        subjects: The subjects to measure.
        rounds: Number of samples of each.
        batch: Target duration of one sample, seconds.
        callers: Number of callers that take turns.
        tick: Called after each batch.

    Returns:
        The samples of each subject by name; the n-th of all were taken in the same round.
    """
    counts = {
        s.name: await calibrated(
            partial(_batch, s, callers=callers),
            seconds=batch,
            callers=callers,
            in_flight=s.in_flight,
        )
        for s in subjects
    }
    return await rounds_of(
        {s.name: s for s in subjects},
        lambda name, subject: _batch(subject, counts[name], callers),
        rounds=rounds,
        tick=tick,
    )


async def _batch(subject: Subject, count: int, callers: int) -> Sample:
    run = _sequential if subject.in_flight == 1 else _overlapping
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    statuses = await run(subject, count, callers)
    cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
    if statuses != {200}:
        message = f"{subject.name}: expected 200 of every request, found {sorted(statuses)}"
        raise AssertionError(message)
    return Sample(wall / count / 1000, cpu / count / 1000)


async def _sequential(subject: Subject, count: int, callers: int) -> set[int]:
    app, request = subject.app, subject.request
    return {await answer(app, request, index % callers) for index in range(count)}


async def _overlapping(subject: Subject, count: int, callers: int) -> set[int]:
    """Run `in_flight` workers, each sending its next request after an answer."""
    app, request, numbers = subject.app, subject.request, iter(range(count))
    statuses = set[int]()

    async def worker() -> None:
        for index in numbers:
            statuses.add(await answer(app, request, index % callers))

    await asyncio.gather(*(worker() for _ in range(subject.in_flight)))
    return statuses
