"""Buckets and profiles in memory: whose accounts take part, and how long they are kept."""

from __future__ import annotations

import asyncio

import pytest

from querybudget.coverage import Observation
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled
from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock
from querybudget.units import MICRO, ORDINARY_PRICE, SECOND, Algorithm, Quota, Unit

pytestmark = pytest.mark.anyio

HOLD = 600 * SECOND
MONTH = 30 * 86_400 * SECOND
BREADTH = Quota("breadth", Unit.BUCKETS, 40 * MICRO, MONTH, Algorithm.DISTINCT, 40 * MICRO)
RPM = Quota("rpm", Unit.REQUESTS, 9 * MICRO, MONTH, Algorithm.SLIDING, 9 * MICRO)


class Bench:
    def __init__(self, most: int = 100) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock, max_identities=most)
        self.count = 0

    async def reserve(self, who: str, cell: int, *pools: str, quota: Quota = BREADTH) -> Decision:
        self.count += 1
        observation = Observation((cell,), cell // 16, bytes(32), ask=self.count)
        lines = (Line(who, quota, MICRO, MICRO),)
        charge = Charge(f"r{self.count}", lines, HOLD, ORDINARY_PRICE, observation, (who, *pools))
        return await self.store.reserve(charge)

    async def open(self, who: str, cell: int, *pools: str, quota: Quota = BREADTH) -> Reservation:
        reservation = (await self.reserve(who, cell, *pools, quota=quota)).reservation
        assert reservation
        return reservation

    async def answered(self, who: str, cell: int, *pools: str, quota: Quota = BREADTH) -> None:
        await self.store.settle(await self.open(who, cell, *pools, quota=quota), [MICRO])

    async def left(self, who: str) -> int:
        return (await self.store.peek(who, [BREADTH]))[0][0] // MICRO

    def queries(self, who: str) -> int | None:
        account = self.store._find(who)
        return account.profile.queries if account and account.profile else None


async def test_an_answered_call_is_observed_by_its_identity_and_its_pools() -> None:
    bench = Bench()
    await bench.answered("a", 1, "org", "network", quota=RPM)
    await bench.answered("b", 2, "org", quota=RPM)
    found = [bench.queries(who) for who in ("a", "b", "org", "network", "c")]
    assert found == [1, 1, 2, 1, None]


async def test_pools_of_a_call_that_failed_are_dropped_with_everything_else() -> None:
    bench = Bench()
    await bench.store.settle(await bench.open("a", 1, "org"), [0])
    assert len(bench.store) == 0


async def test_a_refused_call_opens_no_account_for_its_pools() -> None:
    bench = Bench()
    for _ in range(9):
        await bench.answered("a", 1, quota=RPM)
    assert not (await bench.reserve("a", 1, "org", quota=RPM)).admitted
    assert len(bench.store) == 1


async def test_a_flood_of_made_up_pools_keeps_memory_bounded_and_evicts_no_known_account() -> None:
    bench = Bench(100)
    for index in range(40):
        await bench.answered(f"known-{index}", index, f"org-{index}")
    for index in range(1_000):
        await bench.open(f"bogus-{index}", 1, f"pool-{index}")
    assert len(bench.store) == 90
    assert {await bench.left(f"known-{index}") for index in range(40)} == {39}
    assert {bench.queries(f"org-{index}") for index in range(40)} == {1}


async def test_forgetting_drops_buckets_and_profile() -> None:
    bench = Bench()
    for cell in (1, 2, 3):
        await bench.answered("a", cell, "org")
    assert await bench.store.forget("a")
    assert (await bench.left("a"), bench.queries("a")) == (40, None)
    assert bench.queries("org") == 3
    assert await bench.store.forget("org")
    assert bench.queries("org") is None


async def test_a_call_settled_after_its_account_was_forgotten_visits_nothing() -> None:
    bench = Bench()
    reservation = await bench.open("a", 1, "org")
    await bench.store.forget("a")
    assert await bench.store.settle(reservation, [MICRO]) is Settled.DONE
    assert (bench.queries("a"), bench.queries("org"), await bench.left("a")) == (None, None, 40)


async def test_what_parallel_calls_visit_together_stays_within_the_limit() -> None:
    bench = Bench()
    decisions = await asyncio.gather(*(bench.reserve("a", cell) for cell in range(60)))
    admitted = [decision.reservation for decision in decisions if decision.reservation]
    assert len(admitted) == 40
    await asyncio.gather(*(bench.store.settle(one, [0]) for one in admitted[:10]))
    assert await bench.left("a") == 10
    await asyncio.gather(*(bench.store.settle(one, [MICRO]) for one in admitted[10:]))
    assert await bench.left("a") == 10


async def test_a_partition_that_is_charged_and_profiled_is_entered_once() -> None:
    bench = Bench()
    await bench.answered("a", 1)
    assert (len(bench.store), bench.queries("a"), await bench.left("a")) == (1, 1, 39)
