"""Operators see whom a population test touches, and how many it expected and found."""

from __future__ import annotations

import pytest

from querybudget.admin import LocalAdmin
from querybudget.admin.populations import pools_of, touched_of
from querybudget.admin.views import is_internal
from querybudget.console.phrases import touched_words
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.fitted import TAIL_SHARES
from querybudget.coverage.group import Group, GroupChange
from querybudget.coverage.reason import Touched
from querybudget.ledger import Account
from querybudget.ledger.windows import SlidingState
from querybudget.limiter import Limiter
from querybudget.limiter.lines import NEWCOMERS
from querybudget.stores import AccountRecord
from querybudget.testing.limiter import memory_limiter

NOW = 1_700_000_000_000_000
TAILS = len(TAIL_SHARES)
SHARED = {"limit": "1000 buckets/30 days", "suspects": {}}
POLICY = {
    "secret": "0123456789abcdef",
    "adaptive": {"disturb": "0.5%"},
    "tiers": {"new": {"when": {"claim": {"plan": "trial"}}}},
    "budgets": [
        {"name": "newcomers", "per": "tier", "match": {"tier": "new"}, **SHARED},
        {"name": "all", "per": "everyone", **SHARED},
        {"name": "unlinked", "per": "template", **SHARED},
    ],
}


@pytest.fixture
def limiter() -> Limiter:
    return memory_limiter(POLICY)


def population(in_none: int, in_all: int) -> Group:
    group = Group()
    for tail, number in ((0, in_none), (TAILS, in_all)):
        for _ in range(number):
            group.add(GroupChange(first=True, look=0, tail=tail), NOW)
    return group


def record(key: str, profile: CallerProfile | Group, tier: str = "new") -> AccountRecord:
    windows = {"sliding:newcomers": SlidingState()} if isinstance(profile, Group) else {}
    account = Account(NOW, dict(windows), profile=profile, seen=NOW, tier=tier)
    return AccountRecord(key, account, known=True)


def caller(tail: int, tier: str = "new") -> AccountRecord:
    return record("0" * 32, CallerProfile(NOW, 5, looked=1, tails=[tail]), tier)


def test_a_caller_has_the_pools_that_its_tier_names(limiter: Limiter) -> None:
    rules = limiter.rules
    assert pools_of(caller(0), rules) == {"newcomers": "tier:new", "all": "everyone"}
    assert pools_of(caller(0, "default"), rules) == {"all": "everyone"}
    assert pools_of(record("tier:new", population(1, 0)), rules) == {"newcomers": "tier:new"}


def test_a_touched_caller_shows_how_many_were_expected_and_found(limiter: Limiter) -> None:
    groups = {"tier:new": record("tier:new", population(60, 40))}
    found = touched_of(caller(TAILS), groups, limiter.rules)
    assert {name: (one.expected, one.observed) for name, one in found.items()} == {
        "newcomers": (3, 40)
    }
    assert touched_of(caller(0), groups, limiter.rules) == {}
    assert touched_of(caller(TAILS), {}, limiter.rules) == {}


def test_a_pool_shows_those_of_its_members_that_are_furthest_up(limiter: Limiter) -> None:
    pool = record("tier:new", population(60, 40))
    assert touched_of(pool, {"tier:new": pool}, limiter.rules)["newcomers"].observed == 40


def test_what_established_callers_showed_counts_here_too(limiter: Limiter) -> None:
    learnt = Group()
    for tail in [0] * 180 + [TAILS] * 20:
        learnt.add(GroupChange(established=(tail,)), NOW)
    groups = {
        "tier:new": record("tier:new", population(93, 7)),
        NEWCOMERS: record(NEWCOMERS, learnt),
    }
    assert touched_of(caller(TAILS), {**groups, NEWCOMERS: groups["tier:new"]}, limiter.rules)
    assert not touched_of(caller(TAILS), groups, limiter.rules)


def test_it_is_said_in_words() -> None:
    (words,) = touched_words({"newcomers": Touched(650_000, 12, 1_600)})
    assert "1,600 members" in words
    assert "12 if all were honest (budget newcomers)" in words


async def test_the_account_of_what_established_callers_showed_is_not_listed() -> None:
    limiter = memory_limiter(POLICY)
    assert is_internal(NEWCOMERS)
    assert (await LocalAdmin(limiter).accounts()).accounts == ()
