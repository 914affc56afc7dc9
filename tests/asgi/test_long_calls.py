"""A call that is open for longer than `hold` keeps what it has reserved until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.errors import StoreError
from querybudget.ledger import Reservation
from querybudget.limiter import Outcome
from querybudget.stores import MemoryStore
from querybudget.testing import http_scope, request
from querybudget.units import SECOND, Micros
from tests.asgi.conftest import Edge, MakeEdge

HOLD = 900 * SECOND
DAY = 24 * 3_600 * SECOND
POLICY = {
    "budgets": [
        {"name": "tokens", "limit": "1M tokens/month"},
        {"name": "parallel", "limit": "2 concurrent"},
    ]
}
CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
LAST = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":900000}}\n\n'


class Slow:
    """An application that sends a piece of its answer each time that it is told to."""

    def __init__(self) -> None:
        self.pieces = asyncio.Queue[bytes | None]()
        self.sent = asyncio.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
        else:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        self.sent.release()
        while (piece := await self.pieces.get()) is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.send", "bytes": piece})
            else:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            self.sent.release()
        if scope["type"] == "http":
            await send({"type": "http.response.body", "body": b""})

    async def send(self, piece: bytes) -> None:
        """Let one piece pass."""
        self.pieces.put_nowait(piece)
        await self.sent.acquire()


@asynccontextmanager
async def open_call(edge: Edge, app: Slow, scope: Scope | None = None) -> AsyncGenerator[None]:
    """A call whose answer has begun, until it ends."""
    scope = scope or http_scope(key="a")
    connect = {"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hi"}
    script = list(connect if scope["type"] == "websocket" else request(CHAT))

    async def receive() -> Message:
        if not script:
            await asyncio.Event().wait()
        return script.pop(0)

    async def send(message: Message) -> None:
        """Drop it: what is sent is tested elsewhere."""

    task = asyncio.ensure_future(edge.app(scope, receive, send))
    await _either(app.sent.acquire(), task)
    try:
        yield
    finally:
        app.pieces.put_nowait(None)
        await task
        await edge.quiet()


async def _either(begun: Awaitable[object], task: asyncio.Future[None]) -> None:
    """Wait until a call has begun, or has failed."""
    waiting = asyncio.ensure_future(begun)
    await asyncio.wait((waiting, task), return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        task.result()


def socket_scope() -> Scope:
    return {**http_scope("/v1/realtime", key="a"), "type": "websocket"}


async def ring(edge: Edge, us: int) -> None:
    """Let the timer ring after some time: here it rings by itself only after real minutes."""
    edge.clock.advance(us=us)
    edge.limiter.renewals.ring()
    await edge.quiet()


async def others(edge: Edge) -> int:
    """How many more calls of the caller may be open."""
    return 2 - await edge.used("parallel")


@pytest.mark.parametrize("suspends", [False, True], ids=["direct", "guarded"])
@pytest.mark.anyio
async def test_a_stream_that_outlives_its_hold_keeps_its_lease(
    make_edge: MakeEdge, suspends: bool
) -> None:
    app = Slow()
    edge = make_edge(app, POLICY, suspends=suspends)
    async with open_call(edge, app):
        for _ in range(20):
            await ring(edge, HOLD // 2)
            await app.send(b": still here\n\n")
            assert await others(edge) == 1
    assert (await others(edge), edge.held) == (2, 0)


@pytest.mark.anyio
async def test_a_stream_of_more_than_a_day_is_charged_for_all_it_used(make_edge: MakeEdge) -> None:
    app = Slow()
    edge = make_edge(app, POLICY)
    async with open_call(edge, app):
        for _ in range(26 * 4):
            await ring(edge, HOLD - 1)
            await app.send(b": still here\n\n")
        await app.send(LAST)
    assert await edge.used("tokens") == 900_009
    assert edge.decisions.last.settlement == "done"


@pytest.mark.anyio
async def test_a_pause_longer_than_hold_gives_the_lease_to_others_only_until_the_timer_rings(
    make_edge: MakeEdge,
) -> None:
    """It rings late in a process that was stopped for a while."""
    app = Slow()
    edge = make_edge(app, POLICY)
    async with open_call(edge, app):
        edge.clock.advance(us=2 * HOLD)
        assert await others(edge) == 2
        await ring(edge, 0)
        assert await others(edge) == 1
        await app.send(LAST)
    assert await edge.used("tokens") == 900_009
    assert edge.decisions.last.settlement == "late"


@pytest.mark.anyio
async def test_a_call_that_ends_soon_asks_the_store_for_nothing_more(
    make_edge: MakeEdge, renewed: list[int]
) -> None:
    app = Slow()
    edge = make_edge(app, POLICY)
    async with open_call(edge, app):
        await ring(edge, HOLD // 3 - 1)
        await app.send(LAST)
        assert not renewed
        await ring(edge, 1)
        for _ in range(5):
            await ring(edge, 1)
    assert renewed == [HOLD]


@pytest.mark.anyio
async def test_a_silent_call_is_renewed_by_a_timer(
    make_edge: MakeEdge, renewed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rings: list[Callable[[], None]] = []

    class Handle:
        def cancel(self) -> None:
            """Do nothing: the test rings."""

    def call_later(_seconds: float, ring: Callable[[], None]) -> Handle:
        if "Renewals" in repr(ring):  # overrides are read by a timer of their own
            rings.append(ring)
        return Handle()

    app = Slow()
    edge = make_edge(app, POLICY)
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    async with open_call(edge, app), edge.limiter.admitted(http_scope(key="b")):
        assert len(rings) == 1, "one timer for all calls"
        for _ in range(30):
            edge.clock.advance(us=HOLD // 3)
            rings[-1]()
            await edge.quiet()
            assert await edge.used("parallel") == 2
        assert len(renewed) == 60
    asked = len(rings)
    rings[-1]()
    assert len(rings) == asked, "without open calls, the timer stops"


@pytest.mark.anyio
async def test_an_open_socket_keeps_its_lease_and_what_its_message_holds(
    make_edge: MakeEdge, renewed: list[int]
) -> None:
    app = Slow()
    edge = make_edge(app, POLICY)
    async with open_call(edge, app, socket_scope()):
        for _ in range(5):
            await ring(edge, HOLD // 2)
            await app.send(b"piece")
            assert await others(edge) == 1
        assert len(renewed) == 10
    assert (await others(edge), edge.held) == (2, 0)


@pytest.mark.anyio
async def test_a_store_that_cannot_renew_frees_the_lease_as_before(make_edge: MakeEdge) -> None:
    app = Slow()
    edge = make_edge(app, POLICY)
    edge.limiter._resilient.store = Without(edge.memory)
    edge.limiter._resilient.renews = False
    async with open_call(edge, app):
        edge.clock.advance(us=HOLD)
        await app.send(LAST)
        assert await others(edge) == 2
    assert await edge.used("tokens") == 900_009


@pytest.mark.anyio
async def test_a_renewal_that_fails_is_tried_again(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, down = Slow(), [True]
    renew = MemoryStore.renew

    async def failing(store: MemoryStore, reservation: Reservation, ttl: int) -> Micros:
        if down:
            raise StoreError("down")
        return await renew(store, reservation, ttl)

    monkeypatch.setattr(MemoryStore, "renew", failing)
    edge = make_edge(app, POLICY)
    async with open_call(edge, app):
        await ring(edge, HOLD // 3)
        down.clear()
        await ring(edge, HOLD // 3)
        edge.clock.advance(us=HOLD - 1)
        assert await others(edge) == 1


@pytest.mark.anyio
async def test_a_call_without_http_is_renewed_too(make_edge: MakeEdge, renewed: list[int]) -> None:
    edge = make_edge(Slow(), POLICY)
    async with edge.limiter.admitted(http_scope(key="a")):
        await ring(edge, HOLD // 2)
        edge.clock.advance(us=HOLD - 1)
        assert await others(edge) == 1
    assert renewed == [HOLD]
    assert await others(edge) == 2


@pytest.mark.anyio
async def test_a_program_renews_what_it_has_admitted_itself(
    make_edge: MakeEdge, renewed: list[int]
) -> None:
    edge = make_edge(Slow(), POLICY)
    admission = await edge.limiter.admit(http_scope(key="a"))
    for _ in range(3):
        await ring(edge, HOLD // 2)
        await edge.limiter.renewals.renew(admission)
        await edge.quiet()
    assert await others(edge) == 1
    assert renewed == [HOLD] * 3
    await edge.limiter.settle(admission, Outcome.ANSWERED)
    assert await others(edge) == 2


class Without:
    """A store that only reserves and settles."""

    suspends = False

    def __init__(self, inner: MemoryStore) -> None:
        self.reserve, self.settle, self.peek = inner.reserve, inner.settle, inner.peek
        self.forget, self.aclose = inner.forget, inner.aclose


@pytest.fixture
def renewed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how long reservations were renewed, µs."""
    found: list[int] = []
    renew = MemoryStore.renew

    async def counting(store: MemoryStore, reservation: Reservation, ttl: int) -> Micros:
        found.append(ttl)
        return await renew(store, reservation, ttl)

    monkeypatch.setattr(MemoryStore, "renew", counting)
    return found
