from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable

import httpx
import numpy as np
import pytest

from querybudget.embedding import open_embedder
from querybudget.embedding.remote import RemoteEmbedder
from querybudget.errors import EmbeddingError
from querybudget.policy.model import Embedding
from querybudget.testing.clock import ManualClock

URL = "http://embeddings.test/v1/embeddings"
SECRET = "what may not be in a log"


def vector(text: str) -> list[float]:
    return [float(len(text)), 1.0, 0.0]


class Server:
    """A fake embedding server that records its requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.status = 200
        self.answer: Callable[[list[str]], bytes] = embeddings
        self.raises: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def texts(self) -> list[list[str]]:
        return [json.loads(request.content)["input"] for request in self.requests]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await self.gate.wait()
        if self.raises is not None:
            raise self.raises
        return httpx.Response(
            self.status, content=self.answer(json.loads(request.content)["input"])
        )


def embeddings(texts: list[str]) -> bytes:
    data = [
        {"object": "embedding", "index": n, "embedding": vector(t)} for n, t in enumerate(texts)
    ]
    data.reverse()  # the order is said by the index alone
    return json.dumps({"object": "list", "data": data, "usage": {"total_tokens": 3}}).encode()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def embedder(server: Server, clock: ManualClock) -> AsyncIterator[RemoteEmbedder]:
    made = opened(server, clock)
    yield made
    await made.aclose()


def opened(server: Server, clock: ManualClock, timeout: float = 30) -> RemoteEmbedder:
    return RemoteEmbedder(
        URL,
        model="bge-m3",
        dimensions=3,
        api_key="sk-hidden",
        timeout=timeout,
        clock=clock,
        transport=httpx.MockTransport(server),
    )


async def turns(count: int = 10) -> None:
    """Run the loop until everything waits for an answer."""
    for _ in range(count):
        await asyncio.sleep(0)


async def failures(embedder: RemoteEmbedder, count: int) -> None:
    for n in range(count):
        with pytest.raises(EmbeddingError):
            await embedder.embed([f"fails {n}"])


# -- What goes out and comes back -------------------------------------------------------------


async def test_vectors_come_back_in_the_order_of_their_texts(
    embedder: RemoteEmbedder, server: Server
) -> None:
    vectors = await embedder.embed(["a", "four", "sixsix"])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[:, 0] / vectors[:, 1], [1, 4, 6], atol=1e-4)
    assert (embedder.name, embedder.dimensions, embedder.suspends) == ("bge-m3", 3, True)


async def test_the_request_is_that_of_openai(embedder: RemoteEmbedder, server: Server) -> None:
    await embedder.embed(["hello"])
    request = server.requests[0]
    assert str(request.url) == URL
    assert request.headers["authorization"] == "Bearer sk-hidden"
    assert json.loads(request.content) == {
        "model": "bge-m3",
        "input": ["hello"],
        "encoding_format": "float",
    }


async def test_a_password_in_the_url_is_no_part_of_the_name() -> None:
    embedder = RemoteEmbedder("http://me:open@tei:8080/v1/embeddings?key=open", dimensions=3)
    assert embedder.name == "http://tei:8080/v1/embeddings"
    await embedder.aclose()


async def test_dimensions_are_sent_only_if_the_policy_sets_them(server: Server) -> None:
    short = RemoteEmbedder(
        URL, dimensions=3, shorten=True, transport=httpx.MockTransport(server), timeout=30
    )
    await short.embed(["hello"])
    assert json.loads(server.requests[0].content)["dimensions"] == 3
    assert "authorization" not in server.requests[0].headers
    assert short.name == URL
    await short.aclose()


async def test_blank_texts_are_zeros_and_not_sent(embedder: RemoteEmbedder, server: Server) -> None:
    vectors = await embedder.embed(["", "  \n", "a"])
    assert not vectors[:2].any()
    assert vectors[2].any()
    assert server.texts == [["a"]]
    assert (await embedder.embed([])).shape == (0, 3)


async def test_a_long_text_is_sampled(embedder: RemoteEmbedder, server: Server) -> None:
    await embedder.embed(["word " * 100_000])
    assert len(server.texts[0][0]) < 10_000


async def test_lone_surrogates_are_embedded_like_any_text(
    embedder: RemoteEmbedder, server: Server
) -> None:
    assert (await embedder.embed(["\ud800 broken"])).any()
    assert server.texts == [["? broken"]]


# -- Batches ----------------------------------------------------------------------------------


async def test_concurrent_calls_share_a_request(embedder: RemoteEmbedder, server: Server) -> None:
    results = await asyncio.gather(*(embedder.embed([f"text {n}"]) for n in range(20)))
    assert len(results) == 20
    assert server.texts == [[f"text {n}" for n in range(20)]]


async def test_one_request_has_at_most_64_texts_and_four_go_at_once(
    embedder: RemoteEmbedder, server: Server
) -> None:
    server.gate.clear()
    call = asyncio.create_task(embedder.embed([f"text {n}" for n in range(400)]))
    await turns()
    assert [len(texts) for texts in server.texts] == [64, 64, 64, 64]
    server.gate.set()
    assert (await call).shape == (400, 3)
    assert sum(len(texts) for texts in server.texts) == 400
    assert max(len(texts) for texts in server.texts) == 64


async def test_the_same_text_is_sent_once_for_concurrent_calls(
    embedder: RemoteEmbedder, server: Server
) -> None:
    server.gate.clear()
    first = asyncio.create_task(embedder.embed(["same", "same"]))
    await turns()
    second = asyncio.create_task(embedder.embed(["same"]))
    await turns()
    server.gate.set()
    assert np.array_equal((await first)[0], (await second)[0])
    assert server.texts == [["same"]]


async def test_vectors_are_cached_for_an_hour(
    embedder: RemoteEmbedder, server: Server, clock: ManualClock
) -> None:
    await embedder.embed(["kept"])
    await embedder.embed(["kept"])
    assert len(server.requests) == 1
    clock.advance(3_601)
    await embedder.embed(["kept"])
    assert len(server.requests) == 2


@pytest.mark.slow
async def test_the_cache_holds_no_text(embedder: RemoteEmbedder) -> None:
    await embedder.embed([SECRET])
    await turns()
    kept = [*embedder._cache.keys(), *(embedder._state.jobs if embedder._state else ())]
    assert all(len(key) == 16 for key in kept)
    gc.collect()
    texts = [one for one in gc.get_objects() if isinstance(one, dict) and SECRET in map(str, one)]
    assert texts == []


async def test_a_full_queue_refuses_at_once(embedder: RemoteEmbedder, server: Server) -> None:
    with pytest.raises(EmbeddingError, match="prompts waiting"):
        await embedder.embed([f"text {n}" for n in range(1_025)])
    assert server.requests == []
    assert (await embedder.embed(["still open"])).any()


# -- Late, down, wrong ------------------------------------------------------------------------


async def test_a_late_server_is_an_error(server: Server, clock: ManualClock) -> None:
    server.gate.clear()
    embedder = opened(server, clock, timeout=0)
    with pytest.raises(EmbeddingError, match="bge-m3 did not answer within 0 s"):
        await embedder.embed(["a"])
    await embedder.aclose()


async def test_a_request_that_never_ends_times_out(server: Server, clock: ManualClock) -> None:
    server.gate.clear()
    embedder = opened(server, clock)
    call = asyncio.create_task(embedder.embed(["a"]))
    await turns(1)
    embedder._timeout = 0  # of the request, which begins after the call's own time was set
    with pytest.raises(EmbeddingError, match="TimeoutError"):
        await call
    await embedder.aclose()


@pytest.mark.parametrize(
    ("status", "content", "why"),
    [
        (500, b"{}", "status 500"),
        (401, b"{}", "status 401"),
        (200, b"<html>", "no list of embeddings"),
        (200, b'{"data": 3}', "no list of embeddings"),
        (200, b'{"data": []}', "0 embeddings, not of the 1 texts"),
        (
            200,
            b'{"data": [{"index": 7, "embedding": [1, 2, 3]}]}',
            "1 embeddings, not of the 1 texts",
        ),
        (200, b'{"data": [{"index": 0, "embedding": [1, 2]}]}', r"found \(1, 2\)"),
        (200, b'{"data": [{"index": 0, "embedding": [1e39, 2, 3]}]}', "finite"),
    ],
    ids=["500", "401", "html", "number", "none", "other", "short", "endless"],
)
async def test_a_wrong_answer_is_an_error(
    embedder: RemoteEmbedder, server: Server, status: int, content: bytes, why: str
) -> None:
    server.status = status
    server.answer = lambda texts: content
    with pytest.raises(EmbeddingError, match=why) as caught:
        await embedder.embed([SECRET])
    assert SECRET not in str(caught.value)
    assert "sk-hidden" not in str(caught.value)


async def test_an_unreachable_server_is_an_error(embedder: RemoteEmbedder, server: Server) -> None:
    server.raises = httpx.ConnectError("no route")
    with pytest.raises(EmbeddingError, match="ConnectError"):
        await embedder.embed(["a"])
    assert len(server.requests) == 1  # nothing is tried twice


async def test_a_failed_request_raises_while_another_is_under_way(
    embedder: RemoteEmbedder, server: Server
) -> None:
    never = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if b"stuck" in request.content:
            await never.wait()
        return httpx.Response(500)

    embedder._transport = httpx.MockTransport(answer)
    call = asyncio.create_task(embedder.embed([*(f"stuck {n}" for n in range(64)), "fails"]))
    with pytest.raises(EmbeddingError, match="status 500"):
        await call


async def test_a_failure_is_not_cached(embedder: RemoteEmbedder, server: Server) -> None:
    server.status = 500
    await failures(embedder, 1)
    server.status = 200
    assert (await embedder.embed(["fails 0"])).any()


# -- The circuit breaker ----------------------------------------------------------------------


async def test_a_server_that_is_down_gets_no_requests(
    embedder: RemoteEmbedder, server: Server
) -> None:
    server.status = 503
    await failures(embedder, 5)
    with pytest.raises(EmbeddingError, match="will be tried again later"):
        await embedder.embed(["a"])
    assert len(server.requests) == 5


async def test_cached_vectors_are_returned_while_the_server_is_down(
    embedder: RemoteEmbedder, server: Server
) -> None:
    before = await embedder.embed(["kept"])
    server.status = 503
    await failures(embedder, 5)
    assert np.array_equal(await embedder.embed(["kept"]), before)


async def test_after_a_rest_one_probe_goes_out_alone(
    embedder: RemoteEmbedder, server: Server, clock: ManualClock
) -> None:
    server.status = 503
    await failures(embedder, 5)
    clock.advance(10)
    server.status = 200
    server.gate.clear()
    probe = asyncio.create_task(embedder.embed(["probe"]))
    await turns()
    with pytest.raises(EmbeddingError, match="will be tried again later"):
        await embedder.embed(["not yet"])
    server.gate.set()
    assert (await probe).any()
    assert (await embedder.embed(["now"])).any()
    assert server.texts[5:] == [["probe"], ["now"]]


async def test_calls_beside_the_probe_fail_at_once(
    embedder: RemoteEmbedder, server: Server, clock: ManualClock
) -> None:
    server.status = 503
    await failures(embedder, 5)
    clock.advance(10)
    server.status = 200
    results = await asyncio.gather(
        embedder.embed([f"first {n}" for n in range(64)]),
        embedder.embed(["second"]),
        return_exceptions=True,
    )
    assert isinstance(results[0], np.ndarray)
    assert isinstance(results[1], EmbeddingError)


async def test_a_failed_probe_starts_another_rest(
    embedder: RemoteEmbedder, server: Server, clock: ManualClock
) -> None:
    server.status = 503
    await failures(embedder, 5)
    clock.advance(10)
    await failures(embedder, 1)
    clock.advance(9)
    await failures(embedder, 1)
    assert len(server.requests) == 6
    clock.advance(1)
    server.status = 200
    assert (await embedder.embed(["a"])).any()


async def test_only_consecutive_failures_open_the_breaker(
    embedder: RemoteEmbedder, server: Server
) -> None:
    for n in range(10):
        server.status = 503
        await failures(embedder, 4)
        server.status = 200
        await embedder.embed([f"works {n}"])
    assert len(server.requests) == 50


async def test_a_rejected_prompt_does_not_open_the_breaker(
    embedder: RemoteEmbedder, server: Server
) -> None:
    server.status = 413
    await failures(embedder, 20)
    assert len(server.requests) == 20
    server.status = 200
    assert (await embedder.embed(["fine"])).any()


async def test_an_outage_and_its_end_are_logged_once_each(
    embedder: RemoteEmbedder,
    server: Server,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "querybudget")
    server.status = 503
    await failures(embedder, 9)
    clock.advance(10)
    await failures(embedder, 1)
    clock.advance(10)
    server.status = 200
    await embedder.embed([SECRET])
    assert [record.getMessage() for record in caplog.records] == [
        "the embedding server of bge-m3 is down (status 503); requests to it are paused",
        "the embedding server of bge-m3 answers again",
    ]


# -- Callers that go, loops that end ----------------------------------------------------------


async def test_a_cancelled_call_does_not_affect_the_others(
    embedder: RemoteEmbedder, server: Server
) -> None:
    server.gate.clear()
    gone = asyncio.create_task(embedder.embed(["shared", "own"]))
    stays = asyncio.create_task(embedder.embed(["shared"]))
    await turns()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    server.gate.set()
    assert (await stays).any()
    assert server.texts == [["shared", "own"]]


async def test_a_text_that_no_call_waits_for_is_not_sent(
    embedder: RemoteEmbedder, server: Server
) -> None:
    server.gate.clear()
    busy = [
        asyncio.create_task(embedder.embed([f"batch {k} text {n}" for n in range(64)]))
        for k in range(4)
    ]
    await turns()
    gone = asyncio.create_task(embedder.embed(["gone"]))
    stays = asyncio.create_task(embedder.embed(["stays"]))
    await turns()
    gone.cancel()
    await turns()
    server.gate.set()
    await asyncio.gather(*busy, stays)
    assert server.texts[4:] == [["stays"]]
    assert (await embedder.embed(["gone"])).any()


async def test_closing_fails_the_waiting_calls(embedder: RemoteEmbedder, server: Server) -> None:
    server.gate.clear()
    under_way = [
        asyncio.create_task(embedder.embed([f"batch {k} text {n}" for n in range(64)]))
        for k in range(6)
    ]
    await turns()
    await embedder.aclose()
    for call in under_way:
        with pytest.raises(EmbeddingError, match="closed"):
            await call
    await embedder.aclose()


async def test_no_task_or_job_is_left_behind(embedder: RemoteEmbedder, server: Server) -> None:
    server.status = 500
    await failures(embedder, 2)
    server.status = 200
    await embedder.embed([f"text {n}" for n in range(200)])
    await turns()
    state = embedder._state
    assert state is not None
    assert (len(state.queue), state.jobs, state.tasks) == (0, {}, set())


def test_another_loop_gets_its_own_connections(server: Server, clock: ManualClock) -> None:
    embedder = opened(server, clock)

    async def once(text: str) -> int:
        return len(await embedder.embed([text]))

    assert asyncio.run(once("first")) == asyncio.run(once("second")) == 1
    assert server.texts == [["first"], ["second"]]


async def test_a_policy_opens_it_with_its_settings() -> None:
    spec = Embedding(kind="remote", url=URL, model="m", api_key="k", timeout=250_000, dimensions=3)
    embedder = open_embedder(spec, 3)
    assert isinstance(embedder, RemoteEmbedder)
    assert embedder._timeout == 0.25
    assert embedder._parameters["dimensions"] == 3
    await embedder.aclose()
