"""Vectors from another server: any OpenAI-compatible ``/v1/embeddings`` (TEI, vLLM, Ollama).

What callers ask for at the same time goes out together, in a few requests at once. Nothing is tried
twice: a prompt that is not embedded in time goes on without buckets.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import numpy as np
from cachetools import TTLCache

from querybudget.breaker import CircuitBreaker
from querybudget.embedding.static import sample
from querybudget.embedding.vectors import units
from querybudget.errors import EmbeddingError
from querybudget.units import SECOND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

__all__ = ["RemoteEmbedder"]

_BATCH = 64
_AT_ONCE = 4
_QUEUE = 1_024
_CACHED = 4_096
_KEPT = 3_600 * SECOND
_FAILURES = 5
_REST = 10 * SECOND
_UNREADABLE = frozenset({400, 413, 422})
"""What a server answers to a text it does not take: no sign that it is down."""


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Item]


@dataclass(slots=True, eq=False)
class _Job:
    """One text that somebody waits for."""

    key: bytes
    text: str
    vector: asyncio.Future[Vector]
    waiting: int = 0


@dataclass(slots=True, eq=False)
class _Lane:
    """What belongs to one event loop."""

    loop: asyncio.AbstractEventLoop
    client: httpx.AsyncClient
    queue: deque[_Job] = field(default_factory=deque[_Job])
    jobs: dict[bytes, _Job] = field(default_factory=dict[bytes, _Job])
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    scheduled: bool = False


def _monotonic() -> int:
    return time.monotonic_ns() // 1_000


class RemoteEmbedder:
    """Asks a server for vectors; batched, bounded, cached, and left alone while it is down.

    Args:
        url: Of the endpoint, as ``http://tei:8080/v1/embeddings``.
        model: Asked for by this name; empty where the server has only one.
        dimensions: Length of a vector.
        shorten: Whether to ask the server for vectors of this length (``dimensions``), which not
            every one understands.
        api_key: Sent as bearer token; empty for none.
        timeout: Seconds from `embed` to its error, waiting for others included.
        clock: µs, monotonic: for the cache and the circuit breaker.
        transport: For tests: what to send requests through.
    """

    suspends = True

    def __init__(
        self,
        url: str,
        *,
        model: str = "",
        dimensions: int,
        shorten: bool = False,
        api_key: str = "",
        timeout: float = 0.5,
        clock: Callable[[], int] = _monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._name = model or url
        self._dimensions = dimensions
        self._timeout = timeout
        self._transport = transport
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._asked: dict[str, Any] = {"model": model, "encoding_format": "float"}
        if shorten:
            self._asked["dimensions"] = dimensions
        self._key = secrets.token_bytes(32)
        self._cache: TTLCache[bytes, Vector] = TTLCache(_CACHED, _KEPT, timer=clock)
        self._breaker = CircuitBreaker(
            f"the embedding server of {self._name}", _FAILURES, _REST, clock
        )
        self._lane: _Lane | None = None

    @property
    def name(self) -> str:
        """The model's name, or the URL where it has none."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    async def embed(self, texts: Sequence[str], /) -> Vector:
        """One unit vector for each text; zeros for a text without a character to see.

        Raises:
            EmbeddingError: The server is late, down, busy, or answers something else.
        """
        keys = [self._hash(text) if text.strip() else b"" for text in texts]
        found = {key: kept for key in keys if (kept := self._cache.get(key)) is not None}
        asked = {
            key: text for key, text in zip(keys, texts, strict=True) if key and key not in found
        }
        if asked:
            found.update(await self._get(asked))
        nothing = np.zeros(self._dimensions, np.float32)
        rows = [found.get(key, nothing) for key in keys]
        return np.stack(rows) if rows else np.zeros((0, self._dimensions), np.float32)

    async def aclose(self) -> None:
        """Give up what is under way, and close the connections."""
        lane, self._lane = self._lane, None
        if lane is None:
            return
        lane.queue.clear()
        tasks = tuple(lane.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _fail(lane.jobs.values(), f"{self._name} was closed")
        await lane.client.aclose()

    async def _get(self, texts: dict[bytes, str]) -> dict[bytes, Vector]:
        lane = self._here()
        jobs = self._queued(lane, texts)
        for job in jobs:
            job.waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                vectors = [job.vector for job in jobs]
                done, _ = await asyncio.wait(vectors, return_when=asyncio.FIRST_EXCEPTION)
            for vector in done:
                vector.result()  # one that failed is heard of while others are still under way
            return {job.key: job.vector.result() for job in jobs}
        except TimeoutError as error:
            raise EmbeddingError(f"{self._name} is late by {self._timeout} s") from error
        finally:
            for job in jobs:
                job.waiting -= 1

    def _here(self) -> _Lane:
        """The lane of the running loop. One of a loop that has ended is left to be collected."""
        loop = asyncio.get_running_loop()
        if self._lane is None or self._lane.loop is not loop:
            client = httpx.AsyncClient(
                headers=self._headers, timeout=self._timeout, transport=self._transport
            )
            self._lane = _Lane(loop, client)
        return self._lane

    def _queued(self, lane: _Lane, texts: dict[bytes, str]) -> list[_Job]:
        """The jobs of these texts: those under way already, and new ones."""
        new = [key for key in texts if key not in lane.jobs]
        if new and not self._breaker.would_allow:
            raise EmbeddingError(f"{self._name} is down and left alone for a while")
        if len(lane.queue) + len(new) > _QUEUE:
            raise EmbeddingError(f"{self._name} has {len(lane.queue):,} prompts to embed already")
        for key in new:
            job = lane.jobs[key] = _Job(key, _sendable(texts[key]), lane.loop.create_future())
            lane.queue.append(job)
        if new and not lane.scheduled:
            # At the end of this turn of the loop, so that callers of one turn share a request.
            lane.scheduled = True
            lane.loop.call_soon(self._flush, lane)
        return [lane.jobs[key] for key in texts]

    def _flush(self, lane: _Lane) -> None:
        lane.scheduled = False
        while len(lane.tasks) < _AT_ONCE and (batch := _next_batch(lane)):
            if not self._breaker.allow_request():
                _settle(lane, batch)
                _fail(batch, f"{self._name} is down and left alone for a while")
                continue
            task = lane.loop.create_task(self._serve(lane, batch))
            lane.tasks.add(task)
            task.add_done_callback(partial(self._served, lane))

    def _served(self, lane: _Lane, task: asyncio.Task[None]) -> None:
        lane.tasks.discard(task)
        self._flush(lane)

    async def _serve(self, lane: _Lane, batch: list[_Job]) -> None:
        try:
            vectors = await self._ask(lane.client, [job.text for job in batch])
        except EmbeddingError as error:
            _fail(batch, str(error))
        else:
            for job, vector in zip(batch, vectors, strict=True):
                self._cache[job.key] = vector
                job.vector.set_result(vector)
        finally:
            _fail(batch, f"{self._name} was closed")
            _settle(lane, batch)

    async def _ask(self, client: httpx.AsyncClient, texts: list[str]) -> Vector:
        """One request, of which the breaker hears the end."""
        try:
            async with asyncio.timeout(self._timeout):
                response = await client.post(self._url, json={**self._asked, "input": texts})
            vectors = self._read(response, len(texts))
        except Exception as error:
            # The words of any error but our own may hold the text.
            why = str(error) if isinstance(error, EmbeddingError) else type(error).__name__
            if isinstance(error, _UnreadableError):
                self._breaker.record_success()
            else:
                self._breaker.record_failure(why)
            raise EmbeddingError(f"{self._name} fails: {why}") from error
        self._breaker.record_success()
        return vectors

    def _read(self, response: httpx.Response, count: int) -> Vector:
        if response.status_code in _UNREADABLE:
            raise _UnreadableError(f"status {response.status_code} to a prompt")
        if not response.is_success:
            raise EmbeddingError(f"status {response.status_code}")
        try:
            items = msgspec.json.decode(response.content, type=_Answer).data
        except msgspec.MsgspecError as error:
            raise EmbeddingError("an answer that is no list of embeddings") from error
        items.sort(key=lambda item: item.index)
        if [item.index for item in items] != list(range(count)):
            raise EmbeddingError(f"{len(items)} embeddings, not of the {count} texts asked")
        return units([item.embedding for item in items], count, self._dimensions, self._name)

    def _hash(self, text: str) -> bytes:
        content = text.encode("utf-8", "surrogatepass")
        return blake2b(content, digest_size=16, key=self._key).digest()


class _UnreadableError(EmbeddingError):
    """The server is well, and does not take this text."""


def _sendable(text: str) -> str:
    """What of a text is sent: a sample of a long one, and question marks for lone surrogates."""
    return sample(text).encode("utf-8", "replace").decode()


def _next_batch(lane: _Lane) -> list[_Job]:
    """The next texts to send. What nobody waits for any more is dropped on the way."""
    batch: list[_Job] = []
    while lane.queue and len(batch) < _BATCH:
        job = lane.queue.popleft()
        if job.waiting:
            batch.append(job)
        else:
            lane.jobs.pop(job.key, None)
            job.vector.cancel()
    return batch


def _settle(lane: _Lane, batch: Iterable[_Job]) -> None:
    for job in batch:
        lane.jobs.pop(job.key, None)
        job.text = ""


def _fail(jobs: Iterable[_Job], why: str) -> None:
    for job in jobs:
        if not job.vector.done():
            job.vector.set_exception(EmbeddingError(why))
            job.vector.exception()  # seen, so that nobody is told of one that nobody waits for
