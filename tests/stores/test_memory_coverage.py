"""Buckets and profiles in memory: whose accounts take part, and how long they are kept."""

from __future__ import annotations

import msgspec
import pytest

from querybudget.coverage.calibration import Calibration
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled
from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock
from querybudget.testing.contracts.fixtures import seen
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

pytestmark = pytest.mark.anyio

HOLD = 600 * SECOND
MONTH = 30 * 86_400 * SECOND
BREADTH = Quota("breadth", Unit.BUCKETS, 40 * MICRO, MONTH, Algorithm.SLIDING, 40 * MICRO)
RPM = Quota("rpm", Unit.REQUESTS, 9 * MICRO, MONTH, Algorithm.SLIDING, 9 * MICRO)


class Bench:
    def __init__(self, most: int = 100) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock, max_identities=most)
        self.count = 0

    async def reserve(
        self, who: str, cell: int, *groups: str, quota: Quota = BREADTH, verified: bool = True
    ) -> Decision:
        self.count += 1
        lines = (Line(who, quota, MICRO, MICRO),)
        charge = Charge(f"r{self.count}", lines, HOLD, observation=seen(cell))
        calibration = Calibration("everyone") if "everyone" in groups else None
        return await self.store.reserve(
            msgspec.structs.replace(
                charge, profiled=(who, *groups), calibration=calibration, verified=verified
            )
        )

    async def open(
        self, who: str, cell: int, *groups: str, quota: Quota = BREADTH, verified: bool = True
    ) -> Reservation:
        decision = await self.reserve(who, cell, *groups, quota=quota, verified=verified)
        assert decision.reservation
        return decision.reservation

    async def answered(
        self, who: str, cell: int, *groups: str, quota: Quota = BREADTH, verified: bool = True
    ) -> None:
        reservation = await self.open(who, cell, *groups, quota=quota, verified=verified)
        await self.store.settle(reservation, [MICRO])

    async def left(self, who: str) -> int:
        return (await self.store.peek(who, [BREADTH]))[0][0] // MICRO

    def calls(self, who: str) -> int | None:
        """The calls of an identity, or the members of a group; None without a profile."""
        account = self.store._find(who)
        match account.profile if account else None:
            case CallerProfile() as profile:
                return profile.calls
            case Group() as group:
                return group.members
            case _:
                return None


async def test_a_call_is_observed_by_its_identity_and_counts_its_groups_members() -> None:
    bench = Bench()
    await bench.answered("a", 1, "org", "network", quota=RPM)
    await bench.answered("a", 2, "org", "network", quota=RPM)
    await bench.answered("b", 2, "org", quota=RPM)
    found = [bench.calls(who) for who in ("a", "b", "org", "network", "c")]
    assert found == [2, 1, 2, 1, None]


async def test_a_call_that_failed_stays_known_on_probation() -> None:
    bench = Bench()
    failed = await bench.open("a", 1, "org", verified=False)
    await bench.store.settle(failed, [0])
    assert (await bench.left("a"), bench.calls("a"), bench.calls("org")) == (40, 1, None)
    assert (await bench.open("a", 1, "org")).held == (0,)


async def test_a_refused_call_opens_no_account_for_its_groups() -> None:
    bench = Bench()
    for _ in range(9):
        await bench.answered("a", 1, quota=RPM)
    assert not (await bench.reserve("a", 1, "org", quota=RPM)).admitted
    assert len(bench.store) == 1


async def test_a_flood_of_made_up_callers_and_groups_evicts_no_known_account() -> None:
    bench = Bench(100)
    for index in range(40):
        await bench.answered(f"known-{index}", index, "everyone")
    for index in range(1_000):
        await bench.open(f"bogus-{index}", 1, f"pool-{index}", "everyone", verified=False)
    assert len(bench.store) <= 100 + 10
    assert {await bench.left(f"known-{index}") for index in range(40)} == {39}
    assert bench.calls("everyone") == 40  # groups hear of nobody who is not verified


async def test_forgetting_drops_buckets_and_profile() -> None:
    bench = Bench()
    for cell in (1, 2, 3):
        await bench.answered("a", cell, "org")
    assert await bench.store.forget("a")
    assert (await bench.left("a"), bench.calls("a")) == (40, None)
    assert bench.calls("org") == 1
    assert await bench.store.forget("org")
    assert bench.calls("org") is None


async def test_a_call_settled_after_its_account_was_forgotten_changes_nothing() -> None:
    bench = Bench()
    reservation = await bench.open("a", 1, "org")
    await bench.store.forget("a")
    assert await bench.store.settle(reservation, [0]) is Settled.REPEATED
    assert (bench.calls("a"), bench.calls("org"), await bench.left("a")) == (None, 1, 40)
