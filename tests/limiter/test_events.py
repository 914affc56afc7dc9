"""The words of a `DecisionEvent`: enums that programs may keep reading as strings."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.coverage import Stage
from querybudget.errors import SetupError
from querybudget.events import DecidedBy, DecisionEvent, EventStage, EventVerdict, Settlement
from querybudget.ledger import Settled, Verdict
from querybudget.limiter import Refusal, request_scope
from querybudget.testing import Decisions, FakeModel, memory_limiter


def test_the_words_are_those_that_programs_know() -> None:
    assert {word.value for word in EventVerdict} == {
        "admit", "wait", "never", "unpriced", "store_error", "too_many_delayed"
    }  # fmt: skip
    assert [word.value for word in Settlement] == [
        "", "done", "late", "repeated", "deferred", "failed"
    ]  # fmt: skip
    assert [word.value for word in DecidedBy] == ["shared", "local", "none"]
    assert [word.value for word in EventStage] == ["none", "slow", "degrade", "refuse"]


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_its_word(stage: Stage) -> None:
    assert EventStage[stage.name] == stage.name.lower()


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_its_word(verdict: Verdict) -> None:
    assert EventVerdict[verdict.name] == verdict.name.lower()


@pytest.mark.parametrize("settled", list(Settled))
def test_everything_that_settling_does_has_its_word(settled: Settled) -> None:
    assert Settlement(settled.value) == settled.value


def test_every_refusal_that_no_budget_decides_has_its_word() -> None:
    others = {Refusal.QUOTA, Refusal.ABNORMAL}
    assert {EventVerdict(word.value) for word in Refusal if word not in others}


async def coroutine_function(event: DecisionEvent) -> None:
    raise AssertionError("reached")


class Awaited:
    async def __call__(self, event: DecisionEvent) -> None:
        raise AssertionError("reached")


@pytest.mark.parametrize(
    "hooks",
    [[coroutine_function], [partial(coroutine_function)], [Awaited()], [print, None], print],
    ids=["coroutine function", "partial", "object", "none", "no list"],
)
def test_a_hook_that_would_never_run_is_a_setup_error(hooks: Any) -> None:
    policy = {"budgets": [{"name": "rpm", "limit": "1/minute"}]}
    with pytest.raises(SetupError, match="hook"):
        memory_limiter(policy, hooks=hooks)
    with pytest.raises(SetupError, match="hook"):
        QueryBudgetMiddleware(FakeModel(), policy, hooks=hooks)


async def test_an_event_is_encoded_with_strings() -> None:
    seen = Decisions()
    budget = {"name": "rpm", "limit": "1/minute"}
    limiter = memory_limiter({"identity": ["api_key"], "budgets": [budget]}, hooks=[seen])
    scope = request_scope("/x", headers={"authorization": "Bearer a"})
    async with limiter.admitted(scope, Call(Dialect.PROBLEM, "generate")) as admission:
        admission.used(Usage(1))
    event = msgspec.json.decode(msgspec.json.encode(seen.last))
    words = ("verdict", "settlement", "store", "stage", "shadow_stage")
    assert [event[word] for word in words] == ["admit", "done", "shared", "none", "none"]
