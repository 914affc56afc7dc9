"""Operators see which pools a caller spends with others, and how these are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from querybudget.admin import LocalAdmin
from querybudget.console.phrases import pool_words
from querybudget.limiter import Limiter
from querybudget.limiter.lines import CALIBRATION, NEWCOMERS
from querybudget.linking.lease import ACCOUNT, Lease
from querybudget.overrides import Effect, Override
from querybudget.testing import FakeAnalyzer
from querybudget.testing.limiter import memory_limiter
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO, SECOND

RING = "group:8a8e9907c471"
POLICY: dict[str, Any] = {
    "secret": "0123456789abcdef",
    "identity": ["user"],
    "linking": {},
    "partitions": {"org": {"claim": "org.id"}},
    "tiers": {"vip": {"when": {"claim": {"plan": "vip"}}}},
    "budgets": [
        {"name": "own", "limit": "9 requests/day"},
        {"name": "ring", "limit": "40 requests/day", "per": "group"},
        {"name": "tier", "limit": "50 requests/day", "per": "tier"},
        {"name": "vips", "limit": "60 requests/day", "per": "everyone", "match": {"tier": "vip"}},
        {"name": "firm", "limit": "70 requests/day", "per": "org", "mode": "shadow"},
        {"name": "breadth", "limit": "9 buckets/day"},
    ],
}


@pytest.fixture
def limiter() -> Limiter:
    return memory_limiter(POLICY, analyzer=FakeAnalyzer())


def scope(user: str, **claims: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [],
        "user": user,
        "auth": {"claims": claims},
    }


class Calls:
    """Remembers one call."""

    def __init__(self, record: TrafficRecord) -> None:
        self.record = record

    def find(self, request_id: str, /) -> TrafficRecord | None:
        return None

    def last(self, limit: int, account: str = "", /) -> Sequence[TrafficRecord]:
        return [self.record] if account == self.record.identity else []


async def test_a_caller_shows_the_pools_of_its_tier_and_group(limiter: Limiter) -> None:
    ada, bob = (limiter.caller_for(scope(name)).identity.key for name in ("ada", "bob"))
    for name in ("ada", "bob", "ada"):
        await limiter.admit(scope(name))
    for key in (ada, bob):
        entry = Override(f"link-{key}", key, RING, Effect.LINK)
        await limiter.administering.override(entry, None)
    await limiter.feed.refresh()
    await limiter.admit(scope("ada"))
    found = (await LocalAdmin(limiter).account(ada)).pools
    assert [pool.account for pool in found] == [RING, "tier:default"]
    assert [use.used // MICRO for pool in found for use in pool.budgets] == [1, 4]
    assert pool_words(found[1]) == ["pool tier:default, tier: 46 of 50 requests left"]
    assert (await LocalAdmin(limiter).account("tier:default")).pools == ()


async def test_remembered_calls_tell_which_other_pools_a_caller_is_in(limiter: Limiter) -> None:
    firm = scope("ada", org={"id": "acme"})
    await limiter.admit(firm)
    ada = limiter.caller_for(firm).identity.key
    org = limiter.matcher.partitions.pool("org", limiter.caller_for(firm))
    assert [pool.account for pool in (await LocalAdmin(limiter).account(ada)).pools] == [
        "tier:default"
    ]
    known = Calls(TrafficRecord(at=1, identity=ada, partitions={"org": org}, scores={"gone": 5}))
    found = (await LocalAdmin(limiter, known).account(ada)).pools
    assert [pool.account for pool in found] == ["tier:default", org]
    assert pool_words(found[1])[0].endswith("firm: 69 of 70 requests left (shadow)")


async def test_accounts_that_are_nobody_s_are_listed_only_if_asked_for(limiter: Limiter) -> None:
    await limiter.admit(scope("ada"))
    assert await Lease(limiter.store, limiter.clock).take(60 * SECOND)
    admin = LocalAdmin(limiter)
    listed = {each.account for each in (await admin.accounts()).accounts}
    assert ACCOUNT not in listed
    every = {each.account for each in (await admin.accounts(internal=True)).accounts}
    assert every - listed == {ACCOUNT}
    assert ACCOUNT not in {each.account for each in await admin.top("seen")}
    assert not any(each.startswith((CALIBRATION, NEWCOMERS)) for each in listed)
