"""A stage that shadow budgets alone would have put calls in is shown as theirs."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget import QueryBudgetMiddleware
from querybudget.admin import AccountView, LocalAdmin
from querybudget.cli.look import rows_of
from querybudget.testing import FakeAnalyzer, FakeModel, drive, http_scope, memory_limiter, request


async def seen(*budgets: dict[str, Any]) -> AccountView:
    """Ask five new questions as one caller, and look at its account."""

    async def sleep(_: float) -> None:
        pass

    policy = {"secret": "0123456789abcdef", "identity": ["api_key"], "budgets": list(budgets)}
    limiter = memory_limiter(policy, analyzer=FakeAnalyzer(), sleep=sleep)
    app = QueryBudgetMiddleware(FakeModel(), limiter=limiter)
    for prompt in "abcde":
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        await drive(app, http_scope(key="eve"), request(body))
    (view,) = await LocalAdmin(limiter).top("score")
    return view


def budget(name: str, mode: str, **then: float) -> dict[str, Any]:
    return {"name": name, "limit": "9 buckets/30 days", "mode": mode, "then": then}


@pytest.mark.parametrize(
    ("budgets", "stage", "in_shadow", "shown"),
    [
        ([budget("a", "shadow", degrade=0.3)], "degrade", True, "degraded (shadow)"),
        ([budget("a", "enforce", slow=0.3)], "slow", False, "slowed"),
        (
            [budget("a", "enforce", slow=0.3), budget("b", "shadow", degrade=0.3)],
            "slow",
            False,
            "slowed",
        ),
        ([budget("a", "enforce", slow=0.9)], "none", False, ""),
    ],
    ids=["shadow", "enforced", "both", "none"],
)
async def test_what_is_done_comes_before_what_would_be(
    budgets: list[dict[str, Any]], stage: str, in_shadow: bool, shown: str
) -> None:
    view = await seen(*budgets)
    assert (view.stage, view.stage_in_shadow) == (stage, in_shadow)
    assert rows_of([view]).rstrip().endswith(shown)
