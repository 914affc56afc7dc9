"""The threshold of the sweep score follows the deployment's own callers."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.adapters.base import Call, Channel, Dialect, Segment
from querybudget.coverage.calibration import Calibration
from querybudget.ledger import Charge
from querybudget.testing import FakeAnalyzer, memory_limiter
from querybudget.testing.asgi import http_scope
from querybudget.units import SECOND

pytestmark = pytest.mark.anyio

DAY = 24 * 3_600 * SECOND
BREADTH = {"name": "breadth", "limit": "9 buckets/day"}
RPM = {"name": "rpm", "limit": "9 requests/minute"}
TIERS = {"keyless": {"when": {"source": "client_address"}}}
ADAPTIVE = {
    "disturb": "1%",
    "callers": 30,
    "established": {"age": "2 days", "calls": 9},
    "floor": 0.6,
    "ceiling": 0.8,
}


async def charge(*budgets: dict[str, Any], key: str = "a", **settings: Any) -> Charge:
    limiter = memory_limiter(
        {
            "secret": "0123456789abcdef",
            "identity": ["api_key", "client_address"],
            "tiers": TIERS,
            "budgets": list(budgets),
            **settings,
        },
        analyzer=FakeAnalyzer(),
    )
    call = Call(Dialect.OPENAI, "chat", segments=(Segment(Channel.SAID, "What is a noun?"),))
    admission = await limiter.admit(http_scope(key=key), call)
    assert admission.reserved is not None
    return admission.reserved.charge


async def test_scores_are_calibrated_as_the_policy_says() -> None:
    charged = await charge(BREADTH, adaptive=ADAPTIVE)
    assert charged.calibration == Calibration(
        "calibration:tier:default", 10_000, 30, 2 * DAY, 9, 600_000, 800_000
    )


@pytest.mark.parametrize(("key", "tier"), [("a", "default"), ("", "keyless")])
async def test_callers_of_a_tier_are_calibrated_by_each_other(key: str, tier: str) -> None:
    charged = await charge(BREADTH, key=key, adaptive=ADAPTIVE)
    assert charged.calibration is not None
    assert charged.calibration.partition == f"calibration:tier:{tier}"
    assert charged.profiled[-1] == charged.calibration.partition


async def test_the_shipped_threshold_holds_where_the_policy_says_nothing() -> None:
    charged = await charge(BREADTH)
    assert charged.calibration is None
    assert len(charged.profiled) == 1


async def test_a_call_that_no_bucket_budget_is_for_calibrates_nothing() -> None:
    charged = await charge(RPM, BREADTH | {"match": {"tier": "keyless"}}, adaptive=ADAPTIVE)
    assert charged.calibration is None
    assert charged.profiled == ()
