from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from querybudget.asgi.types import Receive, Scope, Send
from querybudget.errors import StoreError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.testing import FakeModel, drive, http_scope, request

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
BUDGET = {"name": "rpm", "limit": "1 requests/minute"}


def broken(edge: Any, verbs: str) -> Any:
    """Let the store of a bench fail at some of its verbs."""

    async def reserve(charge: Charge) -> Decision:
        raise StoreError("nobody is there")

    async def settle(reservation: Reservation, amounts: Sequence[int]) -> Settled:
        raise StoreError("nobody is there any more")

    for verb, fails in (("reserve", reserve), ("settle", settle)):
        if verb in verbs:
            setattr(edge.store, verb, fails)
    return edge


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_a_budget_says_whether_calls_go_on_while_the_store_is_down(
    bench: Callable[..., Any], suspends: bool, caplog: pytest.LogCaptureFixture
) -> None:
    answers = {("allow", "enforce"): 200, ("deny", "enforce"): 503, ("deny", "shadow"): 200}
    for (word, mode), status in answers.items():
        budget = {**BUDGET, "on_store_error": word, "mode": mode}
        edge = broken(bench(FakeModel(), {"budgets": [budget]}, suspends=suspends), "reserve")
        driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
        assert driven.status == status
        assert "nobody is there" in caplog.text
        assert "nobody" not in driven.body.decode()
        assert edge.decisions.last.verdict == "store_error"


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_an_answer_is_whole_though_its_settlement_fails(
    bench: Callable[..., Any], suspends: bool, caplog: pytest.LogCaptureFixture
) -> None:
    edge = broken(bench(FakeModel(), {"budgets": [BUDGET]}, suspends=suspends), "settle")
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    await edge.quiet()
    assert driven.status == 200
    assert driven.json["choices"]
    assert edge.decisions.last.settlement == "failed"
    assert "will expire" in caplog.text


@pytest.mark.anyio
async def test_a_cancelled_call_s_failing_undo_is_only_logged(
    bench: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    edge = broken(bench(FakeModel(), {"budgets": [BUDGET]}, suspends=True), "settle")
    await drive(edge.app, http_scope(key="a"), request(CHAT), cancel_at=1)
    await edge.quiet()
    assert "will expire by itself" in caplog.text


@pytest.mark.anyio
async def test_a_handshake_is_refused_while_the_store_is_down(bench: Callable[..., Any]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("reached")

    budget = {**BUDGET, "on_store_error": "deny"}
    edge = broken(bench(app, {"budgets": [budget]}), "reserve")
    scope = {**http_scope("/ws"), "type": "websocket"}
    driven = await drive(edge.app, scope, [{"type": "websocket.connect"}])
    assert driven.sent == [{"type": "websocket.close", "code": 1013}]


@pytest.mark.anyio
async def test_a_call_that_outlives_its_reservation_is_said_to(
    bench: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        edge.clock.advance(3600)
        await FakeModel()(scope, receive, send)

    edge = bench(app, {"budgets": [BUDGET]})
    await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert edge.decisions.last.settlement == "late"
    assert "`hold`" in caplog.text
