"""A call that is slowed, or answered with less: held back, rewritten, never lost or left held."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.lowlevel
import pytest

from querybudget.adapters.base import Usage
from querybudget.adapters.degrade import OUTPUT
from querybudget.adapters.reading import degrade_call
from querybudget.adapters.usage_request import ask_for_usage
from querybudget.asgi import lifespan, stages, usage_event
from querybudget.asgi.body import LONG_BODY
from querybudget.asgi.stages import DelayQueue
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.coverage.response import Stage
from querybudget.limiter import Admission
from querybudget.testing import Driven, FakeModel, Reply, drive, http_scope, request
from querybudget.units import SECOND, Micros
from tests.asgi.conftest import MakeEdge

POLICY = {
    "budgets": [
        {"name": "rpm", "limit": "100 requests/minute"},
        {"name": "tokens", "limit": "100_000 tokens/minute"},
        {"name": "parallel", "limit": "9 concurrent"},
    ]
}
CHAT = {"model": "m", "n": 3, "messages": [{"role": "user", "content": "hello"}]}
DELAY = 3 * SECOND
NOTHING = {"rpm": 0, "tokens": 0}


class Pause:
    """A pause that ends after a number of turns of the loop, or when the test ends it."""

    def __init__(self, turns: int | None = 3) -> None:
        self.asked: list[float] = []
        self.turns = turns
        self.over = asyncio.Event()
        self.began = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.began.set()
        if self.turns is None:
            await self.over.wait()
        for _ in range(self.turns or 0):
            await asyncio.sleep(0)


def staged(edge: Any, stage: Stage, delay: int = DELAY, pause: Pause | None = None) -> Any:
    """Make an edge's limiter put every call that it admits at a stage."""
    admit: Callable[..., Awaitable[Admission]] = edge.limiter.admit_call

    async def admit_at_stage(*asked: Any) -> Admission:
        admission = await admit(*asked)
        if admission.refusal is None:
            admission.stage, admission.delay = stage, Micros(delay)
        return admission

    edge.limiter.admit_call = admit_at_stage
    edge.pause = edge.sleep = pause or Pause()
    return edge


async def ask(edge: Any, body: object = CHAT, **how: Any) -> Driven:
    headers = how.pop("headers", {})
    scope = http_scope(key="a", headers={"authorization": "Bearer a", **headers})
    return await drive(edge.app, scope, request(body, pieces=how.pop("pieces", 1)), **how)


async def used(edge: Any) -> dict[str, int]:
    return {name: await edge.used(name) for name in ("rpm", "tokens")}


# -- slow


@pytest.mark.anyio
async def test_a_slowed_call_is_answered_after_its_delay(make_edge: MakeEdge) -> None:
    model = FakeModel()
    edge = staged(make_edge(model, POLICY), Stage.SLOW)
    driven = await ask(edge)
    assert driven.status == 200
    assert edge.pause.asked == [3.0]
    assert model.requests[0].json == CHAT
    assert edge.held == 0
    assert (await used(edge))["rpm"] == 3


@pytest.mark.anyio
async def test_a_server_that_stops_gives_a_delayed_call_back(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifespan, "OPEN_CALLS", 0.01)
    pause = Pause(None)
    edge = staged(make_edge(FakeModel(), POLICY), Stage.SLOW, pause=pause)
    slowed = asyncio.create_task(ask(edge))
    await pause.began.wait()
    assert edge.held == 1
    await drive(edge.app, {"type": "lifespan", "state": {}}, [{"type": "lifespan.startup"}])
    assert edge.held == 0
    assert await used(edge) == NOTHING
    slowed.cancel()
    await asyncio.wait((slowed,))


@pytest.mark.anyio
async def test_a_stage_without_a_delay_waits_for_nothing(make_edge: MakeEdge) -> None:
    edge = staged(make_edge(FakeModel(), POLICY), Stage.SLOW, delay=0)
    assert (await ask(edge)).status == 200
    assert edge.pause.asked == []


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_a_slowed_call_keeps_its_reservation(make_edge: MakeEdge, suspends: bool) -> None:
    model = FakeModel()
    policy = {"budgets": [{"name": "parallel", "limit": "1 concurrent"}]}
    pause = Pause(None)
    edge = staged(make_edge(model, policy, suspends=suspends), Stage.SLOW, pause=pause)
    slowed = asyncio.create_task(ask(edge))
    await pause.began.wait()
    assert (edge.held, model.requests) == (1, [])
    assert (await ask(edge)).status == 429
    pause.over.set()
    assert (await slowed).status == 200
    await edge.quiet()
    assert edge.held == 0


@pytest.mark.anyio
async def test_a_client_that_hangs_up_while_it_waits_is_given_everything_back(
    make_edge: MakeEdge,
) -> None:
    model = FakeModel()
    edge = staged(make_edge(model, POLICY), Stage.SLOW, pause=Pause(None))
    for pieces in (1, 3):
        driven = await ask(edge, pieces=pieces, disconnect_at=pieces)
        assert (driven.sent, driven.error) == ([], None)
    assert model.requests == []
    assert (edge.held, await used(edge)) == (0, NOTHING)


@pytest.mark.anyio
async def test_a_client_that_hangs_up_as_its_wait_ends_is_not_answered(
    make_edge: MakeEdge,
) -> None:
    for turns in range(8):
        model = FakeModel()
        edge = staged(make_edge(model, POLICY), Stage.SLOW, pause=Pause(turns))
        driven = await ask(edge, disconnect_at=1)
        assert driven.error is None
        assert edge.held == 0
        if not model.requests:
            assert await used(edge) == NOTHING


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("level", [False, True], ids=["task", "scope"])
async def test_cancelling_a_slowed_call_at_any_await_gives_everything_back(
    make_edge: MakeEdge, suspends: bool, level: bool
) -> None:
    at, waited = 0, 0
    while True:
        model = FakeModel(Reply(usage=Usage(input=7, output=5)))
        edge = staged(make_edge(model, POLICY, suspends=suspends), Stage.DEGRADE)
        driven = await ask(edge, cancel_at=at, level=level)
        await edge.quiet()
        assert edge.held == 0
        if not model.requests:
            assert await used(edge) == NOTHING
        waited += bool(edge.pause.asked and not model.requests)
        if not driven.cut:
            break
        at += 1
    assert waited >= 2


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("level", [False, True], ids=["task", "scope"])
async def test_cancelling_a_slowed_call_in_any_turn_of_the_loop_gives_everything_back(
    make_edge: MakeEdge, suspends: bool, level: bool
) -> None:
    turn, waited, driven = 0, 0, Driven(cut=True)
    while driven.cut:
        model = FakeModel(Reply(usage=Usage(input=7, output=5)))
        edge = staged(make_edge(model, POLICY, suspends=suspends), Stage.DEGRADE, pause=Pause(6))
        driven = await ask(edge, cancel_in_turn=turn, level=level)
        await edge.quiet()
        assert edge.held == 0
        if not model.requests:
            assert await used(edge) == NOTHING
        waited += bool(edge.pause.asked and not model.requests)
        turn += 1
    assert waited >= 5


@pytest.mark.anyio
async def test_a_pause_that_fails_gives_everything_back(make_edge: MakeEdge) -> None:
    async def broken(seconds: float) -> None:
        raise RuntimeError("no clock")

    model = FakeModel()
    edge = staged(make_edge(model, POLICY), Stage.SLOW)
    edge.sleep = broken
    driven = await ask(edge)
    assert str(driven.error) == "no clock"
    assert (edge.held, model.requests, await used(edge)) == (0, [], NOTHING)


@pytest.mark.anyio
async def test_a_server_that_fails_to_receive_gives_everything_back(
    make_edge: MakeEdge,
) -> None:
    edge = staged(make_edge(FakeModel(), POLICY), Stage.SLOW, pause=Pause(None))
    messages = iter(request(CHAT))

    async def receive() -> Message:
        for message in messages:
            return message
        raise OSError("the connection is broken")

    async def send(message: Message) -> None:
        raise AssertionError("answered")

    with pytest.raises(OSError, match="broken"):
        await edge.app(http_scope(key="a"), receive, send)
    assert (edge.held, await used(edge)) == (0, NOTHING)


@pytest.mark.anyio
async def test_what_a_client_sends_while_it_waits_is_not_lost(make_edge: MakeEdge) -> None:
    """Some servers and tests repeat an empty body for ever: it neither spins nor starves."""
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([await receive(), await receive()])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    edge = staged(make_edge(app, POLICY), Stage.SLOW)
    (first,) = request(CHAT)
    calls = 0

    async def receive() -> Message:
        nonlocal calls
        calls += 1
        return first if calls == 1 else {"type": "http.request", "body": b"", "number": calls}

    async def send(message: Message) -> None:
        await anyio.lowlevel.checkpoint()

    await edge.app(http_scope(key="a"), receive, send)
    assert [seen[0], seen[1]["number"]] == [first, 2]
    assert (calls, edge.pause.asked) == (2, [3.0])


@pytest.mark.anyio
async def test_at_most_a_fixed_number_of_calls_is_delayed_and_others_are_told_when_to_retry(
    make_edge: MakeEdge,
) -> None:
    model, pause = FakeModel(), Pause(None)
    edge = staged(make_edge(model, POLICY), Stage.SLOW, pause=pause)
    edge.app._delays = DelayQueue(2)
    waiting = [asyncio.create_task(ask(edge)) for _ in range(2)]
    while len(pause.asked) < 2:
        await anyio.lowlevel.checkpoint()
    held = edge.held
    refused = await ask(edge)
    assert refused.status == 429
    assert refused.headers["retry-after"] == "3"
    assert edge.decisions.last.verdict == "too_many_delayed"
    assert len(edge.decisions.refused) == 1
    assert edge.held == held
    pause.over.set()
    assert [(await one).status for one in waiting] == [200, 200]
    assert (await ask(edge)).status == 200
    assert edge.app._delays.held == 0


@pytest.mark.anyio
async def test_one_caller_takes_a_share_of_the_places_of_delayed_calls(
    make_edge: MakeEdge,
) -> None:
    pause = Pause(None)
    edge = staged(make_edge(FakeModel(), POLICY), Stage.SLOW, pause=pause)
    queue = edge.app._delays = DelayQueue(50)
    waiting = [asyncio.create_task(ask(edge)) for _ in range(5)]
    while len(pause.asked) < 5:
        await anyio.lowlevel.checkpoint()
    assert (await ask(edge)).status == 429
    assert edge.decisions.last.verdict == "too_many_delayed"
    other = asyncio.create_task(ask(edge, headers={"authorization": "Bearer b"}))
    while len(pause.asked) < 6:
        await anyio.lowlevel.checkpoint()
    pause.over.set()
    assert [(await one).status for one in (*waiting, other)] == [200] * 6
    assert (queue.held, dict(queue._held_by)) == (0, {})


# -- degrade


@pytest.mark.anyio
async def test_a_degraded_call_asks_the_application_for_less_after_its_delay(
    make_edge: MakeEdge,
) -> None:
    model = FakeModel()
    edge = staged(make_edge(model, POLICY), Stage.DEGRADE)
    body = {**CHAT, "logprobs": True, "top_logprobs": 5, "max_tokens": 9_000}
    for pieces in (1, 4):
        assert (await ask(edge, body, pieces=pieces)).status == 200
    for asked in model.requests:
        assert asked.json == {**CHAT, "n": 1, "max_tokens": OUTPUT}
        assert asked.headers["content-length"] == str(len(asked.body))
    assert edge.pause.asked == [3.0, 3.0]


@pytest.mark.anyio
async def test_a_degraded_call_is_charged_for_what_it_was_given(make_edge: MakeEdge) -> None:
    edge = staged(
        make_edge(FakeModel(Reply(usage=Usage(input=7, output=5))), POLICY), Stage.DEGRADE
    )
    await ask(edge, {**CHAT, "logprobs": True, "top_logprobs": 20})
    assert await used(edge) == {"rpm": 1, "tokens": 12}


@pytest.mark.anyio
async def test_the_servers_own_scope_stays_as_it_is(make_edge: MakeEdge) -> None:
    given: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        given.append(dict(scope))
        await FakeModel()(scope, receive, send)

    edge = staged(make_edge(app, POLICY), Stage.DEGRADE)
    raw = json.dumps(CHAT).encode()
    headers = {
        "Authorization": "Bearer a",
        "content-length": str(len(raw)),
        "transfer-encoding": "chunked",
        "content-digest": "sha-256=:x:",
        "x-kept": "yes",
    }
    scope = http_scope(headers=headers)
    before = {**scope, "headers": list(scope["headers"])}
    await drive(edge.app, scope, request(raw))
    assert scope == before
    assert [name for name, _ in given[0]["headers"]] == [
        b"authorization",
        b"x-kept",
        b"content-length",
    ]
    assert given[0]["state"].keys() == {"querybudget"}
    assert {k: v for k, v in given[0].items() if k not in {"headers", "state"}} == {
        k: v for k, v in scope.items() if k not in {"headers", "state"}
    }


@pytest.mark.anyio
async def test_a_compressed_body_goes_on_plain(make_edge: MakeEdge) -> None:
    model = FakeModel()
    edge = staged(make_edge(model, POLICY), Stage.DEGRADE)
    raw = gzip.compress(json.dumps(CHAT).encode())
    headers = {"content-encoding": "gzip", "content-length": str(len(raw))}
    assert (await ask(edge, raw, headers=headers)).status == 200
    assert model.requests[0].json["n"] == 1
    assert "content-encoding" not in model.requests[0].headers


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b'{"messages": [], "max_tokens": 9}', ""),
        (gzip.compress(b'{"messages": [], "max_tokens": 9}', mtime=0), "gzip"),
        (b"no json at all", ""),
        (b"\x1f\x8b damaged", "gzip"),
        (b"unreadable", "br"),
    ],
    ids=["nothing to lower", "nothing to lower, gzip", "no JSON", "damaged gzip", "unknown coding"],
)
async def test_a_body_with_nothing_to_reduce_is_passed_on_unchanged(
    make_edge: MakeEdge, body: bytes, encoding: str
) -> None:
    given: list[tuple[Scope, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        given.append((scope, (await receive())["body"]))
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    edge = staged(make_edge(app, POLICY), Stage.DEGRADE)
    scope = http_scope(headers={"content-encoding": encoding, "content-length": str(len(body))})
    await drive(edge.app, scope, request(body))
    assert given[0][0] is scope
    assert given[0][1] == body


@pytest.mark.anyio
async def test_after_a_rewritten_body_the_next_real_message_is_received(
    make_edge: MakeEdge,
) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert json.loads(message["body"])["n"] == 1
        assert not message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})
        seen.append((await receive())["type"])

    edge = staged(make_edge(app, POLICY), Stage.DEGRADE)
    await ask(edge, pieces=3)
    assert seen == ["http.disconnect"]


@pytest.mark.anyio
async def test_a_stage_on_a_path_that_no_adapter_reads_changes_nothing(
    make_edge: MakeEdge,
) -> None:
    edge = staged(make_edge(FakeModel(), POLICY), Stage.DEGRADE)
    driven = await drive(edge.app, http_scope("/health", method="GET", key="a"), request())
    assert (driven.status, edge.pause.asked) == (200, [])


@pytest.mark.anyio
async def test_a_long_body_is_rewritten_beside_the_event_loop(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def note(read: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*asked: Any) -> Any:
            threads.append(threading.get_ident())
            return read(*asked)

        return noting

    monkeypatch.setattr(stages, "degrade_call", note(degrade_call))
    monkeypatch.setattr(usage_event, "ask_for_usage", note(ask_for_usage))
    edge = staged(make_edge(FakeModel(), POLICY), Stage.DEGRADE, 0)
    for size in (LONG_BODY + 1, 9):
        messages = [{"role": "user", "content": "x" * size}]
        await ask(edge, {**CHAT, "stream": True, "messages": messages})
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [False, False, True, True]


@pytest.mark.anyio
@pytest.mark.parametrize("step", ["degrade_call", "ask_for_usage"])
async def test_cancelling_a_call_whose_body_is_being_rewritten_gives_everything_back(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    began, goes_on = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        began.set()
        goes_on.wait()

    monkeypatch.setattr(stages if step == "degrade_call" else usage_event, step, wait)
    stage = Stage.DEGRADE if step == "degrade_call" else Stage.NONE
    edge = staged(make_edge(FakeModel(), POLICY), stage, 0)
    messages = [{"role": "user", "content": "x" * LONG_BODY}]
    sent = request({**CHAT, "stream": True, "messages": messages})

    async def receive() -> Message:
        return sent.pop(0)

    async def send(_message: Message) -> None:
        raise AssertionError

    scope = http_scope(key="a")
    call = asyncio.ensure_future(edge.app(scope, receive, send))
    try:
        await asyncio.to_thread(began.wait)
        assert edge.held
        call.cancel()
        await asyncio.wait((call,))
        await edge.quiet()
        assert not edge.held
    finally:
        goes_on.set()
