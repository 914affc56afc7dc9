"""A program that uses querybudget's public names, for type checkers: it is not run.

`assert_type` says what a checker must see; a name that is `Any` or unknown fails.
"""

from __future__ import annotations

from typing import Any, assert_type

from querybudget import (
    BlockingLimiter,
    Call,
    DecisionEvent,
    Dialect,
    Limiter,
    MemoryStore,
    Outcome,
    Policy,
    PolicyError,
    QueryBudgetMiddleware,
    Store,
    Usage,
    health_app,
    load_policy,
    open_store,
    request_scope,
)
from querybudget.policy.model import Budget
from querybudget.stores import system_clock
from querybudget.testing import (
    Decisions,
    FakeModel,
    ManualClock,
    Reply,
    ScenarioResult,
    memory_limiter,
    run_scenario,
    spend,
    sweep,
)

BUDGETS: dict[str, Any] = {"budgets": [{"name": "rpm", "limit": "60 requests/minute"}]}


def hook(event: DecisionEvent) -> None:
    """Read an event."""
    assert_type(event.violated, tuple[str, ...])
    assert_type(event.usage, Usage | None)
    assert_type(event.status, int)


async def serve() -> None:
    """Use a limiter without HTTP."""
    policy = load_policy(BUDGETS)
    assert_type(policy, Policy)
    assert_type(policy.budgets, tuple[Budget, ...])
    async with Limiter(policy, store=MemoryStore(system_clock()), hooks=[hook]) as limiter:
        assert_type(limiter, Limiter)
        admission = await limiter.admit(request_scope("/grpc"), Call(Dialect.OPENAI, "chat"))
        await limiter.settle(admission, Outcome.ANSWERED, Usage(input=1, output=2))
        QueryBudgetMiddleware(health_app(limiter), limiter=limiter)


def test() -> None:
    """Use the testing kit."""
    clock, decisions = ManualClock(), Decisions()
    limiter = memory_limiter("policy.yaml", clock=clock, hooks=[decisions])
    assert_type(limiter, Limiter)
    spend(limiter, "90%", of="rpm", caller="alice")
    FakeModel(Reply(text="Hello")).then(Reply(status=503))
    assert_type(decisions.of("alice"), list[DecisionEvent])
    assert_type(sweep(3), list[str])
    assert_type(run_scenario(limiter.policy, limiter.policy.tests[0]), ScenarioResult)


def problems(policy: str) -> list[str]:
    """Handle what is wrong with a policy."""
    try:
        with BlockingLimiter(Limiter(Policy.load(policy))) as limiter:
            assert_type(limiter, BlockingLimiter)
        store = open_store("memory://", system_clock())
        assert_type(store, Store)
    except PolicyError as error:
        return [f"{problem.line}: {problem.message}" for problem in error.problems]
    return []
