from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from querybudget import QueryBudgetMiddleware
from querybudget.errors import SetupError
from querybudget.limiter import Limiter
from querybudget.testing import (
    Decisions,
    FakeAnalyzer,
    FakeModel,
    ManualClock,
    memory_limiter,
    spend,
    sweep,
)

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
POLICY: dict[str, Any] = {
    "identity": ["api_key"],
    "secret": "0123456789abcdef0123456789abcdef",
    "budgets": [
        {"name": "rpm", "limit": "2 requests/minute"},
        {"name": "tokens", "limit": "1000 tokens/day"},
        {"name": "parallel", "limit": "2 concurrent"},
    ],
}
COVERAGE: dict[str, Any] = {
    "identity": ["api_key"],
    "budgets": [
        {
            "name": "narrow",
            "limit": "10 buckets/30 days",
            "mode": "enforce",
            "then": ["slow", "degrade"],
        },
        {"name": "wide", "limit": "400 buckets/30 days", "mode": "enforce", "then": ["slow"]},
    ],
}


def chat(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


class Service:
    """A fake model behind a policy, and what was decided."""

    def __init__(self, policy: dict[str, Any], **more: Any) -> None:
        self.decisions, self.clock = Decisions(), ManualClock()
        self.limiter = memory_limiter(policy, clock=self.clock, hooks=[self.decisions], **more)
        self.client = TestClient(QueryBudgetMiddleware(FakeModel(), limiter=self.limiter))

    def ask(self, caller: str, body: dict[str, Any] = CHAT) -> int:
        headers = {"authorization": f"Bearer {caller}"}
        return self.client.post("/v1/chat/completions", json=body, headers=headers).status_code


def test_assertions_count_the_calls_of_one_caller_by_the_name_that_the_test_gave_it() -> None:
    service = Service(POLICY)
    assert [service.ask("alice") for _ in range(3)] == [200, 200, 429]
    assert service.ask("bob") == 200
    decisions = service.decisions
    decisions.assert_admitted(2, caller="alice")
    decisions.assert_refused(1, by="rpm", caller="alice")
    decisions.assert_refused(1, wait=60, caller="alice")
    decisions.assert_refused(0, caller="bob")
    decisions.assert_admitted(1, caller=decisions.last.identity.key)
    assert len(decisions.of("alice")) == 3
    with pytest.raises(
        AssertionError,
        match=r"1 call of bob refused, found 0:\n  bob: 1 POST .* admitted, .*\n  alice: ",
    ):
        decisions.assert_refused(1, caller="bob")


def test_a_budget_that_the_policy_does_not_have_is_an_error_and_not_a_count_of_zero() -> None:
    decisions = Service(POLICY).decisions
    for check in (decisions.assert_refused, decisions.assert_slowed, decisions.assert_degraded):
        with pytest.raises(LookupError, match=r"'tokenz' \(did you mean `tokens`\?\): it has "):
            check(0, by="tokenz")


def test_a_failed_assertion_shows_the_waits_of_what_it_found() -> None:
    service = Service(POLICY)
    for _ in range(4):
        service.ask("alice")
        service.clock.advance(10)
    with pytest.raises(AssertionError) as failed:
        service.decisions.assert_refused(wait=3, caller="alice")
    assert str(failed.value) == (
        "expected at least one call of alice refused for 3s, found 0:\n  alice: 2 POST"
        " /v1/chat/completions admitted, answered 200; 2 POST /v1/chat/completions refused (wait)"
        " by rpm for 30s to 40s"
    )


def test_a_failed_assertion_after_many_calls_shows_a_few_callers_and_counts_the_others() -> None:
    service = Service(POLICY)
    for number in range(9):
        for _ in range(1 + number % 3):
            service.ask(f"caller-{number}")
    for index in range(8):
        path = f"/v1/models/{index}"
        service.client.get(path, headers={"authorization": "Bearer caller-8"})
    with pytest.raises(AssertionError) as failed:
        service.decisions.assert_refused(5, caller="caller-8")
    first, *others, last = str(failed.value).splitlines()[1:]
    assert first.startswith(
        "  caller-8: 2 POST /v1/chat/completions admitted, answered 200; 1 POST"
    )
    assert first.endswith("; and 4 others")
    assert [line.split(":")[0].strip() for line in others] == [f"caller-{n}" for n in range(4)]
    assert last == "  and 8 calls of 4 others"
    service.decisions.clear()
    with pytest.raises(AssertionError, match="found 0: no calls at all"):
        service.decisions.assert_admitted()


def test_a_failed_assertion_shows_the_line_of_the_test_and_not_of_the_kit() -> None:
    service = Service(POLICY)
    with pytest.raises(AssertionError) as failed:
        service.decisions.assert_admitted()
    assert [entry.path for entry in failed.traceback.filter(failed)] == [Path(__file__)]


def test_a_body_that_cannot_be_read_is_said_to_be() -> None:
    service = Service(POLICY)
    service.ask("alice", {"model": "m", "messages": "not a list"})
    with pytest.raises(AssertionError, match="with a body that cannot be read admitted"):
        service.decisions.assert_refused()


def test_a_failed_assertion_says_what_budgets_in_shadow_would_have_done() -> None:
    service = Service({**POLICY, "mode": "shadow"})
    for _ in range(3):
        service.ask("alice")
    with pytest.raises(AssertionError, match=r"1 POST .* 200 \(in shadow: refused by rpm\)"):
        service.decisions.assert_refused()


def test_an_argument_of_another_type_is_an_error_that_says_what_was_expected() -> None:
    service = Service(POLICY)
    service.ask("alice")
    decisions, limiter, clock = service.decisions, service.limiter, service.clock
    wrong: list[tuple[Callable[..., object], tuple[object, ...], dict[str, object], str]] = [
        (clock.fast_forward, (60,), {}, "a time such as '1 day' or '90s', found 60"),
        (clock.advance, ("60",), {}, r"seconds \(`fast_forward` takes text\), found '60'"),
        (
            spend,
            (limiter, 0.5),
            {"of": "rpm"},
            "an amount such as '900 tokens' or '90%', found 0.5",
        ),
        (
            spend,
            (limiter, "1"),
            {"of": ["rpm"]},
            r"`of` as the name of one budget, found \['rpm'\]",
        ),
        (spend, (limiter, "1"), {"of": "rpm", "caller": 7}, "`caller` as an API key, found 7"),
        (decisions.assert_refused, (), {"by": ["rpm"]}, r"`by` as .* one budget, found \['rpm'\]"),
        (decisions.assert_refused, (), {"wait": "60s"}, "`wait` in seconds, found '60s'"),
        (decisions.assert_priced, (), {"over": "3"}, "`over` as a factor, found '3'"),
        (decisions.assert_admitted, ("2",), {}, "`times` as a number of calls, found '2'"),
        (
            decisions.assert_admitted,
            (),
            {"caller": ["alice"]},
            "`caller` as the name of one caller",
        ),
        (decisions.of, (b"alice",), {}, "`caller` as the name of one caller, found b'alice'"),
        (sweep, ("ten",), {}, "a number of prompts, found 'ten'"),
    ]
    for function, values, named, message in wrong:
        with pytest.raises(TypeError, match=f"expected {message}"):
            function(*values, **named)
    with pytest.raises(ValueError, match="expected `times` as a number of calls of at least 0"):
        decisions.assert_admitted(-1)
    loose = Decisions()
    with pytest.raises(TypeError, match="as the name of one budget"):
        loose.assert_refused(0, by=["rpm"])  # type: ignore[arg-type]


def test_a_caller_who_never_called_is_an_error_that_lists_a_few_who_did() -> None:
    service = Service(POLICY)
    for number in range(20):
        service.ask(f"c{number:02}")
    with pytest.raises(LookupError, match=r"no caller 'x' has called: .* c11 and 8 others"):
        service.decisions.of("x")


def test_callers_without_a_name_are_named_by_their_source() -> None:
    service = Service(POLICY)
    service.client.post("/v1/chat/completions", json=CHAT)
    with pytest.raises(AssertionError, match=r"anonymous: 1 POST .* admitted"):
        service.decisions.assert_refused()


def test_a_hook_of_no_limiter_takes_any_budget_and_shows_keys() -> None:
    decisions = Decisions()
    limiter = Limiter(memory_limiter(POLICY).policy, hooks=[decisions])
    client = TestClient(QueryBudgetMiddleware(FakeModel(), limiter=limiter))
    client.post("/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer alice"})
    decisions.assert_refused(0, by="tokenz")
    decisions.assert_admitted(0, caller="alice")
    key = decisions.last.identity.key
    with pytest.raises(AssertionError, match=f"{key[:12]}: 1 POST .* admitted"):
        decisions.assert_refused()


def test_slowed_and_degraded_calls_are_counted_by_the_budget_that_did_it() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    service = Service(COVERAGE, analyzer=FakeAnalyzer(), sleep=sleep)
    for text in "abcdefghij":
        service.ask("alice", chat(text))
    decisions = service.decisions
    decisions.assert_slowed(len(slept), by="narrow")
    assert slept
    decisions.assert_slowed(0, by="wide")
    decisions.assert_degraded(by="narrow", caller="alice")
    decisions.assert_degraded(0, by="wide")
    decisions.assert_priced(caller="alice", over=1)
    with pytest.raises(LookupError, match=r"no caller 'alcie' has called \(did you mean `alice`"):
        decisions.assert_priced(0, caller="alcie")


def test_a_clock_goes_forward_by_a_time_as_policies_write_it() -> None:
    clock = ManualClock(0)
    assert clock.fast_forward("1 day") == 86_400_000_000
    assert clock.fast_forward("90s") == clock.now == 86_490_000_000
    with pytest.raises(ValueError, match="expected a duration"):
        clock.fast_forward("soon")
    assert clock.now == 86_490_000_000


def test_spending_uses_up_a_budget_as_calls_would_have() -> None:
    service = Service(POLICY)
    spend(service.limiter, "1000 tokens", of="tokens", caller="alice")
    assert (service.ask("alice"), service.ask("bob")) == (429, 200)
    service.decisions.assert_refused(1, by="tokens", caller="alice")
    service.clock.fast_forward("1 day")
    assert service.ask("alice") == 200
    spend(service.limiter, "50%", of="rpm", caller="alice")
    assert service.ask("alice") == 429
    spend(service.limiter, "2", of="parallel", caller="carol")
    assert service.ask("carol") == 429
    service.decisions.assert_refused(1, by="parallel", caller="carol")


@pytest.mark.anyio
async def test_spending_awaits_nothing_so_it_serves_asynchronous_tests_too() -> None:
    limiter = memory_limiter(POLICY)
    spend(limiter, "100%", of="rpm", caller="alice")
    with pytest.raises(ValueError, match="expected at most 0 of 'rpm', found '1'"):
        spend(limiter, "1", of="rpm", caller="alice")


def test_spending_says_what_is_wrong() -> None:
    limiter = memory_limiter({**POLICY, "budgets": [*POLICY["budgets"], _of_big_models()]})
    listed = r"did you mean `tokens`\?\): it has big, parallel, rpm, tokens"
    with pytest.raises(LookupError, match=listed):
        spend(limiter, "1", of="tokenz")
    with pytest.raises(LookupError, match=r"'big' does not apply to a chat at .* of model 'small'"):
        spend(limiter, "1", of="big", model="small")
    spend(limiter, "1", of="big", model="big-1")
    with pytest.raises(ValueError, match="expected an amount in tokens, found '1 requests'"):
        spend(limiter, "1 requests", of="tokens")
    with pytest.raises(ValueError, match="expected at most 1000 of 'tokens', found '1001'"):
        spend(limiter, "1001", of="tokens", caller="dora")


@pytest.mark.anyio
async def test_spending_needs_a_store_in_memory(tmp_path: Path) -> None:
    async with Limiter(
        memory_limiter(POLICY).policy, store=f"sqlite:///{tmp_path}/a.db"
    ) as limiter:
        with pytest.raises(SetupError, match="memory_limiter"):
            spend(limiter, "1", of="rpm")


def test_a_sweep_asks_something_else_each_time_and_the_same_in_each_run() -> None:
    assert len(set(sweep(1147))) == 1147
    assert sweep(3) == sweep(1147)[:3]
    with pytest.raises(ValueError, match="expected at most 1147 prompts, found 1148"):
        sweep(1148)


def _of_big_models() -> dict[str, Any]:
    return {"name": "big", "limit": "5 requests/day", "match": {"model": "big-*"}}
