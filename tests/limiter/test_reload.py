"""Another policy in the place of the one that decides, while calls go on."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Call, Channel, Dialect, Segment
from querybudget.coverage import Observation
from querybudget.errors import SetupError
from querybudget.events import DecisionEvent
from querybudget.limiter import Admission, Limiter, Outcome, reloading
from querybudget.overrides import AuditEntry, Effect, Override
from querybudget.policy import load_policy
from querybudget.policy.model import Mode, Policy
from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock
from querybudget.testing.limiter import memory_limiter
from querybudget.units import MICRO, NO_TIME

CHAT = "/v1/chat/completions"
OWN = {"name": "own", "limit": "9 requests/minute"}
OPEN = {"name": "open", "limit": "3 concurrent"}


def policy(*budgets: dict[str, Any], **more: Any) -> Policy:
    return load_policy(
        {"secret": "0123456789abcdef", "identity": ["user"], "budgets": list(budgets), **more}
    )


def scope(user: str = "ada") -> dict[str, Any]:
    return {"type": "http", "method": "POST", "path": CHAT, "headers": [], "user": user}


async def used(limiter: Limiter, budget: str, user: str = "ada") -> int:
    (one,) = [each for each in limiter.policy.budgets if each.name == budget]
    key = limiter.caller_for(scope(user)).identity.key
    ((remaining, _),) = await limiter.store.peek(key, (one.quota,))
    return (one.quota.limit - remaining) // MICRO


async def test_usage_is_kept_and_the_difference_is_said_in_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "querybudget")
    limiter = memory_limiter(policy(OWN, OPEN))
    before = limiter.policy_hash
    for _ in range(2):
        await limiter.settle(await limiter.admit(scope()), Outcome.ANSWERED)
    more = {"name": "more", "limit": "5 requests/hour", "mode": "shadow"}
    change = await limiter.reload(policy(OWN | {"limit": "2 requests/minute"}, more, hold="1h"))
    assert change.changes == (
        "budget 'own': limit 9 requests in any minute becomes 2 requests in any minute",
        "budget 'open' is removed",
        "budget 'more' is added: 5 requests in any hour, shadow",
        "`hold` changes",
    )
    assert (change.old, change.new) == (before, limiter.policy_hash)
    assert "takes the place of" in caplog.text
    assert (await limiter.admit(scope())).refusal is not None
    assert (await limiter.reload(limiter.policy)).changes == ()


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ({}, {"then": ["slow"]}, "then"),
        ({"price": "b4b"}, {}, "price"),
        ({"price": {"free": 0.5}}, {"price": {"free": 0.6}}, "price"),
        ({"then": ["slow"]}, {"then": ["slow"], "delay": "9s"}, "delay"),
        ({}, {"score": False}, "score"),
        ({}, {"score": "only"}, "score"),
    ],
)
def test_a_difference_in_what_buckets_lead_to_is_named_by_its_key_in_the_file(
    before: dict[str, Any], after: dict[str, Any], key: str
) -> None:
    broad = {"name": "breadth", "limit": "1000 buckets/30 days"}
    old, new = policy(broad | before), policy(broad | after)
    assert reloading.differences(old, new) == (f"budget 'breadth': `{key}` changes",)


async def test_a_calendar_budget_that_was_used_is_the_same_when_it_is_loaded_again() -> None:
    daily = {"name": "daily", "limit": "9 requests/day", "window": "calendar"}
    limiter = memory_limiter(policy(daily))
    await limiter.settle(await limiter.admit(scope()), Outcome.ANSWERED)
    limiter.set_mode("daily", Mode.SHADOW)
    limiter.set_mode("daily", Mode.ENFORCE)
    change = await limiter.reload(policy(daily))
    assert change.changes == ()
    assert change.old == change.new


def test_the_hash_names_what_decides_calls_and_not_who_watches_them() -> None:
    watched = policy(OWN, traffic_log="t.jsonl", metrics="/-/metrics", watch=False)
    assert memory_limiter(watched).policy_hash == memory_limiter(policy(OWN)).policy_hash
    webhooks = {"url": "https://example.com/hook", "secret": "0123456789abcdef"}
    told = memory_limiter(policy(OWN, webhooks=webhooks))
    assert told.policy_hash == memory_limiter(policy(OWN)).policy_hash
    assert told.policy_hash != memory_limiter(policy(OWN, hold="1h")).policy_hash


async def test_an_open_call_settles_as_it_was_decided() -> None:
    limiter = memory_limiter(policy(OWN, OPEN))
    admission = await limiter.admit(scope())
    await limiter.reload(policy(OWN | {"limit": "5 requests/minute"}))
    await limiter.settle(admission, Outcome.FAILED)
    assert await used(limiter, "own") == 0
    await limiter.reload(policy(OWN, OPEN))
    assert await used(limiter, "open") == 0


async def test_a_request_that_is_under_way_is_decided_by_the_policy_it_came_under() -> None:
    events: list[DecisionEvent] = []
    first = policy(OWN, tiers={"gold": {"when": {"source": "user"}, "scale": {"own": 2}}})
    limiter = memory_limiter(first, hooks=[events.append])
    route = limiter.route_for("POST", CHAT)
    assert route is not None
    await limiter.reload(policy(OPEN, tiers={"silver": {"when": {"source": "user"}}}))
    old = await limiter.admit_call(limiter.caller_for(scope()), route, "POST", CHAT)
    assert (old.tier, [line.quota.name for line in old.lines]) == ("gold", ["own"])
    assert old.lines[0].quota.limit == 18 * MICRO
    new = await limiter.admit(scope())
    assert (new.tier, [line.quota.name for line in new.lines]) == ("silver", ["open"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"secret": "another-secret-of-16"}, "secret"),
        ({"store": "sqlite:///elsewhere.db"}, "store"),
        ({"max_identities": 11}, "max_identities"),
    ],
)
async def test_what_needs_a_restart_is_named_and_changes_nothing(
    change: dict[str, Any], word: str
) -> None:
    limiter = memory_limiter(policy(OWN))
    before = limiter.policy
    with pytest.raises(SetupError, match=f"restart is needed for `{word}`"):
        await limiter.reload(
            load_policy({"secret": "0123456789abcdef", "budgets": [OWN], **change})
        )
    assert limiter.policy is before


async def test_the_first_budget_in_buckets_counts_without_a_restart() -> None:
    limiter = memory_limiter(policy(OWN))
    buckets = {"name": "ground", "limit": "100 buckets/30 days"}
    await limiter.reload(policy(OWN, buckets))
    text = Segment(
        Channel.SAID, "Explain how a violin is tuned, and why its strings are in fifths."
    )
    asked = Call(Dialect.OPENAI, "chat", segments=(text,))
    await limiter.settle(await limiter.admit(scope(), asked), Outcome.ANSWERED)
    assert await used(limiter, "ground") > 0
    with pytest.raises(SetupError, match="restart is needed for `capabilities`"):
        await limiter.reload(policy(OWN, buckets, capabilities={"coding": 2}))
    opened = limiter.analyzer
    await limiter.reload(policy(OWN))
    assert limiter.analyzer is opened
    await limiter.aclose()


class Analyzer:
    """An analyzer that knows whether it was closed."""

    names = ()
    closed = False

    async def analyze(self, call: Call, caller: str, /) -> Observation:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.closed = True


async def test_reloads_at_once_that_add_the_first_budget_in_buckets_open_one_analyzer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[Analyzer] = []

    def opens(policy: Policy, secret: bytes) -> Analyzer:
        opened.append(Analyzer())
        return opened[-1]

    monkeypatch.setattr(reloading, "analyzer_for", opens)
    limiter = memory_limiter(policy(OWN))
    buckets = {"name": "ground", "limit": "100 buckets/30 days"}
    fewer = buckets | {"limit": "50 buckets/30 days"}
    await asyncio.gather(limiter.reload(policy(OWN, buckets)), limiter.reload(policy(OWN, fewer)))
    assert opened == [limiter.analyzer]
    assert limiter.policy.budgets[1].quota.limit == 50 * MICRO
    await limiter.aclose()
    assert [each.closed for each in opened] == [True]


async def test_a_policy_that_fails_leaves_no_analyzer_behind() -> None:
    limiter = memory_limiter(policy(OWN))
    buckets = {"name": "ground", "limit": "100 buckets/30 days"}
    with pytest.raises(SetupError, match="nowhere"):
        await limiter.reload(policy(OWN, buckets, overrides=[{"callable": "nowhere:overrides"}]))
    assert limiter.analyzer is None


async def test_a_budget_is_enforced_and_put_back_into_shadow() -> None:
    limiter = memory_limiter(policy(OWN | {"mode": "shadow", "limit": "1 requests/minute"}))
    await limiter.admit(scope())
    assert (await limiter.admit(scope())).refusal is None
    change = limiter.set_mode("own", Mode.ENFORCE)
    assert change.changes == ("budget 'own': shadow becomes enforce",)
    assert (await limiter.admit(scope())).refusal is not None
    limiter.set_mode("own", Mode.SHADOW)
    assert (await limiter.admit(scope())).refusal is None
    with pytest.raises(LookupError, match="did you mean `own`"):
        limiter.set_mode("owm", Mode.SHADOW)


async def test_a_switch_in_this_process_ends_with_the_policy_that_it_was_made_under() -> None:
    limiter = memory_limiter(policy(OWN))
    limiter.set_mode("own", Mode.SHADOW)
    change = await limiter.reload(policy(OWN, OPEN))
    assert "budget 'own': shadow becomes enforce" in change.changes


def mode(limiter: Limiter) -> Mode:
    return limiter.policy.budgets[0].mode


async def test_a_switch_of_the_store_acts_wherever_its_policy_runs_and_nowhere_else() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    shadow = OWN | {"mode": "shadow"}
    here, there = (Limiter(policy(shadow), store=store, clock=clock) for _ in range(2))
    other = Limiter(policy(shadow, OPEN), store=store, clock=clock)
    entry = here.switches.switch("own", Mode.ENFORCE)
    await store.override(entry, AuditEntry(NO_TIME, "ana", "mode", ""))
    for limiter in (here, there, other):
        await limiter.feed.refresh()
    assert [mode(each) for each in (here, there, other)] == [
        Mode.ENFORCE,
        Mode.ENFORCE,
        Mode.SHADOW,
    ]
    assert here.policy_hash == there.policy_hash == Limiter(policy(OWN)).policy_hash
    await there.reload(policy(shadow))  # the same again: it stays
    assert mode(there) is Mode.ENFORCE
    await here.reload(policy(shadow, OPEN))
    assert mode(here) is Mode.SHADOW
    assert await store.remove_override(entry.id, None)
    await there.feed.refresh()
    assert mode(there) is Mode.SHADOW
    assert there.rules.overrides is None


async def test_overrides_of_the_store_outlive_a_reload_and_the_policys_own_do_not() -> None:
    limiter = memory_limiter(policy(OWN, overrides=[{"user": "bob", "block": True}]))
    key = limiter.caller_for(scope()).identity.key
    limiter.feed.stored = (Override("1", key, effect=Effect.BLOCK),)
    await limiter.reload(policy(OWN))
    assert (await limiter.admit(scope("bob"))).refusal is None
    assert (await limiter.admit(scope())).refusal is not None


POLICIES = (
    policy(OWN | {"limit": "4 requests/minute"}),
    policy(OPEN, OWN | {"limit": "6 requests/minute"}),
    policy(OWN | {"limit": "2 requests/minute"}, {"name": "more", "limit": "3 requests/minute"}),
)


@given(st.lists(st.integers(-2, len(POLICIES) - 1), max_size=40))
async def test_no_use_is_lost_and_no_call_is_decided_by_two_policies(steps: list[int]) -> None:
    """Steps: a policy to load, -1 for a call that begins, -2 for the oldest to end."""
    limiter = memory_limiter(POLICIES[0])
    began: list[Admission] = []
    admitted = 0
    for step in steps:
        if step >= 0:
            await limiter.reload(POLICIES[step])
        elif step == -1:
            admission = await limiter.admit(scope())
            names = [line.quota.name for line in admission.lines]
            assert names == [budget.name for budget in limiter.policy.budgets]
            limits = [line.quota.limit for line in admission.lines]
            assert limits == [budget.quota.limit for budget in limiter.policy.budgets]
            if admission.refusal is None:
                admitted += 1
                began.append(admission)
        elif began:
            await limiter.settle(began.pop(0), Outcome.ANSWERED)
        assert await used(limiter, "own") == admitted
