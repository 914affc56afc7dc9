"""Overrides on the path: what they make of a call's lines, and whom they block."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.adapters.base import Dialect
from querybudget.errors import RefusedError
from querybudget.events import DecisionEvent, EventVerdict
from querybudget.limiter import Admission, Limiter, Refusal
from querybudget.limiter.overriding import overridden
from querybudget.overrides import Effect, Override
from querybudget.refusals import blocked
from querybudget.testing.limiter import memory_limiter
from querybudget.units import MICRO, Algorithm, Millionths, Quota, Unit

CHAT = "/v1/chat/completions"
POLICY = {
    "secret": "0123456789abcdef",
    "partitions": {"org": {"claim": "org.id"}},
    "budgets": [
        {"name": "own", "limit": "2 requests/minute"},
        {"name": "team", "limit": "3 requests/minute", "per": "org"},
    ],
}


def scope(key: str = "sk-1", org: str = "acme") -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    return {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "headers": headers,
        "auth": {"org": {"id": org}},
    }


def override(limiter: Limiter, *entries: Override) -> None:
    limiter.rules.apply(entries)


async def admitted(limiter: Limiter, times: int, key: str = "sk-1", org: str = "acme") -> int:
    """How many of several calls are admitted."""
    decided = [await limiter.admit(scope(key, org)) for _ in range(times)]
    return sum(one.refusal is None for one in decided)


async def parts(limiter: Limiter, key: str = "sk-1") -> tuple[str, str]:
    """Keys of the caller's own account, and of its pool."""
    caller = limiter.caller_for(scope(key))
    return caller.identity.key, limiter.matcher.partitions.pool("org", caller)


async def test_a_factor_raises_the_limit_of_one_caller_and_of_no_other() -> None:
    limiter = memory_limiter(POLICY)
    me, _ = await parts(limiter)
    override(limiter, Override("1", me, "own", factor=Millionths(2 * MICRO)))
    assert await admitted(limiter, 9) == 3  # the pool's limit still holds
    assert await admitted(limiter, 9, "sk-2", "other") == 2


async def test_a_pool_that_is_overridden_changes_for_all_its_members() -> None:
    limiter = memory_limiter(POLICY)
    _, pool = await parts(limiter)
    override(limiter, Override("1", pool, "team", amount=2 * MICRO))
    assert [await admitted(limiter, 2, f"sk-{n}") for n in range(4)] == [2, 2, 1, 0]


async def test_a_caller_who_is_allowed_is_counted_and_refused_by_nothing() -> None:
    limiter = memory_limiter(POLICY)
    me, _ = await parts(limiter)
    override(limiter, Override("1", me, effect=Effect.ALLOW))
    assert await admitted(limiter, 9) == 9
    assert await admitted(limiter, 9, "sk-2") == 2  # the pool has as much for the others as before
    override(limiter)
    assert await admitted(limiter, 9) == 1  # the pool's third; nothing is owed


async def test_an_override_ends_when_it_says() -> None:
    limiter = memory_limiter(POLICY)
    me, _ = await parts(limiter)
    until = limiter.clock() + 60 * MICRO
    override(limiter, Override("1", me, effect=Effect.BLOCK, until=until))  # type: ignore[arg-type]
    assert await admitted(limiter, 1) == 0
    limiter.clock.advance(60)  # type: ignore[attr-defined]
    assert await admitted(limiter, 1) == 1


@pytest.mark.parametrize("whose", ["caller", "pool", "everyone"])
async def test_a_blocked_caller_is_refused_before_anything_is_charged(whose: str) -> None:
    events: list[DecisionEvent] = []
    limiter = memory_limiter(POLICY, hooks=[events.append])
    me, pool = await parts(limiter)
    part = {"caller": me, "pool": pool, "everyone": "everyone"}[whose]
    override(limiter, Override("1", part, "tokens", effect=Effect.BLOCK))
    admission: Admission = await limiter.admit(scope())
    assert admission.refusal is Refusal.BLOCKED
    assert not admission.lines
    assert [event.verdict for event in events] == [EventVerdict.BLOCKED]
    with pytest.raises(RefusedError, match="blocked by the operator") as refused:
        async with limiter.admitted(scope()):
            pass
    assert refused.value.wait == 0
    override(limiter)
    assert await admitted(limiter, 9) == 2


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_dialect_says_that_a_caller_is_blocked(dialect: Dialect) -> None:
    answer = blocked(dialect, request_id="req_1")
    assert answer.status == 403
    assert b"blocked by the operator" in answer.body


def test_overrides_of_a_limit_follow_each_other_and_allowing_wins() -> None:
    quota = Quota("own", Unit.REQUESTS, 10 * MICRO, 60 * MICRO, Algorithm.SLIDING, 10 * MICRO)
    entries = [
        Override("1", "a", factor=Millionths(2 * MICRO)),
        Override("2", "a", "own", amount=5 * MICRO),
        Override("3", "a", "requests", factor=Millionths(2 * MICRO)),
        Override("4", "a", "another", limit=MICRO),
    ]
    found = overridden(entries, quota, 0)
    assert (found.quota.limit, found.allowed) == (50 * MICRO, False)
    assert [entry.id for entry in found.entries] == ["1", "2", "3"]
    assert overridden([*entries, Override("5", "a", effect=Effect.ALLOW)], quota, 0).allowed
