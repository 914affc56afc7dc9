"""Vectors from another server: any OpenAI-compatible ``/v1/embeddings`` (TEI, vLLM, Ollama).

Texts of concurrent calls are sent together, in a few requests at a time. Nothing is retried: a call
whose prompt is not embedded in time goes on without buckets.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import numpy as np
from cachetools import TTLCache

from querybudget.breaker import CircuitBreaker
from querybudget.embedding.base import unit_vectors
from querybudget.embedding.static import sample
from querybudget.errors import EmbeddingError
from querybudget.redact import error_type, redact_url
from querybudget.units import SECOND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

_MAX_BATCH = 64
"""Texts in one request."""
_MAX_REQUESTS = 4
"""Concurrent requests."""
_MAX_QUEUE = 1_024
"""Texts that may wait to be sent."""
_MAX_CACHED = 4_096
_CACHE_TTL = 3_600 * SECOND
_FAILURES = 5
_REST = 10 * SECOND
_UNREADABLE = frozenset({400, 413, 422})
"""Statuses that reject a text. They do not mean that the server is down."""


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Item]


class _Job(msgspec.Struct, eq=False):
    """One text to embed, and the number of calls that wait for it."""

    key: bytes
    text: str
    vector: asyncio.Future[Vector]
    waiting: int = 0


class _LoopState(msgspec.Struct, eq=False):
    """The client, queue and tasks of one event loop."""

    loop: asyncio.AbstractEventLoop
    client: httpx.AsyncClient
    queue: deque[_Job] = msgspec.field(default_factory=deque[_Job])
    jobs: dict[bytes, _Job] = msgspec.field(default_factory=dict[bytes, _Job])
    tasks: set[asyncio.Task[None]] = msgspec.field(default_factory=set[asyncio.Task[None]])
    scheduled: bool = False


def _monotonic() -> int:
    return time.monotonic_ns() // 1_000


class RemoteEmbedder:
    """Requests vectors from a server: batched, bounded, cached, and behind a circuit breaker.

    Args:
        url: URL of the endpoint, as ``http://tei:8080/v1/embeddings``.
        model: Name of the model; empty if the server has only one.
        dimensions: Length of a vector.
        shorten: Whether to send ``dimensions``, which not every server understands.
        api_key: Sent as bearer token; empty for none.
        timeout: Seconds after which `embed` fails, including the time in the queue.
        clock: µs, monotonic; for the cache and the circuit breaker.
        transport: HTTP transport, for tests.

    Attributes:
        name: Name of the model, or the URL without credentials if it has no name.
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
        self.name = model or redact_url(url)
        self.dimensions = dimensions
        self._timeout = timeout
        self._transport = transport
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._parameters: dict[str, Any] = {"model": model, "encoding_format": "float"}
        if shorten:
            self._parameters["dimensions"] = dimensions
        self._key = secrets.token_bytes(32)
        self._cache: TTLCache[bytes, Vector] = TTLCache(_MAX_CACHED, _CACHE_TTL, timer=clock)
        self._breaker = CircuitBreaker(
            f"the embedding server of {self.name}", _FAILURES, _REST, clock
        )
        self._state: _LoopState | None = None

    async def embed(self, texts: Sequence[str], /) -> Vector:
        """Return one unit vector per text; zeros for a blank text.

        Raises:
            EmbeddingError: The server is late, down, overloaded, or its answer is invalid.
        """
        keys = [self._hash(text) if text.strip() else b"" for text in texts]
        vectors = {key: cached for key in keys if (cached := self._cache.get(key)) is not None}
        missing = {
            key: text for key, text in zip(keys, texts, strict=True) if key and key not in vectors
        }
        if missing:
            vectors.update(await self._request(missing))
        zero = np.zeros(self.dimensions, np.float32)
        rows = [vectors.get(key, zero) for key in keys]
        return np.stack(rows) if rows else np.zeros((0, self.dimensions), np.float32)

    async def aclose(self) -> None:
        """Cancel requests under way and close the connections."""
        state, self._state = self._state, None
        if state is None:
            return
        state.queue.clear()
        tasks = tuple(state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _fail(state.jobs.values(), f"{self.name} was closed")
        await state.client.aclose()

    async def _request(self, texts: dict[bytes, str]) -> dict[bytes, Vector]:
        """Wait for the vectors of these texts."""
        jobs = self._enqueue(self._loop_state(), texts)
        for job in jobs:
            job.waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                vectors = [job.vector for job in jobs]
                done, _ = await asyncio.wait(vectors, return_when=asyncio.FIRST_EXCEPTION)
            for vector in done:
                vector.result()  # raise the first failure while others are still under way
            return {job.key: job.vector.result() for job in jobs}
        except TimeoutError as error:
            raise EmbeddingError(f"{self.name} did not answer within {self._timeout} s") from error
        finally:
            for job in jobs:
                job.waiting -= 1

    def _loop_state(self) -> _LoopState:
        """Return the state of the running loop. That of a closed loop is garbage-collected."""
        loop = asyncio.get_running_loop()
        if self._state is None or self._state.loop is not loop:
            client = httpx.AsyncClient(
                headers=self._headers, timeout=self._timeout, transport=self._transport
            )
            self._state = _LoopState(loop, client)
        return self._state

    def _enqueue(self, state: _LoopState, texts: dict[bytes, str]) -> list[_Job]:
        """Return the jobs of these texts: new ones, and those already under way."""
        new = [key for key in texts if key not in state.jobs]
        if new and not self._breaker.would_allow:
            raise EmbeddingError(f"{self.name} is down and will be tried again later")
        if len(state.queue) + len(new) > _MAX_QUEUE:
            raise EmbeddingError(f"{self.name} already has {len(state.queue):,} prompts waiting")
        for key in new:
            job = state.jobs[key] = _Job(key, _sendable(texts[key]), state.loop.create_future())
            state.queue.append(job)
        if new and not state.scheduled:
            # At the end of this turn of the loop, so that concurrent calls share a request.
            state.scheduled = True
            state.loop.call_soon(self._flush, state)
        return [state.jobs[key] for key in texts]

    def _flush(self, state: _LoopState) -> None:
        """Start requests for what is queued, at most `_MAX_REQUESTS` at a time."""
        state.scheduled = False
        while len(state.tasks) < _MAX_REQUESTS and (batch := _next_batch(state)):
            if not self._breaker.allow_request():
                _remove(state, batch)
                _fail(batch, f"{self.name} is down and will be tried again later")
                continue
            task = state.loop.create_task(self._serve(state, batch))
            state.tasks.add(task)
            task.add_done_callback(partial(self._on_served, state))

    def _on_served(self, state: _LoopState, task: asyncio.Task[None]) -> None:
        state.tasks.discard(task)
        self._flush(state)

    async def _serve(self, state: _LoopState, batch: list[_Job]) -> None:
        try:
            vectors = await self._post(state.client, [job.text for job in batch])
        except EmbeddingError as error:
            _fail(batch, str(error))
        else:
            for job, vector in zip(batch, vectors, strict=True):
                self._cache[job.key] = vector
                job.vector.set_result(vector)
        finally:
            _fail(batch, f"{self.name} was closed")
            _remove(state, batch)

    async def _post(self, client: httpx.AsyncClient, texts: list[str]) -> Vector:
        """Send one request and report its result to the circuit breaker."""
        try:
            async with asyncio.timeout(self._timeout):
                response = await client.post(self._url, json={**self._parameters, "input": texts})
            vectors = self._read(response, len(texts))
        except Exception as error:
            # The text of a foreign error may contain the prompt.
            why = str(error) if isinstance(error, EmbeddingError) else error_type(error)
            if isinstance(error, _UnreadableError):
                self._breaker.record_success()
            else:
                self._breaker.record_failure(why)
            raise EmbeddingError(f"{self.name} failed: {why}") from error
        self._breaker.record_success()
        return vectors

    def _read(self, response: httpx.Response, count: int) -> Vector:
        if response.status_code in _UNREADABLE:
            raise _UnreadableError(f"status {response.status_code} for a prompt")
        if not response.is_success:
            raise EmbeddingError(f"status {response.status_code}")
        try:
            items = msgspec.json.decode(response.content, type=_Answer).data
        except msgspec.MsgspecError as error:
            raise EmbeddingError("an answer that is no list of embeddings") from error
        items.sort(key=lambda item: item.index)
        if [item.index for item in items] != list(range(count)):
            raise EmbeddingError(f"{len(items)} embeddings, not of the {count} texts asked")
        embeddings = [item.embedding for item in items]
        return unit_vectors(embeddings, count, self.dimensions, self.name)

    def _hash(self, text: str) -> bytes:
        content = text.encode("utf-8", "surrogatepass")
        return blake2b(content, digest_size=16, key=self._key).digest()


class _UnreadableError(EmbeddingError):
    """The server is healthy but rejects this text."""


def _sendable(text: str) -> str:
    """Return what is sent of a text: a sample of a long one, question marks for lone surrogates."""
    return sample(text).encode("utf-8", "replace").decode()


def _next_batch(state: _LoopState) -> list[_Job]:
    """Return the next jobs to send, dropping those that no call waits for any more."""
    batch: list[_Job] = []
    while state.queue and len(batch) < _MAX_BATCH:
        job = state.queue.popleft()
        if job.waiting:
            batch.append(job)
        else:
            state.jobs.pop(job.key, None)
            job.vector.cancel()
    return batch


def _remove(state: _LoopState, batch: Iterable[_Job]) -> None:
    for job in batch:
        state.jobs.pop(job.key, None)
        job.text = ""


def _fail(jobs: Iterable[_Job], why: str) -> None:
    for job in jobs:
        if not job.vector.done():
            job.vector.set_exception(EmbeddingError(why))
            job.vector.exception()  # retrieve the exception so that asyncio does not log it
