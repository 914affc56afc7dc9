"""Tiers by what the store knows of a caller: read once, kept up to date, and safe if it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from querybudget.adapters.base import Call, Channel, Dialect, Segment, Usage
from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Charge, Decision
from querybudget.limiter import Admission, Limiter, Outcome
from querybudget.limiter.histories import REFRESH, STRANGER, Histories
from querybudget.policy.model import Policy
from querybudget.stores import AccountRecord, MemoryStore, Store, StoreSettings, open_store
from querybudget.testing import FakeAnalyzer, ManualClock, memory_limiter
from querybudget.testing.asgi import http_scope
from querybudget.units import MICRO, SECOND
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio

DAY = 24 * 3_600 * SECOND
RPM = {"name": "rpm", "limit": "100 requests/minute"}
BREADTH = {"name": "breadth", "limit": "2 buckets/day", "then": [], "mode": "enforce"}
PRICES = {"*": {"input": 1, "output": 1_000_000}}
"""A dollar for each token of an answer."""


def policy(when: dict[str, Any], *budgets: dict[str, Any], **more: Any) -> Policy:
    """A policy with one tier, of callers whose history is such."""
    return Policy.load(
        {
            "secret": "0123456789abcdef",
            "identity": ["user", "api_key"],
            "tiers": {"known": {"when": when, "scale": {"requests": 2}}},
            "budgets": list(budgets or (RPM,)),
            "store": {"url": "memory://", "timeout": "60s"},
            **more,
        }
    )


async def call(
    limiter: Limiter, user: str = "ada", *, tokens: int = 1, text: str = "Hi", **scope: Any
) -> Admission:
    """Make one call, which is answered."""
    asked = Call(Dialect.OPENAI, "chat", "m", segments=(Segment(Channel.SAID, text),))
    admission = await limiter.admit(http_scope(**{"user": user, **scope}), asked)
    if admission.refusal is None:
        await limiter.settle(admission, Outcome.ANSWERED, Usage(input=1, output=tokens))
        if admission.settling is not None:
            await admission.settling
    return admission


async def tier(limiter: Limiter, user: str = "ada", **scope: Any) -> str:
    return (await call(limiter, user, **scope)).tier


class Asked(MemoryStore):
    """A store that counts how often an account is looked at, and fails when it is told to."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.looks, self.down, self.full = 0, False, False

    async def reserve(self, charge: Charge) -> Decision:
        if self.full:
            raise StoreError("it is full")
        return await super().reserve(charge)

    async def account(self, partition: str) -> AccountRecord | None:
        self.looks += 1
        if self.down:
            raise StoreError("it is down")
        return await super().account(partition)


class Waiting(Asked):
    """The same, of which the limiter thinks that it may wait."""

    suspends = True


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


# -- What is known of callers ----------------------------------------------------------------------


async def test_a_caller_grows_old(clock: ManualClock) -> None:
    limiter = memory_limiter(policy({"age": "7 days"}), clock=clock)
    assert await tier(limiter) == "default"
    clock.now += 7 * DAY - 1
    assert await tier(limiter) == "default"
    clock.now += 1
    assert await tier(limiter) == "known"
    assert await tier(limiter, "bob") == "default"


async def test_a_tier_may_be_for_the_young(clock: ManualClock) -> None:
    limiter = memory_limiter(policy({"age": {"below": "7 days"}}), clock=clock)
    assert await tier(limiter) == "known"
    clock.now += 7 * DAY
    assert await tier(limiter) == "default"


async def test_only_answered_calls_count(clock: ManualClock) -> None:
    limiter = memory_limiter(policy({"calls": 2}), clock=clock)
    for outcome in (Outcome.FAILED, Outcome.REJECTED, Outcome.ANSWERED, Outcome.ANSWERED):
        admission = await limiter.admit(http_scope(user="ada"))
        assert admission.tier == "default"
        await limiter.settle(admission, outcome)
    assert await tier(limiter) == "known"


async def test_what_calls_cost_counts_whatever_the_estimate_was(clock: ManualClock) -> None:
    limiter = memory_limiter(policy({"spent": "$5"}, models=PRICES), clock=clock)
    assert await tier(limiter, tokens=4) == "default"
    assert await tier(limiter, tokens=1) == "default"
    assert await tier(limiter) == "known"


async def test_what_a_price_makes_calls_count_is_not_what_they_cost(clock: ManualClock) -> None:
    limiter = memory_limiter(
        policy(
            {"spent": "$20"},
            {"name": "money", "limit": "$1000/day"},
            {**BREADTH, "limit": "1000 buckets/day", "price": {"free": 0, "cap": 10}},
            models=PRICES,
        ),
        clock=clock,
        analyzer=FakeAnalyzer({"all": range(1000)}),
    )
    await call(limiter, text="all")
    dear = await call(limiter, tokens=10, text="all")
    assert dear.decision is not None
    assert dear.decision.price == 10 * MICRO
    assert await tier(limiter, text="all") == "default"  # 11 of 20 dollars


async def test_trouble_is_forgotten_only_as_time_passes(clock: ManualClock) -> None:
    limiter = memory_limiter(
        policy({"clean": "3 days"}, RPM, BREADTH), clock=clock, analyzer=FakeAnalyzer()
    )
    await call(limiter)
    clock.now += 4 * DAY
    assert await tier(limiter) == "known"
    refused = [await call(limiter, text=f"{n}") for n in range(4)][-1]
    assert refused.refusal is not None
    assert await tier(limiter) == "default"
    clock.now += 3 * DAY - 1
    assert await tier(limiter) == "default"
    clock.now += 1
    assert await tier(limiter) == "known"


async def test_trouble_of_a_pool_is_not_that_of_its_members(clock: ManualClock) -> None:
    limiter = memory_limiter(
        policy({"clean": "3 days"}, RPM, {**BREADTH, "per": "everyone"}),
        clock=clock,
        analyzer=FakeAnalyzer(),
    )
    await call(limiter)
    clock.now += 4 * DAY
    refused = [await call(limiter, text=f"{n}") for n in range(4)][-1]
    assert refused.refusal is not None
    assert await tier(limiter) == "known"


async def test_a_caller_whom_nobody_has_verified_stays_a_newcomer(clock: ManualClock) -> None:
    limiter = memory_limiter(policy({"age": "1 day"}), clock=clock)
    for _ in range(3):
        admission = await limiter.admit(http_scope(key="sk-made-up"))
        assert admission.tier == "default"
        await limiter.settle(admission, Outcome.REJECTED)
        clock.now += 2 * DAY


async def test_anonymous_callers_are_newcomers_together(clock: ManualClock) -> None:
    limiter = memory_limiter(policy({"calls": 1}), clock=clock)
    scope = http_scope()
    for _ in range(3):
        admission = await limiter.admit(scope)
        assert admission.tier == "default"
        await limiter.settle(admission, Outcome.ANSWERED)


# -- How the store is asked ------------------------------------------------------------------------


async def test_an_account_is_read_once_and_again_after_a_while(clock: ManualClock) -> None:
    store = Asked(clock)
    limiter = Limiter(policy({"calls": 100}), store=store, clock=clock)
    await call(limiter)
    await call(limiter)
    known = store.looks
    for _ in range(10):
        await call(limiter)
    assert store.looks == known
    clock.now += REFRESH
    await call(limiter)
    assert store.looks == known + 1


async def test_a_key_that_nobody_has_verified_does_not_make_the_store_read_for_each_call(
    clock: ManualClock,
) -> None:
    store = Asked(clock)
    limiter = Limiter(policy({"age": "1 day"}), store=store, clock=clock)
    scope = http_scope(headers=[(b"authorization", b"Bearer made-up")])
    for _ in range(10):
        admission = await limiter.admit(scope, Call(Dialect.OPENAI, "chat"))
        await limiter.settle(admission, Outcome.REJECTED)
    assert store.looks == 1
    clock.now += STRANGER
    await limiter.admit(scope, Call(Dialect.OPENAI, "chat"))
    assert store.looks == 2


async def test_a_policy_that_asks_nothing_reads_and_counts_nothing(clock: ManualClock) -> None:
    store = Asked(clock)
    limiter = Limiter(policy({"source": "user"}), store=store, clock=clock)
    admission = await call(limiter)
    assert store.looks == 0
    record = await store.account(admission.identity.key)
    assert record is not None
    assert list(record.account.windows) == ["sliding:rpm"]


async def test_a_store_that_fails_makes_strangers_newcomers_and_forgets_nobody(
    clock: ManualClock,
) -> None:
    store = Asked(clock)
    asks = policy({"age": "1 day"})
    limiter = Limiter(asks, store=store, clock=clock)
    for user in ("ada", "bob"):
        await call(limiter, user)
    clock.now += DAY
    assert await tier(limiter, "ada") == "known"
    elsewhere = Limiter(asks, store=store, clock=clock)
    assert await tier(elsewhere, "ada") == "known"
    store.down = True
    clock.now += REFRESH
    assert await tier(elsewhere, "ada") == "known"
    assert await tier(elsewhere, "bob") == "default"
    store.down = False
    await elsewhere.check()
    assert await tier(elsewhere, "bob") == "known"
    for each in (limiter, elsewhere):
        await each.aclose()


async def test_what_could_not_be_counted_is_counted_with_the_next_call(clock: ManualClock) -> None:
    store = Asked(clock)
    limiter = Limiter(policy({"calls": 5}), store=store, clock=clock)
    await call(limiter)
    admission = await limiter.admit(http_scope(user="ada"))
    store.full = True
    await limiter.settle(admission, Outcome.ANSWERED)
    store.full = False
    await limiter.check()
    await call(limiter)
    await limiter.aclose()
    elsewhere = Limiter(policy({"calls": 3}), store=store, clock=clock)
    assert await tier(elsewhere) == "known"


async def test_a_store_that_may_wait_is_charged_in_the_background(clock: ManualClock) -> None:
    store = Waiting(clock)
    limiter = Limiter(policy({"calls": 3}), store=store, clock=clock)
    for _ in range(3):
        assert await tier(limiter) == "default"
    await limiter.aclose()
    assert await tier(Limiter(policy({"calls": 3}), store=store, clock=clock)) == "known"


async def test_two_workers_see_together_what_each_has_counted(clock: ManualClock) -> None:
    store = Asked(clock)
    one, other = (Limiter(policy({"calls": 3}), store=store, clock=clock) for _ in range(2))
    for worker in (one, other, one, other):
        assert await tier(worker) == "default"
    assert [await tier(worker) for worker in (one, other)] == ["known", "known"]


class Bare:
    """A store that charges, and shows no account."""

    suspends = False

    def __init__(self, store: MemoryStore) -> None:
        self.reserve, self.settle, self.peek = store.reserve, store.settle, store.peek
        self.forget, self.aclose = store.forget, store.aclose


async def test_a_store_that_shows_no_account_is_refused(clock: ManualClock) -> None:
    store = Bare(MemoryStore(clock))
    asks = policy({"age": "1 day"})
    with pytest.raises(SetupError, match="Bare cannot show accounts"):
        Limiter(asks, store=store, clock=clock)
    limiter = Limiter(policy({"source": "user"}), store=store, clock=clock)
    with pytest.raises(SetupError, match="Bare cannot show accounts"):
        await limiter.reload(asks)


async def test_an_account_that_is_forgotten_makes_a_newcomer_in_a_while(clock: ManualClock) -> None:
    store = Asked(clock)
    limiter = Limiter(policy({"age": "1 day"}), store=store, clock=clock)
    key = (await call(limiter)).identity.key
    clock.now += DAY
    assert await tier(limiter) == "known"
    await store.forget(key)
    clock.now += REFRESH
    assert await tier(limiter) == "default"


async def test_only_so_many_callers_are_remembered(clock: ManualClock) -> None:
    store = Asked(clock)
    limiter = Limiter(policy({"age": "1 day"}), store=store, clock=clock)
    known = Histories(limiter._resilient, clock, size=3)
    keys = [(await call(limiter, user)).identity.key for user in "abcde"]
    for key in keys:
        await known.look(key)
    assert [bool(known.known(key).since) for key in keys] == [False, False, True, True, True]


async def test_a_reload_keeps_what_is_known_and_asks_from_then_on(clock: ManualClock) -> None:
    store = Asked(clock)
    limiter = Limiter(policy({"source": "user"}), store=store, clock=clock)
    assert await tier(limiter) == "known"
    await limiter.reload(policy({"age": {"below": "1 day"}}))
    assert await tier(limiter) == "known"
    clock.now += DAY
    assert await tier(limiter) == "default"
    assert store.looks > 0
    await limiter.reload(policy({"source": "user"}))
    looks = store.looks
    assert await tier(limiter) == "known"
    assert store.looks == looks


async def test_histories_are_no_budgets_for_anybody_to_see(clock: ManualClock) -> None:
    heard: list[Any] = []
    limiter = memory_limiter(
        policy({"spent": "$5"}, models=PRICES), clock=clock, hooks=[heard.append]
    )
    admission = await call(limiter)
    assert admission.decision is not None
    assert [status.line.quota.name for status in admission.decision.lines] == ["rpm"]
    assert list(heard[0].charged) == ["rpm"]


# -- Every store that knows callers ----------------------------------------------------------------


@pytest.fixture(params=["sqlite", "redis"])
async def shared(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[Store]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/budgets.db"
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        url = server.url
    store = open_store(StoreSettings(url, timeout=60 * SECOND), clock)
    yield store
    await store.aclose()


async def test_what_one_worker_counts_another_reads(shared: Store, clock: ManualClock) -> None:
    asks = policy({"calls": 3, "spent": "$3"}, models=PRICES)
    limiter = Limiter(asks, store=shared, clock=clock)
    for _ in range(3):
        assert await tier(limiter) == "default"
    await limiter.aclose()
    elsewhere = Limiter(asks, store=shared, clock=clock)
    assert await tier(elsewhere) == "known"
    await elsewhere.aclose()
