from __future__ import annotations

import pickle
from zoneinfo import ZoneInfo

import msgspec
import pytest

from querybudget.errors import PolicyProblem
from querybudget.ledger.calendar import Calendar
from querybudget.units import MICRO, SECOND, Algorithm, Period, Quota, Unit


def monthly() -> Quota:
    calendar = Calendar(Period.MONTH, ZoneInfo("Europe/Berlin"))
    month = Period.MONTH.length
    return Quota("spend", Unit.USD, 5 * MICRO, month, Algorithm.CALENDAR, 5 * MICRO, calendar)


def test_quotas_are_values() -> None:
    quota = monthly()
    assert quota.bounds is not None
    quota.bounds(0)
    assert (quota, hash(quota)) == (monthly(), hash(monthly()))
    assert pickle.loads(pickle.dumps(quota)) == quota  # noqa: S301 - our own bytes
    with pytest.raises(AttributeError):
        quota.limit = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_what_follows_from_a_quota_follows_when_it_is_replaced() -> None:
    quota = Quota("rpm", Unit.REQUESTS, 4 * MICRO, 60 * SECOND, Algorithm.SLIDING, 4 * MICRO)
    assert (quota.rate, quota.slot, quota.capacity, quota.key) == (
        (1, 15),
        SECOND,
        4 * MICRO,
        "sliding:rpm",
    )
    bucket = msgspec.structs.replace(quota, algorithm=Algorithm.GCRA, burst=MICRO, window=SECOND)
    assert (bucket.rate, bucket.capacity, bucket.key) == ((4, 1), MICRO, "gcra:rpm")
    passed = Quota("a", Unit.TOKENS, 1, 1, Algorithm.SLIDING, 1, rate=(9, 9), key="other")
    assert (passed.rate, passed.key) == ((1, 1), "sliding:a")


def test_problems_of_a_policy_are_values() -> None:
    problem = PolicyProblem("policy.yaml", 3, "$.budgets", "expected a list")
    assert len({problem, PolicyProblem("policy.yaml", 3, "$.budgets", "expected a list")}) == 1
    assert str(problem) == "policy.yaml:3: expected a list, at $.budgets"
