"""Budgets in buckets at the edge: a sweep is priced, slowed, degraded and refused, with a reason.

Wherever a call is cut, and whatever cuts it, what it held of buckets is exact.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import anyio.lowlevel
import pytest

from querybudget.adapters.base import Call, Usage
from querybudget.adapters.degrade import OUTPUT
from querybudget.asgi.types import Receive, Scope, Send
from querybudget.coverage import Observation
from querybudget.testing import Driven, FakeAnalyzer, FakeModel, Reply, drive, http_scope, request
from tests.asgi.conftest import MakeEdge

BREADTH = {"name": "breadth", "limit": "20 buckets/30 days", "mode": "enforce"}
STAGED = {**BREADTH, "then": ["slow", "degrade", "refuse"]}
RPM = {"name": "rpm", "limit": "1000 requests/minute"}
TOKENS = {"name": "tokens", "limit": "1_000_000 tokens/minute"}
DRAFT = {"refusals": {"ietf": "draft-11"}}
SECRET = re.compile(r"breadth|bucket|coverage|score|strain|\b20\b")
PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "problem": "/ask",
}
ROUTES = {"routes": [{"path": "/ask", "operation": "ask", "prompt": "/prompt"}]}


def chat(text: str, **members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **members}


def shown(driven: Driven) -> str:
    return driven.body.decode() + str(driven.headers)


class Slow(FakeAnalyzer):
    """An analyzer that suspends, as a remote one does."""

    async def analyze(self, call: Call, caller: str = "", /) -> Observation:
        await anyio.lowlevel.checkpoint()
        observation = await super().analyze(call, caller)
        await anyio.lowlevel.checkpoint()
        return observation


async def no_pause(seconds: float) -> None:
    await asyncio.sleep(0)


def covered(make_edge: MakeEdge, app: Any, *budgets: dict[str, Any], **how: Any) -> Any:
    # Always the same key: by one in 512, two hashes of opaque bodies are one bucket.
    settings = {"secret": "0123456789abcdef", **how.pop("settings", {})}
    analyzer = how.pop("analyzer", None) or FakeAnalyzer()
    edge = make_edge(app, {"budgets": list(budgets), **settings}, analyzer=analyzer, **how)
    edge.sleep = no_pause
    return edge


# -- a whole sweep


@pytest.mark.anyio
async def test_a_sweep_is_priced_then_slowed_then_degraded_then_refused(
    make_edge: MakeEdge,
) -> None:
    model = FakeModel()
    edge = covered(make_edge, model, STAGED, RPM)
    statuses: list[int] = []
    for number in range(25):
        body = chat(f"prompt {number}", n=2, logprobs=True, max_tokens=4_000)
        driven = await drive(edge.app, http_scope(key="a"), request(body))
        statuses.append(driven.status)
    assert statuses == [200] * 20 + [429] * 5
    events = edge.decisions.events
    stages = [event.stage for event in events]
    assert stages == ["none"] * 13 + ["slow"] * 4 + ["degrade"] * 3 + ["refuse"] * 5
    prices = [event.price for event in events[:20]]
    assert prices == sorted(prices)
    assert (prices[10], prices[11] > prices[10], prices[19] > 7_000_000) == (1_000_000, True, True)
    delays = [event.delay for event in events[:20]]
    assert delays == sorted(delays)
    assert [delay > 0 for delay in delays] == [False] * 13 + [True] * 7
    full, less = model.requests[16].json, model.requests[17].json
    assert (full["n"], full["logprobs"], full["max_tokens"]) == (2, True, 4_000)
    assert (less["n"], "logprobs" in less, less["max_tokens"]) == (1, False, OUTPUT)
    edge.decisions.assert_slowed(7)
    edge.decisions.assert_degraded(3)
    edge.decisions.assert_refused(5, by="breadth")
    # Old ground is still answered, and so is everybody else.
    again = await drive(edge.app, http_scope(key="a"), request(chat("prompt 0")))
    other = await drive(edge.app, http_scope(key="b"), request(chat("prompt 24")))
    assert (again.status, other.status) == (200, 200)
    assert edge.decisions.last.stage == "none"


@pytest.mark.anyio
async def test_the_same_sweep_in_shadow_changes_nothing(make_edge: MakeEdge) -> None:
    model = FakeModel()
    edge = covered(make_edge, model, {**STAGED, "mode": "shadow"}, RPM)
    for number in range(25):
        body = chat(f"prompt {number}", n=2)
        assert (await drive(edge.app, http_scope(key="a"), request(body))).status == 200
    assert all(request.json["n"] == 2 for request in model.requests)
    events = edge.decisions.events
    assert {(e.stage, e.delay, e.price) for e in events} == {("none", 0, 1_000_000)}
    assert [e.shadow_stage for e in events][-1] == "refuse"
    assert events[-1].shadow_price == 10_000_000
    assert await edge.used("rpm") == 50


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", PATHS)
async def test_a_refusal_says_abnormal_usage_and_no_answer_ever_shows_a_bucket(
    make_edge: MakeEdge, dialect: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    edge = covered(make_edge, app, STAGED, RPM, settings={**DRAFT, **ROUTES})
    refused = Driven()
    for number in range(22):
        body = {"prompt": str(number)} if dialect == "problem" else chat(str(number), max_tokens=9)
        refused = await drive(edge.app, http_scope(PATHS[dialect], key="a"), request(body))
        assert not SECRET.search(shown(refused)), shown(refused)
    assert refused.status == 429
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["retry-after"]) > 29 * 86_400
    assert "abnormal-usage-detected" in refused.body.decode()
    assert not [name for name in refused.headers if "ratelimit" in name]
    if dialect == "openai":
        assert refused.json["error"]["code"] == "abnormal-usage-detected"
    if dialect != "anthropic":
        assert refused.json["type"].endswith("#abnormal-usage-detected")


@pytest.mark.anyio
async def test_a_plain_budget_that_also_refuses_is_reported_with_its_own_wait(
    make_edge: MakeEdge,
) -> None:
    tight = {"name": "rpm", "limit": "1 requests/minute"}
    one = {**BREADTH, "limit": "1 buckets/30 days", "price": "none"}
    edge = covered(make_edge, FakeModel(), one, tight)
    await drive(edge.app, http_scope(key="a"), request(chat("a")))
    refused = await drive(edge.app, http_scope(key="a"), request(chat("b")))
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    assert refused.json["violated-policies"] == ["rpm"]
    assert not SECRET.search(shown(refused))


# -- what is given back


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "kept"),
    [(200, 1), (400, 0), (401, 0), (403, 0), (422, 0), (429, 0), (500, 0), (503, 0)],
)
async def test_only_an_answered_call_keeps_its_buckets(
    make_edge: MakeEdge, status: int, kept: int
) -> None:
    edge = covered(make_edge, FakeModel(Reply(status=status)), BREADTH, RPM)
    driven = await drive(edge.app, http_scope(key="a"), request(chat("a")))
    assert driven.status == status
    assert (await edge.used("breadth"), edge.held) == (kept, 0)


REPLY = Reply(text="0123456789abcdefghij", chunks=5, usage=Usage(input=7, output=5))
KINDS = [(False, False), (False, True), (True, False), (True, True)]
IDS = ["memory", "memory-slow_analyzer", "suspending", "suspending-slow_analyzer"]


async def spent(make_edge: MakeEdge, suspends: bool, waits: bool, **how: Any) -> Any:
    """A caller at the edge of being degraded, and the model it asks."""
    model = FakeModel(REPLY)
    analyzer = Slow() if waits else FakeAnalyzer()
    edge = covered(make_edge, model, STAGED, RPM, TOKENS, suspends=suspends, analyzer=analyzer)
    for number in range(17):
        await drive(edge.app, http_scope(key="a"), request(chat(str(number))))
    await edge.quiet()
    edge.decisions.clear()
    model.requests.clear()
    edge.before = {name: await edge.micro_used(name) for name in ("rpm", "tokens")}
    edge.model = model
    return edge


async def settled(edge: Any) -> None:
    """Nothing is held; a call that the model never saw cost nothing, any other its bucket."""
    await edge.quiet()
    assert edge.held == 0
    if edge.model.requests:
        assert await edge.used("breadth") == 18
    else:
        assert await edge.used("breadth") == 17
        used = {name: await edge.micro_used(name) for name in ("rpm", "tokens")}
        assert used == edge.before


LAST = chat("the last", stream=True, stream_options={"include_usage": True})


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize(("suspends", "waits"), KINDS, ids=IDS)
@pytest.mark.parametrize("level", [False, True], ids=["task", "scope"])
async def test_cancelling_at_any_await_is_exact(
    make_edge: MakeEdge, suspends: bool, waits: bool, level: bool
) -> None:
    at, unseen, stage = 0, 0, ""
    driven = Driven(cut=True)
    while driven.cut:
        edge = await spent(make_edge, suspends, waits)
        scope, messages = http_scope(key="a"), request(LAST)
        driven = await drive(edge.app, scope, messages, cancel_at=at, level=level)
        await settled(edge)
        unseen += not edge.model.requests
        stage = edge.decisions.events[-1].stage if edge.decisions.events else stage
        at += 1
    assert stage == "degrade"
    assert unseen >= 2 + 2 * waits + suspends


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize(("suspends", "waits"), KINDS, ids=IDS)
async def test_cancelling_in_any_turn_of_the_loop_is_exact(
    make_edge: MakeEdge, suspends: bool, waits: bool
) -> None:
    turn, driven = 0, Driven(cut=True)
    while driven.cut:
        edge = await spent(make_edge, suspends, waits)
        scope, messages = http_scope(key="a"), request(LAST)
        driven = await drive(edge.app, scope, messages, cancel_in_turn=turn)
        await settled(edge)
        turn += 1
    assert turn > 20


@pytest.mark.anyio
@pytest.mark.parametrize(("suspends", "waits"), KINDS, ids=IDS)
async def test_hanging_up_at_any_message_is_exact(
    make_edge: MakeEdge, suspends: bool, waits: bool
) -> None:
    reading = [(at, None) for at in range(4)]
    answered = [(None, after) for after in range(9)]
    for at, after in [*reading, *answered]:
        edge = await spent(make_edge, suspends, waits)
        messages = request(LAST, pieces=2)
        await drive(
            edge.app, http_scope(key="a"), messages, disconnect_at=at, disconnect_after=after
        )
        await settled(edge)


# -- other ways to ask


@pytest.mark.anyio
async def test_every_input_of_a_batch_takes_its_bucket(make_edge: MakeEdge) -> None:
    edge = covered(make_edge, FakeModel(), BREADTH)
    batch = {"model": "m", "prompt": ["a", "b", "c", "a"]}
    await drive(edge.app, http_scope("/v1/completions", key="a"), request(batch))
    assert await edge.used("breadth") == 3


@pytest.mark.anyio
async def test_counting_tokens_and_listing_models_take_no_buckets(
    make_edge: MakeEdge,
) -> None:
    edge = covered(make_edge, FakeModel(), BREADTH, RPM)
    count = http_scope("/v1/messages/count_tokens", key="a")
    await drive(edge.app, count, request(chat("a")))
    models = http_scope("/v1/models", key="a", method="GET")
    await drive(edge.app, models, request())
    assert await edge.used("breadth") == 0
    assert edge.limiter.analyzer.prompts == []


@pytest.mark.anyio
async def test_no_bucket_budget_applies_to_a_socket_and_its_messages_are_not_analyzed(
    make_edge: MakeEdge,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(3):
            await receive()
            await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close", "code": 1000})

    code = {**RPM, "name": "code", "match": {"capability": "coding"}}
    one = {**BREADTH, "limit": "1 buckets/day"}
    edge = covered(make_edge, app, one, RPM, code)
    scope = {**http_scope("/ws", key="a"), "type": "websocket"}
    texts = [{"type": "websocket.receive", "text": str(number)} for number in range(3)]
    driven = await drive(edge.app, scope, [{"type": "websocket.connect"}, *texts])
    assert [message["type"] for message in driven.sent][-1] == "websocket.close"
    assert driven.sent[-1]["code"] == 1000
    assert edge.limiter.analyzer.prompts == []
    assert (await edge.used("rpm"), await edge.used("code")) == (4, 0)
    assert {line.line.quota.name for e in edge.decisions.events for line in e.decision.lines} == {
        "rpm"
    }


@pytest.mark.anyio
async def test_everything_that_is_said_is_analyzed(make_edge: MakeEdge) -> None:
    edge = covered(make_edge, FakeModel(), BREADTH)
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "second"},
    ]
    await drive(edge.app, http_scope(key="a"), request({"model": "m", "messages": turns}))
    assert edge.limiter.analyzer.prompts == ["first", "second"]


BIG = b'{"messages": [{"role": "user", "content": "%s"}]' % (b"a" * 1024 * 1024)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [
        json.dumps(chat("hidden")).encode("utf-16"),
        json.dumps(chat("hidden")).encode("utf-32-le"),
        json.dumps({**chat("hidden"), "x": float("nan")}).encode(),
        b'{"n": 1e999, "messages": [{"role": "user", "content": "hidden"}]}',
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "hidden"}]}',
    ],
    ids=["utf-16", "utf-32", "nan", "infinite", "surrogates"],
)
async def test_bodies_that_only_python_servers_read_are_read_as_they_do(
    make_edge: MakeEdge, body: bytes
) -> None:
    model = FakeModel()
    edge = covered(make_edge, model, STAGED)
    for number in range(17):
        await drive(edge.app, http_scope(key="a"), request(chat(str(number))))
    await drive(edge.app, http_scope(key="a"), request(body))
    assert edge.limiter.analyzer.prompts[-1] == "hidden"
    assert edge.decisions.last.operation == "chat"
    assert edge.decisions.last.stage == "degrade"
    assert json.loads(model.requests[-1].body)["max_tokens"] == OUTPUT


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body", [b"no json", b'{"messages": 3}', BIG, b"[" * 5_000], ids=["none", "odd", "big", "deep"]
)
async def test_a_body_that_cannot_be_read_counts_as_a_new_bucket_if_it_is_answered(
    make_edge: MakeEdge, body: bytes
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        status = int(scope["query_string"] or 200)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    edge = covered(make_edge, app, BREADTH)
    for status, sent, buckets in ((b"400", body + b"  ", 0), (b"200", body, 1), (b"200", body, 1)):
        await drive(edge.app, http_scope(key="a", query_string=status), request(sent))
        assert await edge.used("breadth") == buckets
    await drive(edge.app, http_scope(key="a"), request(body + b" "))
    assert await edge.used("breadth") == 2
    assert edge.limiter.analyzer.prompts == []
