"""Events are JSON whatever the policy is, and say what a call was charged and what it is called."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.events import encode_event
from querybudget.limiter import Outcome, request_scope
from querybudget.limiter.notices import fingerprint
from querybudget.policy import Policy, presets
from querybudget.testing import (
    Decisions,
    FakeModel,
    ManualClock,
    drive,
    http_scope,
    memory_limiter,
    request,
)

pytestmark = pytest.mark.anyio

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
RULES: dict[str, Any] = {
    "identity": ["api_key"],
    "models": {"m": {"input": 3, "output": 7}},
    "budgets": [
        {"name": "rpm", "limit": "100/minute"},
        {"name": "tokens", "limit": "9k tokens/day", "per": ["everyone"]},
        {"name": "money", "limit": "$5/month", "window": "calendar", "timezone": "Europe/Berlin"},
        {"name": "open", "limit": "9 concurrent"},
    ],
}


@pytest.mark.parametrize("name", presets.names())
async def test_the_events_of_every_preset_are_json(name: str) -> None:
    rules = Policy.load(f"preset:{name}", environ={})
    app = QueryBudgetMiddleware(
        FakeModel(), limiter=memory_limiter(rules, hooks=[seen := Decisions()])
    )
    await drive(app, http_scope("/v1/chat/completions", key="k"), request(CHAT))
    event = msgspec.json.decode(encode_event(seen.last))
    assert event["policy"] == fingerprint(rules)
    assert event["request_id"].startswith("req_")


async def test_an_event_of_calendar_windows_is_json() -> None:
    limiter = memory_limiter(RULES, hooks=[seen := Decisions()])
    async with limiter.admitted(request_scope("/v1/chat/completions"), chat()):
        pass
    assert b"Europe/Berlin" in encode_event(seen.last)


def chat(**values: Any) -> Call:
    return Call(Dialect.OPENAI, "chat", model="m", **values)


@given(
    calls=st.lists(
        st.tuples(st.sampled_from(Outcome), st.integers(0, 400), st.integers(0, 400)), max_size=6
    )
)
def test_what_events_say_was_charged_is_what_the_accounts_have_used(
    calls: list[tuple[Outcome, int, int]],
) -> None:
    import anyio  # noqa: PLC0415

    anyio.run(_charges, calls)


async def _charges(calls: list[tuple[Outcome, int, int]]) -> None:
    limiter = memory_limiter(RULES, hooks=[seen := Decisions()])
    spent: dict[str, int] = dict.fromkeys(("rpm", "tokens", "money"), 0)
    for outcome, asked, answered in calls:
        admission = await limiter.admit(request_scope("/v1/chat/completions"), chat())
        await limiter.settle(admission, outcome, Usage(asked, output=answered))
        for name, amount in seen.last.charged.items():
            spent[name] += amount
    probe = await limiter.admit(request_scope("/v1/chat/completions"), chat(max_output=0))
    await limiter.settle(probe, Outcome.FAILED)
    for line in probe.lines:
        if line.quota.name in spent:
            ((left, _),) = await limiter.store.peek(line.partition, [line.quota])
            assert line.quota.capacity - left == spent[line.quota.name]


async def test_a_price_is_included_and_a_late_settlement_charges_no_less_than_the_estimate() -> (
    None
):
    clock = ManualClock()
    limiter = memory_limiter({**RULES, "hold": "60s"}, clock=clock, hooks=[seen := Decisions()])
    scope = request_scope("/v1/chat/completions")
    admission = await limiter.admit(scope, chat(max_output=50))
    held = dict(zip([line.quota.name for line in admission.lines], _held(admission), strict=True))
    clock.advance(61)
    await limiter.settle(admission, Outcome.ANSWERED, Usage(1, output=1))
    assert seen.last.settlement == "late"
    assert seen.last.charged["tokens"] == held["tokens"]


def _held(admission: Any) -> tuple[int, ...]:
    return tuple(admission.decision.reservation.held)


@pytest.mark.parametrize(
    ("sent", "noted"),
    [
        ("abc-1", "abc-1"),
        ("a" * 128, "a" * 128),
        ("a" * 129, ""),
        ("a b", ""),
        ("a\x1b[31m", ""),
        ("", ""),
    ],
)
async def test_the_id_that_a_request_came_with_is_noted_if_it_is_plain_and_never_ours(
    sent: str, noted: str
) -> None:
    limiter = memory_limiter(RULES, hooks=[seen := Decisions()])
    app = QueryBudgetMiddleware(FakeModel(), limiter=limiter)
    scope = http_scope("/v1/chat/completions", key="k", headers={"x-request-id": sent})
    answer = await drive(app, scope, request(CHAT))
    assert seen.last.sent_id == noted
    assert seen.last.request_id != sent
    told = answer.headers.get("x-request-id")
    assert told == (None if noted else seen.last.request_id)


async def test_the_id_that_the_application_answers_with_stays_and_is_noted() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"X-Request-Id", b"chatcmpl-7")]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    limiter = memory_limiter(RULES, hooks=[seen := Decisions()])
    outer = QueryBudgetMiddleware(app, limiter=limiter)
    answer = await drive(outer, http_scope("/v1/chat/completions", key="k"), request(CHAT))
    assert answer.headers["x-request-id"] == "chatcmpl-7"
    assert seen.last.answer_id == "chatcmpl-7"


async def test_without_hooks_no_id_is_added_to_an_answer() -> None:
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(RULES))
    answer = await drive(app, http_scope("/v1/chat/completions", key="k"), request(CHAT))
    assert "x-request-id" not in answer.headers
