"""Bodies that do not arrive at once: bounded in time and in bytes, and after the budgets."""

from __future__ import annotations

import asyncio
import json
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import anyio.lowlevel
import pytest

from querybudget.adapters.reading import read_call
from querybudget.asgi import body, middleware
from querybudget.asgi.body import LONG_BODY, MANY_VALUES
from querybudget.asgi.intake import AT_ONCE, PATIENCE, Intake
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.testing import Driven, drive, http_scope, request
from querybudget.units import SECOND
from tests.asgi.conftest import Edge, MakeEdge

POLICY: dict[str, Any] = {
    "body": {"limit": "1 MiB", "timeout": "30s", "in_flight": "8 MiB"},
    "budgets": [
        {"name": "rpm", "limit": "10 requests/minute"},
        {"name": "tokens", "limit": "10_000_000 tokens/minute"},
        {"name": "parallel", "limit": "1 concurrent"},
    ],
}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
SOON, LATE = PATIENCE / SECOND, 30.0


class Timers:
    """Timers that fire when a test says so."""

    def __init__(self) -> None:
        self.set: list[tuple[float, Callable[[], None], Timers.Set]] = []

    class Set:
        """One of them."""

        cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    def __call__(self, seconds: float, call: Callable[[], None]) -> Timers.Set:
        timer = Timers.Set()
        self.set.append((seconds, call, timer))
        return timer

    async def fire(self, seconds: float) -> None:
        for after, call, timer in list(self.set):
            if after == seconds and not timer.cancelled:
                timer.cancel()
                call()
        await turns()

    @property
    def open(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self.set)


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    assert not message.get("more_body")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"choices": []}'})


class Client:
    """A client that sends its body piece by piece, when the test says so."""

    def __init__(self, edge: Edge, key: str = "a", **scope: Any) -> None:
        self._pieces = asyncio.Queue[Message]()
        self.sent: list[Message] = []
        self._app = edge.app
        self._scope = http_scope(key=key, **scope)
        self.received = 0
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> int:
        await self._app(self._scope, self._receive, self._send)
        return self.status

    async def _receive(self) -> Message:
        message = await self._pieces.get()
        self.received += 1
        return message

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    async def piece(self, body: bytes = b"x", *, more: bool = True) -> None:
        self._pieces.put_nowait({"type": "http.request", "body": body, "more_body": more})
        await turns()

    async def hang_up(self) -> None:
        self._pieces.put_nowait({"type": "http.disconnect"})
        await turns()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def json(self) -> Any:
        return json.loads(self.sent[1]["body"])


def timed(edge: Edge) -> Timers:
    timers = Timers()
    edge.app._intake = Intake(timers)
    return timers


@pytest.mark.anyio
async def test_a_body_in_one_message_sets_no_timer_and_asks_the_store_once(
    make_edge: MakeEdge,
) -> None:
    edge = make_edge(answer, POLICY)
    timers = timed(edge)
    client = Client(edge)
    client._pieces.put_nowait(request(CHAT)[0])
    assert await client.task == 200
    assert timers.set == []


@pytest.mark.anyio
async def test_a_short_body_in_pieces_asks_the_store_once(make_edge: MakeEdge) -> None:
    edge = make_edge(answer, POLICY)
    timers = timed(edge)
    client = Client(edge)
    for message in request(CHAT, pieces=3):
        await client.piece(message["body"], more=message["more_body"])
        if message["more_body"]:
            assert edge.accounts == {}
    assert await client.task == 200
    assert timers.open == 0
    assert edge.app._intake.held == 0
    assert len(edge.decisions.events) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [0, 1, 3])
async def test_a_body_that_does_not_arrive_in_time_is_refused(
    make_edge: MakeEdge, pieces: int
) -> None:
    edge = make_edge(answer, POLICY)
    timers = timed(edge)
    client = Client(edge)
    await turns()
    for _ in range(pieces):
        await client.piece()
    await timers.fire(LATE)
    assert await client.task == 408
    assert client.headers[b"connection"] == b"close"
    assert "30" in client.json["error"]["message"]
    assert (edge.accounts, edge.app._intake.held, timers.open) == ({}, 0, 0)


@pytest.mark.anyio
async def test_the_time_is_for_the_whole_body_and_does_not_begin_again(
    make_edge: MakeEdge,
) -> None:
    edge = make_edge(answer, POLICY)
    timers = timed(edge)
    client = Client(edge)
    for _ in range(20):
        await client.piece()
    assert sorted(after for after, _, _ in timers.set) == [SOON, LATE]
    await client.hang_up()
    await client.task


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("why", ["slow", "long"])
async def test_a_stranger_under_one_concurrent_holds_one_body_open(
    make_edge: MakeEdge, why: str, suspends: bool
) -> None:
    edge = make_edge(answer, POLICY, suspends=suspends)
    timers = timed(edge)
    clients = [Client(edge) for _ in range(20)]
    await turns()
    for client in clients:
        await client.piece(b"x" * (AT_ONCE + 1 if why == "long" else 9))
    if why == "slow":
        await timers.fire(SOON)
    assert sorted(client.status for client in clients) == [0] + [429] * 19
    assert edge.app._intake.held <= AT_ONCE + 1
    edge.decisions.assert_refused(19, by="parallel")
    (last,) = (client for client in clients if not client.status)
    await last.hang_up()
    await last.task
    await edge.quiet()
    assert (edge.held, edge.accounts, edge.app._intake.held) == (0, {}, 0)


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_a_long_body_is_charged_once_and_holds_one_place(
    make_edge: MakeEdge, suspends: bool
) -> None:
    edge = make_edge(answer, POLICY, suspends=suspends)
    timed(edge)
    client = Client(edge)
    body = json.dumps(CHAT).encode().ljust(3 * AT_ONCE)
    await client.piece(body[: 2 * AT_ONCE])
    assert edge.held == 1
    assert edge.decisions.events == []
    await client.piece(body[2 * AT_ONCE :], more=False)
    assert await client.task == 200
    await edge.quiet()
    assert (edge.held, await edge.used("rpm")) == (0, 1)
    assert [event.operation for event in edge.decisions.events] == ["chat"]


@pytest.mark.anyio
async def test_a_caller_who_is_over_a_limit_is_refused_after_the_first_pieces(
    make_edge: MakeEdge,
) -> None:
    policy = {**POLICY, "budgets": [{"name": "rpm", "limit": "1 requests/minute"}]}
    edge = make_edge(answer, policy)
    await drive(edge.app, http_scope(key="a"), request(CHAT))
    piece: Message = {"type": "http.request", "body": b"x" * AT_ONCE, "more_body": True}
    driven = await drive(edge.app, http_scope(key="a"), [piece] * 16)
    assert driven.status == 429
    assert "retry-after" in driven.headers
    assert driven.log.count("receive:http.request") < 5


@pytest.mark.anyio
async def test_budgets_that_depend_on_the_body_are_not_asked_before_it(
    make_edge: MakeEdge,
) -> None:
    budgets = [
        {"name": "of-a-model", "limit": "1 requests/day", "match": {"model": "other"}},
        {"name": "by-model", "limit": "1 requests/day", "per": ["identity", "model"]},
        {"name": "streams", "limit": "1 concurrent", "match": {"stream": True}},
        {"name": "chats", "limit": "1 requests/day", "match": {"operation": "messages"}},
        {"name": "shadowed", "limit": "1 requests/day", "mode": "shadow"},
    ]
    edge = make_edge(answer, {**POLICY, "budgets": budgets})
    client = Client(edge)
    await client.piece(b" " * 2 * AT_ONCE)
    assert edge.accounts == {}
    await client.piece(json.dumps(CHAT).encode(), more=False)
    assert await client.task == 200


@pytest.mark.anyio
async def test_one_caller_holds_a_share_and_others_find_room(make_edge: MakeEdge) -> None:
    policy = {**POLICY, "budgets": [POLICY["budgets"][1]]}
    edge = make_edge(answer, policy)
    clients = [Client(edge) for _ in range(20)]
    for client in clients:
        await client.piece(b"x" * 1_000_000)
    assert sorted(client.status for client in clients) == [0] + [429] * 19
    assert clients[-1].headers[b"retry-after"] == b"1"
    other = Client(edge, "b")
    await other.piece(json.dumps(CHAT).encode().ljust(500_000), more=False)
    assert await other.task == 200
    await clients[0].hang_up()
    assert edge.app._intake.held == 0


@pytest.mark.anyio
async def test_all_bodies_together_are_bounded_and_the_slowest_gives_way(
    make_edge: MakeEdge,
) -> None:
    policy = {**POLICY, "budgets": [POLICY["budgets"][1]]}
    edge = make_edge(answer, policy)
    clients = [Client(edge, f"made-up-{number}") for number in range(30)]
    for client in clients:
        await client.piece(b"x" * 1_000_000)
        assert edge.app._intake.held <= 8 << 20
    assert [client.status for client in clients] == [503] * 22 + [0] * 8
    assert clients[0].headers[b"retry-after"] == b"1"
    assert clients[0].json["error"]["code"] == "server_busy"
    for client in clients[22:]:
        await client.hang_up()
    assert edge.app._intake.held == 0


@pytest.mark.anyio
async def test_a_body_of_one_byte_messages_is_kept_in_one_buffer(make_edge: MakeEdge) -> None:
    edge, size = make_edge(answer, POLICY), 10_000
    byte: Message = {"type": "http.request", "body": b"x"}
    messages = ({**byte, "more_body": at < size} for at in range(size + 1))

    async def receive() -> Message:
        return next(messages)

    route = edge.limiter.route_for("POST", "/v1/chat/completions")
    assert route is not None
    tracemalloc.start()
    try:
        received = await Intake().read(edge.limiter, route, ("POST", "/"), http_scope(), receive)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert received.body == b"x" * (size + 1)
    assert peak < 50_000


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("level", [False, True], ids=["task", "scope"])
async def test_cancelling_a_long_body_at_any_await_leaves_nothing_held(
    make_edge: MakeEdge, suspends: bool, level: bool
) -> None:
    body = json.dumps(CHAT).encode().ljust(3 * AT_ONCE)
    at, driven = 0, Driven(cut=True)
    while driven.cut:
        edge = make_edge(answer, POLICY, suspends=suspends)
        messages = request(body, pieces=4)
        driven = await drive(edge.app, http_scope(key="a"), messages, cancel_at=at, level=level)
        await turns()
        await edge.quiet()
        assert (edge.held, edge.app._intake.held) == (0, 0)
        at += 1
    assert at > 5


@pytest.mark.anyio
async def test_a_receive_that_fails_is_the_servers_own_error(make_edge: MakeEdge) -> None:
    edge = make_edge(answer, POLICY)
    for error in (OSError("broken"), TimeoutError("late")):

        async def receive(problem: Exception = error) -> Message:
            await anyio.lowlevel.checkpoint()
            raise problem

        async def send(message: Message) -> None:
            raise AssertionError(message)

        with pytest.raises(type(error), match=str(error)):
            await edge.app(http_scope(key="a"), receive, send)
    assert (edge.accounts, edge.app._intake.held) == ({}, 0)


@pytest.mark.anyio
async def test_a_body_that_is_long_or_has_many_values_is_read_beside_the_event_loop(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def noting(*asked: Any) -> Any:
        threads.append(threading.current_thread() is not threading.main_thread())
        return read_call(*asked)

    for module in (body, middleware):
        monkeypatch.setattr(module, "read_call", noting)
    edge = make_edge(answer, POLICY)
    many = json.dumps({**CHAT, "x": [[]] * MANY_VALUES}).encode()
    short = json.dumps(CHAT).encode()
    bodies = (short, short.ljust(LONG_BODY), short.ljust(LONG_BODY + 1), many)
    for chat in bodies:
        assert (await drive(edge.app, http_scope(key="a"), request(chat))).status == 200
    assert threads == [False, False, True, True]
    assert [event.operation for event in edge.decisions.events] == ["chat"] * 4
