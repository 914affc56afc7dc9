"""Calls an ASGI application without sockets, and measures its time.

An application is called as a server would call it, with a new scope, a `receive` that returns the
body, and a `send` that reads only the status. The cost of this is the same in every case, and
cancels out in the differences.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
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
    """One kind of request, sent by any caller.

    Attributes:
        method: Of HTTP.
        path: Asked for.
        body: Sent each time, or the most that is sent.
        label: What tables call it; the path without one.
        fresh: Makes the body of the n-th request, if each is to differ.
        callers: Who take turns at most; 0 for as many as the run has.
    """

    method: str
    path: str
    body: bytes = b""
    label: str = ""
    fresh: Callable[[int], bytes] | None = None
    callers: int = 0

    @property
    def title(self) -> str:
        return self.label or self.path

    def bodies(self, begin: int, count: int) -> list[bytes]:
        """The bodies of so many requests from the `begin`-th on."""
        if self.fresh is None:
            return [self.body] * count
        return [self.fresh(begin + index) for index in range(count)]

    def scope(self, caller: int, length: int) -> Scope:
        headers = [
            (b"host", b"bench.example"),
            (b"authorization", b"Bearer sk-%06d" % caller),
            (b"accept", b"*/*"),
        ]
        if self.body:
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", b"%d" % length))
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
        sent: Counts the requests, so that fresh bodies never repeat.
    """

    name: str
    app: ASGIApp
    request: Request
    in_flight: int
    sent: list[int] = field(default_factory=lambda: [0], compare=False)

    def bodies(self, count: int) -> list[bytes]:
        begin = self.sent[0]
        self.sent[0] += count
        return self.request.bodies(begin, count)


@dataclass(frozen=True)
class Sample:
    """One batch, µs per request: wall time, processor time of this thread, and of all threads."""

    wall: float
    cpu: float
    process: float


async def answer(app: ASGIApp, request: Request, caller: int, body: bytes | None = None) -> int:
    """Send one request, and return the status of the answer; 0 without one."""
    body = request.body if body is None else body
    messages = iter(({"type": "http.request", "body": body, "more_body": False},))
    status = 0

    async def receive() -> Message:
        for message in messages:
            return message
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await app(request.scope(caller, len(body)), receive, send)
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
            partial(_batch, s, callers=_turns(s, callers)),
            seconds=batch,
            callers=_turns(s, callers),
            in_flight=s.in_flight,
        )
        for s in subjects
    }
    return await rounds_of(
        {s.name: s for s in subjects},
        lambda name, subject: _batch(subject, counts[name], _turns(subject, callers)),
        rounds=rounds,
        tick=tick,
    )


def _turns(subject: Subject, callers: int) -> int:
    return min(callers, subject.request.callers or callers)


async def _batch(subject: Subject, count: int, callers: int) -> Sample:
    run = _sequential if subject.in_flight == 1 else _overlapping
    bodies = subject.bodies(count)
    process, wall, cpu = time.process_time_ns(), time.perf_counter_ns(), time.thread_time_ns()
    statuses = await run(subject, bodies, callers)
    cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
    process = time.process_time_ns() - process
    if statuses != {200}:
        message = f"{subject.name}: expected 200 of every request, found {sorted(statuses)}"
        raise AssertionError(message)
    return Sample(wall / count / 1000, cpu / count / 1000, process / count / 1000)


async def _sequential(subject: Subject, bodies: Sequence[bytes], callers: int) -> set[int]:
    app, request = subject.app, subject.request
    return {await answer(app, request, index % callers, body) for index, body in enumerate(bodies)}


async def _overlapping(subject: Subject, bodies: Sequence[bytes], callers: int) -> set[int]:
    """Run `in_flight` workers, each sending its next request after an answer."""
    app, request, numbered = subject.app, subject.request, enumerate(bodies)
    statuses = set[int]()

    async def worker() -> None:
        for index, body in numbered:
            statuses.add(await answer(app, request, index % callers, body))

    await asyncio.gather(*(worker() for _ in range(subject.in_flight)))
    return statuses
