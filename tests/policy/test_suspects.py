"""`suspects` in a policy: which budgets may have it, and what is said of a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.coverage.response import Suspects
from querybudget.errors import PolicyError
from querybudget.policy import load_policy
from querybudget.replay.demand import Demand, measuring

BUDGET = {"name": "newcomers", "limit": "9 buckets/day", "per": "tier", "suspects": {}}


def loaded(**changes: Any) -> Any:
    return load_policy({"secret": "0123456789abcdef", "budgets": [{**BUDGET, **changes}]})


def test_the_shares_are_a_tenth_and_a_hundredth_unless_the_policy_says_others() -> None:
    assert loaded().budgets[0].response.suspects == Suspects(100_000, 10_000)
    given = loaded(suspects={"slow": "20%", "refuse": 0.05}).budgets[0].response.suspects
    assert given == Suspects(200_000, 50_000)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"per": "identity"}, "expected `per` to pool callers, as `tier` does"),
        ({"score": False}, "expected no `suspects` beside `score: false`"),
        ({"limit": "9 requests/day"}, "expected a limit in buckets beside `suspects`"),
        ({"suspects": {"slow": "60%"}}, "expected a share of 0.1% to 50%, found 0.6"),
        ({"suspects": {"refuse": 0}}, "expected a share of 0.1% to 50%, found 0"),
        ({"suspects": {"slow": "1%", "refuse": "2%"}}, "expected at most 0.01, as for `slow`"),
        ({"suspects": {"slo": "1%"}}, "(did you mean `slow`?)"),
    ],
)
def test_a_wrong_one_is_a_problem(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(PolicyError) as caught:
        loaded(**changes)
    assert problem in str(caught.value)


def test_calibrate_proposes_nothing_for_what_only_suspects_spend() -> None:
    demand = Demand(measuring(loaded()))
    assert demand.names == ()
    assert demand.pools == {}
