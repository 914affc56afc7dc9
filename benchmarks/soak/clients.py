"""The clients: one loop each, over connections of their own, as fast as the server answers.

They write HTTP/1.1 themselves, since a client library would take more of the machine than the
server under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

__all__ = ["Clients", "Observed", "tell"]

PATIENCE = 60.0
"""Seconds after which a request counts as hung."""

KEPT = 50_000
"""Latencies kept, the latest ones."""

WINDOW = 60.0

WORDS = ("explain", "sort", "table", "river", "engine", "invoice", "poem", "kernel", "violin")

KINDS: tuple[tuple[str, int], ...] = (
    ("chat", 38),
    ("stream", 24),
    ("embeddings", 8),
    ("completions", 6),
    ("gzip", 4),
    ("tight", 6),
    ("stranger", 4),
    ("missing", 3),
    ("unreadable", 2),
    ("leaves_stream", 3),
    ("leaves_body", 1),
    ("health", 1),
)
"""What is asked, and how often of 100."""

PATHS = {"embeddings": "/v1/embeddings", "completions": "/v1/completions", "health": "/health"}


class Observed:
    """What clients saw.

    Attributes:
        statuses: Answers by kind and status.
        late: Latencies in seconds while a fault lasted, the latest ones.
        quick: Those at other times.
        admitted: Moments at which accounts with a tight limit were answered 200.
        faulty: Whether a fault lasts now.
    """

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.late: deque[float] = deque(maxlen=KEPT)
        self.quick: deque[float] = deque(maxlen=KEPT)
        self.admitted: dict[str, list[float]] = {}
        self.faulty = False

    def add(self, kind: str, key: str, status: int, seconds: float) -> None:
        self.statuses[f"{kind} {status}"] += 1
        (self.late if self.faulty else self.quick).append(seconds)
        if kind == "tight" and status == 200:
            self.admitted.setdefault(key, []).append(time.monotonic())

    def most_in_a_minute(self) -> int:
        """Return the largest number of calls of one tight account that a minute admitted."""
        most = 0
        for moments in self.admitted.values():
            window: deque[float] = deque()
            for moment in moments:
                window.append(moment)
                while window[0] <= moment - WINDOW:
                    window.popleft()
                most = max(most, len(window))
        return most


class Clients:
    """So many clients at once.

    Args:
        port: The server's, on 127.0.0.1.
        count: Number of clients.
        accounts: Number of ordinary accounts, and of accounts with a tight limit.
        tight: How many of 100 requests are of accounts with a tight limit.
    """

    def __init__(self, port: int, count: int, accounts: tuple[int, int], tight: int) -> None:
        self.observed = Observed()
        self._kinds = _kinds(tight)
        self._port = port
        self._count = count
        self._accounts = accounts
        self._stopping = False

    async def run(self, until: Callable[[], bool]) -> None:
        """Ask until `until` returns True."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._count):
                tasks.create_task(self._client(random.Random(number), until))

    async def _client(self, draw: random.Random, until: Callable[[], bool]) -> None:
        kinds, weights = zip(*self._kinds, strict=True)
        connection: Connection | None = None
        while not until():
            kind = draw.choices(kinds, weights)[0]
            key = self._key(kind, draw)
            connection = connection or await _connected(self._port)
            began = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    status = await connection.ask(kind, key, draw)
            except TimeoutError:
                status = -1
            except (OSError, asyncio.IncompleteReadError, ValueError):
                status = -2
            self.observed.add(kind, key, status, time.monotonic() - began)
            if status <= 0 or connection.spent:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _key(self, kind: str, draw: random.Random) -> str:
        ordinary, tight = self._accounts
        if kind == "stranger":
            return f"made-up-{draw.randrange(10**9)}"
        if kind == "tight":
            return f"key-tight-{draw.randrange(tight)}"
        return f"key-{draw.randrange(ordinary)}"


def _kinds(tight: int) -> list[tuple[str, float]]:
    """Return `KINDS` with another share of requests of accounts with a tight limit."""
    others = 100 - dict(KINDS)["tight"]
    return [
        (kind, tight if kind == "tight" else weight * (100 - tight) / others)
        for kind, weight in KINDS
    ]


class Connection:
    """One connection; `spent` once it cannot be used again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.spent = False

    async def ask(self, kind: str, key: str, draw: random.Random) -> int:
        """Send a request; return the answer's status, or 0 if this client left."""
        body = _body(kind, draw)
        method = "GET" if kind == "health" else "POST"
        path = PATHS.get(kind, "/v1/chat/completions")
        headers = [
            f"{method} {path} HTTP/1.1",
            "host: soak",
            f"authorization: Bearer {key}",
            "content-type: application/json",
            f"content-length: {len(body)}",
        ]
        if kind == "gzip":
            headers.append("content-encoding: gzip")
        if kind == "leaves_body":
            body = body[: len(body) // 2]
        self._writer.write("\r\n".join([*headers, "", ""]).encode() + body)
        await self._writer.drain()
        if kind == "leaves_body":
            self.spent = True
            return 0
        return await self._answer(leaves=kind == "leaves_stream")

    def close(self) -> None:
        self._writer.transport.abort()

    async def _answer(self, *, leaves: bool) -> int:
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        if b"\r\nconnection: close" in head:
            self.spent = True
        if b"\r\ntransfer-encoding: chunked" not in head:
            length = head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]
            await self._reader.readexactly(int(length or b"0"))
            return status
        while size := int(await self._reader.readline(), 16):
            await self._reader.readexactly(size + 2)
            if leaves:
                self.spent = True
                return 0
        await self._reader.readline()
        return status


def _body(kind: str, draw: random.Random) -> bytes:
    if kind == "unreadable":
        return b'{"model": "m", "messages": ['
    if kind == "health":
        return b""
    text = " ".join(draw.choices(WORDS, k=draw.randrange(3, 60)))
    model = {"missing": "missing", "tight": "tight"}.get(kind, "model")
    request: dict[str, Any] = {"model": model}
    if kind == "embeddings":
        request["input"] = text
    elif kind == "completions":
        request["prompt"] = text
    else:
        request["messages"] = [{"role": "user", "content": text}]
    if kind in {"stream", "leaves_stream"}:
        request["stream"] = True
    body = json.dumps(request).encode()
    return gzip.compress(body, 1) if kind == "gzip" else body


async def _connected(port: int) -> Connection:
    while True:
        with contextlib.suppress(OSError):
            return Connection(*await asyncio.open_connection("127.0.0.1", port))
        await asyncio.sleep(0.05)


async def tell(port: int, path: str) -> dict[str, Any]:
    """Return what the server's control answers at a path."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    document: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document
