from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from querybudget.asgi.types import Receive, Scope, Send
from querybudget.errors import StoreError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.resilience.guard import FAILURES
from querybudget.testing import FakeModel, Reply, drive, http_scope, request
from tests.asgi.conftest import MakeEdge
from tests.stores.scripted import Scripted, hurried

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
BUDGET = {"name": "rpm", "limit": "1 requests/minute"}


def broken(edge: Any, verbs: str) -> Any:
    """Let the store of an edge fail at some of its verbs."""

    async def reserve(charge: Charge) -> Decision:
        raise StoreError("no server is there")

    async def settle(reservation: Reservation, amounts: Sequence[int]) -> Settled:
        raise StoreError("no server is there any more")

    for verb, fails in (("reserve", reserve), ("settle", settle)):
        if verb in verbs:
            setattr(edge.store, verb, fails)
    return edge


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_a_budget_says_whether_calls_go_on_while_the_store_is_down(
    make_edge: MakeEdge, suspends: bool
) -> None:
    answers = {
        ("allow", "enforce"): (200, "none"),
        ("deny", "enforce"): (503, "none"),
        ("deny", "shadow"): (200, "none"),
        ("local", "enforce"): (200, "local"),
        ("local", "shadow"): (200, "local"),
    }
    for (word, mode), (status, store) in answers.items():
        budget = {**BUDGET, "on_store_error": word, "mode": mode}
        edge = broken(make_edge(FakeModel(), {"budgets": [budget]}, suspends=suspends), "reserve")
        driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
        assert driven.status == status
        assert "no server" not in driven.body.decode()
        event = edge.decisions.last
        assert event.store == store
        assert event.verdict == ("admit" if store == "local" else "store_error")


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("verbs", ["reserve", "settle", "reserve settle"])
async def test_an_outage_is_logged_once_however_many_calls_it_affects(
    make_edge: MakeEdge, suspends: bool, verbs: str, caplog: pytest.LogCaptureFixture
) -> None:
    budget = {**BUDGET, "limit": "100 requests/minute"}
    edge = broken(make_edge(FakeModel(), {"budgets": [budget]}, suspends=suspends), verbs)
    for _ in range(20):
        await drive(edge.app, http_scope(key="a"), request(CHAT))
        await edge.quiet()
    first, line = caplog.messages
    assert "failed a request (no server is there" in first
    assert "is down (no server is there" in line
    assert "on_store_error" in line


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_an_answer_is_whole_though_its_settlement_fails(
    make_edge: MakeEdge, suspends: bool
) -> None:
    edge = broken(make_edge(FakeModel(), {"budgets": [BUDGET]}, suspends=suspends), "settle")
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    await edge.quiet()
    assert driven.status == 200
    assert driven.json["choices"]
    assert edge.decisions.last.settlement == "deferred"
    assert edge.limiter.health().outbox == 1


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_a_settlement_that_failed_is_made_when_the_store_answers_again(
    make_edge: MakeEdge, suspends: bool
) -> None:
    budgets = [{"name": "tokens", "limit": "10_000 tokens/minute"}]
    edge = broken(make_edge(FakeModel(), {"budgets": budgets}, suspends=suspends), "settle")
    await drive(edge.app, http_scope(key="a"), request(CHAT))
    await edge.quiet()
    held = await edge.used("tokens")
    del edge.store.settle  # back to the class's own
    await drive(edge.app, http_scope(key="b"), request(CHAT))
    await edge.quiet()
    used = edge.decisions.last.usage
    assert used
    assert edge.limiter.health().outbox == 0
    assert edge.held == 0
    assert await edge.used("tokens") == 2 * (used.input + used.output) < held


@pytest.mark.anyio
async def test_a_cancelled_call_is_given_back_when_the_store_answers_again(
    make_edge: MakeEdge,
) -> None:
    edge = broken(make_edge(FakeModel(), {"budgets": [BUDGET]}, suspends=True), "settle")
    await drive(edge.app, http_scope(key="a"), request(CHAT), cancel_at=1)
    await edge.quiet()
    assert edge.held == 1
    del edge.store.settle  # back to the class's own
    await drive(edge.app, http_scope(key="b"), request(CHAT))
    await edge.quiet()
    assert edge.held == 0
    assert await edge.used("rpm") == 1


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_whatever_a_store_raises_a_request_is_answered(
    make_edge: MakeEdge, suspends: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def wrong(*_: object) -> Decision:
        raise ZeroDivisionError("secret words")

    budget = {**BUDGET, "limit": "9 requests/minute"}
    edge = make_edge(FakeModel(), {"budgets": [budget]}, suspends=suspends)
    edge.store.reserve = wrong
    for _ in range(3):
        assert (await drive(edge.app, http_scope(key="a"), request(CHAT))).status == 200
    assert edge.limiter.health().last_error == "ZeroDivisionError"
    assert [record.exc_info is not None for record in caplog.records] == [True]


@pytest.mark.anyio
async def test_a_store_that_hangs_costs_a_request_its_time_out_and_then_nothing(
    make_edge: MakeEdge,
) -> None:
    waits: list[float] = []

    async def wait(futures: Collection[asyncio.Future[Any]], seconds: float) -> None:
        waits.append(seconds)
        await hurried(futures, seconds)

    policy = {"budgets": [BUDGET], "store": {"url": "memory://", "timeout": "40ms"}}
    edge = make_edge(FakeModel(), policy, suspends=True)
    edge.wait = wait
    store = Scripted(edge.clock, ever="hangs")
    edge.store.reserve = store.reserve
    for _ in range(12):
        assert (await drive(edge.app, http_scope(key="a"), request(CHAT))).status == 200
    assert waits == [0.04] * FAILURES
    assert edge.limiter.health().timeouts == FAILURES
    await edge.limiter.aclose()
    assert not edge.limiter.busy


@pytest.mark.anyio
async def test_a_local_refusal_is_one_like_any_other(make_edge: MakeEdge) -> None:
    budget = {**BUDGET, "limit": "6 requests/minute", "on_store_error": "local"}
    policy = {"budgets": [budget], "store": {"url": "memory://", "workers": 3}}
    edge = broken(make_edge(FakeModel(), policy, suspends=True), "reserve")
    driven = [await drive(edge.app, http_scope(key="a"), request(CHAT)) for _ in range(3)]
    assert [one.status for one in driven] == [200, 200, 429]
    assert driven[0].headers["x-ratelimit-limit-requests"] == "2"
    assert driven[2].headers["retry-after"] == "60"
    assert driven[2].json["error"]["code"] == "rate_limit_exceeded"
    edge.decisions.assert_refused(1, by="rpm")
    assert edge.decisions.last.verdict == "wait"
    assert edge.decisions.last.store == "local"
    edge.clock.advance(60)
    assert (await drive(edge.app, http_scope(key="a"), request(CHAT))).status == 200


@pytest.mark.anyio
async def test_the_on_store_error_of_each_budget_is_followed(
    make_edge: MakeEdge,
) -> None:
    one = {"name": "one", "limit": "1 requests/hour"}
    for others, statuses in (
        ([{"on_store_error": "allow"}], [200, 200]),
        ([{"on_store_error": "local"}], [200, 429]),
        ([{"on_store_error": "deny", "mode": "shadow"}], [200, 200]),
        ([{"on_store_error": "local", "mode": "shadow"}], [200, 200]),
        ([{"on_store_error": "local"}, {"on_store_error": "deny"}], [503, 503]),
        ([{"on_store_error": "allow"}, {"on_store_error": "local"}], [200, 429]),
    ):
        budgets = [{**one, "name": f"b{at}", **words} for at, words in enumerate(others)]
        edge = broken(make_edge(FakeModel(), {"budgets": budgets}, suspends=True), "reserve")
        driven = [await drive(edge.app, http_scope(key="a"), request(CHAT)) for _ in range(2)]
        assert [each.status for each in driven] == statuses


LOCAL = {
    "budgets": [
        {"name": "rpm", "limit": "10 requests/minute", "on_store_error": "local"},
        {"name": "tokens", "limit": "100_000 tokens/minute", "on_store_error": "local"},
        {"name": "parallel", "limit": "4 concurrent", "on_store_error": "local"},
        {"name": "all", "limit": "1000 requests/day", "per": "everyone"},
    ],
}
STREAM = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}


def failing(make_edge: MakeEdge, word: str) -> Any:
    """An edge whose store does what a word says at reserve and settle, and whose guard hurries."""
    model = FakeModel(Reply(text="0123456789abcdefghij", chunks=5))
    edge: Any = make_edge(model, LOCAL, suspends=True)
    edge.wait = hurried
    edge.scripted = Scripted(edge.clock, ever=word)
    edge.scripted.inner = edge.memory
    edge.store.reserve = edge.scripted.reserve
    edge.store.settle = edge.scripted.settle
    return edge


@pytest.mark.anyio
@pytest.mark.parametrize("level", [False, True], ids=["task", "scope"])
@pytest.mark.parametrize("word", ["fails", "hangs", "late", "breaks", "lost", "nonsense"])
async def test_cancelling_at_any_await_while_the_store_fails_leaves_nothing_held(
    make_edge: MakeEdge, word: str, level: bool
) -> None:
    whole = failing(make_edge, word)
    awaits = (await drive(whole.app, http_scope(key="a"), request(STREAM))).awaits
    await whole.limiter.aclose()
    for at in range(awaits):
        edge = failing(make_edge, word)
        driven = await drive(
            edge.app, http_scope(key="a"), request(STREAM), cancel_at=at, level=level
        )
        edge.scripted.gate.set()
        edge.scripted.ever = "works"
        await drive(edge.app, http_scope(key="b"), request(STREAM))
        await edge.limiter.aclose()
        assert driven.cut
        if word != "lost":  # A reservation of nothing may be left, whose answer was lost.
            assert edge.held == 0
        local = edge.limiter._resilient._fallback.store
        tables = (local._newcomers, local._known)
        assert [a.open for table in tables for a in table.values() if a.open] == []
        usages = [event.usage for event in edge.decisions.admitted if event.usage is not None]
        assert await edge.used("rpm") == len(usages)
        assert await edge.used("tokens") == sum(usage.input + usage.output for usage in usages)


@pytest.mark.anyio
async def test_a_handshake_is_refused_while_the_store_is_down(make_edge: MakeEdge) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("reached")

    budget = {**BUDGET, "on_store_error": "deny"}
    edge = broken(make_edge(app, {"budgets": [budget]}), "reserve")
    scope = {**http_scope("/ws"), "type": "websocket"}
    driven = await drive(edge.app, scope, [{"type": "websocket.connect"}])
    assert driven.sent == [{"type": "websocket.close", "code": 1013}]


@pytest.mark.anyio
async def test_a_call_that_outlives_its_reservation_is_logged(
    make_edge: MakeEdge, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        edge.clock.advance(3600)
        await FakeModel()(scope, receive, send)

    edge = make_edge(app, {"budgets": [BUDGET]})
    await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert edge.decisions.last.settlement == "late"
    assert "`hold`" in caplog.text
