"""What is different for a tier: limits, prices, delays and stages."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.adapters.base import Call, Channel, Dialect, Segment
from querybudget.coverage import Stage
from querybudget.limiter import Admission, Limiter, Outcome
from querybudget.testing import FakeAnalyzer, memory_limiter
from querybudget.testing.asgi import http_scope
from querybudget.units import MICRO, SECOND

pytestmark = pytest.mark.anyio

HALF_SPENT = range(50)


def limiter(**tiers: dict[str, Any]) -> Limiter:
    return memory_limiter(
        {
            "identity": ["user"],
            "tiers": {
                name: {"when": {"claim": {"plan": name}}, **rest} for name, rest in tiers.items()
            },
            "budgets": [
                {
                    "name": "breadth",
                    "limit": "100 buckets/day",
                    "price": {"free": 0, "cap": 10, "curve": "linear", "slope": 9},
                    "then": {"slow": 0.5},
                    "delay": "8s",
                    "mode": "enforce",
                },
                {
                    "name": "plain",
                    "limit": "1000 buckets/day",
                    "mode": "enforce",
                    "price": "none",
                    "score": "false",
                },
            ],
        },
        analyzer=FakeAnalyzer({"half": HALF_SPENT}),
    )


async def spent_half(which: Limiter, *plans: str) -> Admission:
    """The second call of a caller, whose first has spent half of its buckets."""
    asked = Call(Dialect.OPENAI, "chat", segments=(Segment(Channel.SAID, "half"),))
    scope = http_scope(user=plans[0], auth={"plan": list(plans)})
    await which.settle(await which.admit(scope, asked), Outcome.ANSWERED)
    return await which.admit(scope, asked)


def price_of(admission: Admission) -> float:
    assert admission.decision is not None
    return admission.decision.price / MICRO


async def test_a_tier_scales_how_far_a_price_rises() -> None:
    tiers = limiter(
        new={"scale": {"price": 2}}, half={"scale": {"price": 0.5}}, free={"scale": {"price": 0}}
    )
    plans = ("any", "new", "half", "free")
    assert [price_of(await spent_half(tiers, plan)) for plan in plans] == [5.5, 10, 3.25, 1]


async def test_a_tier_scales_delays() -> None:
    tiers = limiter(new={"scale": {"delay": 3}}, free={"scale": {"delay": 0}})
    found = [(await spent_half(tiers, plan)).delay for plan in ("any", "new", "free")]
    assert found == [2 * SECOND, 6 * SECOND, 0]


async def test_a_tier_has_stages_of_its_own() -> None:
    tiers = limiter(
        new={"then": {"slow": 0.2, "degrade": 0.4}}, good={"then": {"slow": 0.9}}, free={"then": []}
    )
    plans = ("any", "new", "good", "free")
    found = [(await spent_half(tiers, plan)).stage for plan in plans]
    assert found == [Stage.SLOW, Stage.DEGRADE, Stage.NONE, Stage.NONE]


async def test_a_budget_without_stages_gets_none_from_a_tier() -> None:
    tiers = limiter(new={"then": ["refuse"]})
    admission = await spent_half(tiers, "new")
    responses = {line.quota.name: line.response for line in admission.lines}
    assert responses["plain"] is not None
    assert responses["plain"].stages == ()


async def test_a_budget_may_be_named_as_what_tiers_scale() -> None:
    tiers = memory_limiter(
        {
            "identity": ["user"],
            "tiers": {"new": {"when": {"source": "user"}, "scale": {"price": 2, "delay": 3}}},
            "budgets": [
                {"name": "price", "limit": "10 requests/day"},
                {"name": "delay", "limit": "10 requests/day"},
            ],
        }
    )
    admission = await tiers.admit(http_scope(user="ada"))
    assert [line.quota.limit // MICRO for line in admission.lines] == [20, 30]


async def test_tiers_besides_another_scale_too() -> None:
    tiers = limiter(new={"scale": {"price": 0.5}}, odd={"scale": {"price": 0.5}, "also": True})
    admission = await spent_half(tiers, "new", "odd")
    assert admission.tier == "new"
    assert price_of(admission) == 2.125
