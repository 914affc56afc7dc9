"""`SettleContract`: what every store promises about settling. Part of `StoreContract`."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest
from msgspec.structs import replace

from querybudget.ledger import GRACE, UNCHARGED, Charge, Settled, Verdict
from querybudget.ledger.windows import LARGEST_USE
from querybudget.testing.contracts.fixtures import (
    HOLD,
    HOUR,
    N,
    StoreTests,
    kinds,
    line,
    quota_of,
    rates,
)
from querybudget.units import MICRO, Algorithm


@pytest.mark.anyio
class SettleContract(StoreTests):
    """Promises about what is held, used and refunded, about shadow lines and prices.

    Attributes:
        repeats: Whether the store promises that a repeated reserve with the same id charges once
            and returns the same, so that it can be retried after a lost connection. Optional.
    """

    repeats: ClassVar[bool] = False

    @rates
    async def test_settle_replaces_what_was_held_by_what_was_used(self, kind: Algorithm) -> None:
        async with self.opened(kind) as store:
            quota = quota_of(kind)
            reservation = await store.admitted(line(quota, 9 * MICRO))
            assert await store.settle(reservation, 2 * MICRO + 1) is Settled.DONE
            assert await store.left(quota) == 8 * MICRO - 1

    @rates
    async def test_only_what_is_left_is_held_and_more_use_is_debt(self, kind: Algorithm) -> None:
        """Debt delays every later call, however small."""
        async with self.opened(kind, exact=True) as store:
            quota = quota_of(kind)
            first = await store.admitted(line(quota, 30 * MICRO, minimum=MICRO))
            assert first.held == (10 * MICRO,), "expected what is left to be held"
            assert await store.settle(first, 15 * MICRO) is Settled.DONE
            assert await store.left(quota) == -5 * MICRO, "expected debt"
            refused = await store.reserve(line(quota, 0))
            assert refused.verdict is Verdict.WAIT
            store.clock.advance(us=refused.wait)
            assert (await store.reserve(line(quota, 0))).admitted

    @rates
    async def test_settling_twice_changes_nothing(self, kind: Algorithm) -> None:
        """Neither refunds nor debt change, before expiry or after it."""
        for used in (0, 4 * MICRO, 12 * MICRO):
            async with self.opened(kind) as store:
                quota = quota_of(kind)
                await store.admitted(line(quota, MICRO))
                reservation = await store.admitted(line(quota, 5 * MICRO))
                assert await store.settle(reservation, used) is Settled.DONE
                for pause in (0, 600):
                    store.clock.advance(pause)
                    left = await store.left(quota)
                    assert await store.settle(reservation, used) is Settled.REPEATED
                    assert await store.left(quota) == left, "settled twice"

    @rates
    async def test_a_late_settle_charges_only_overshoot_and_only_once(
        self, kind: Algorithm
    ) -> None:
        """The estimate of an expired reservation stays charged."""
        for used, more in ((0, 0), (5 * MICRO, 0), (7 * MICRO, 2 * MICRO)):
            async with self.opened(kind) as store:
                quota = quota_of(kind)
                reservation = await store.admitted(line(quota, 5 * MICRO))
                store.clock.advance(us=HOLD)
                left = await store.left(quota)
                assert await store.settle(reservation, used) is Settled.LATE
                assert await store.left(quota) == left - more
                assert await store.settle(reservation, used) is Settled.REPEATED
                assert await store.left(quota) == left - more, "charged twice"

    async def test_a_lease_is_free_when_its_call_is_settled(self) -> None:
        """A call frees only its own lease."""
        quota = quota_of(Algorithm.LEASE, 2 * MICRO)
        async with self.opened(Algorithm.LEASE) as store:
            first = await store.admitted(line(quota))
            await store.admitted(line(quota))
            assert not (await store.reserve(line(quota))).admitted
            assert await store.settle(first, 0) is Settled.DONE
            await store.admitted(line(quota))
            assert await store.settle(first, 0) is Settled.REPEATED
            assert not (await store.reserve(line(quota))).admitted

    async def test_a_lost_settle_frees_its_lease_at_expiry(self) -> None:
        """Leases that were opened earlier and last longer stay held."""
        quota = quota_of(Algorithm.LEASE, 2 * MICRO)
        async with self.opened(Algorithm.LEASE) as store:
            await store.admitted(line(quota), hold=2 * HOLD)
            await store.admitted(line(quota), hold=HOLD)
            store.clock.advance(us=HOLD - 1)
            assert not (await store.reserve(line(quota))).admitted
            store.clock.advance(us=1)
            await store.admitted(line(quota), hold=HOLD)
            assert not (await store.reserve(line(quota))).admitted

    async def test_what_expired_is_not_given_back_to_later_calls(self) -> None:
        """A call that outlives its window refunds nothing of the next window."""
        quota = quota_of(Algorithm.SLIDING)
        async with self.opened(Algorithm.SLIDING, exact=True) as store:
            store.clock.advance(us=quota.slot - 1)
            long = await store.admitted(line(quota, 6 * MICRO), hold=3 * HOUR)
            store.clock.advance(us=1)
            await store.admitted(line(quota, 4 * MICRO))
            store.clock.advance(us=HOUR - 1)
            assert await store.settle(long, 0) is Settled.DONE
            assert await store.left(quota) == 6 * MICRO

    @kinds
    async def test_a_shadow_line_never_refuses_and_holds_what_it_would(
        self, kind: Algorithm
    ) -> None:
        """It is charged up to its limit; beyond it, it is only reported."""
        async with self.opened(kind, Algorithm.SLIDING) as store:
            shadow = line(quota_of(kind, 2 * MICRO, "shadow"), shadow=True)
            real = line(quota_of(Algorithm.SLIDING, 5 * MICRO, "real"))
            reservations = [await store.admitted(shadow, real) for _ in range(5)]
            assert await store.left(shadow.quota) == 0
            assert await store.left(real.quota) == 0
            assert await store.settle(reservations[4], 9 * MICRO, 0) is Settled.DONE
            assert await store.left(shadow.quota) == 0, "a line that was not charged was settled"
            decision = await store.reserve(shadow, real)
            assert decision.admitted
            assert (decision.shadowed, decision.violated) == (("shadow",), ())
            decision = await store.reserve(shadow, real)
            assert (decision.shadowed, decision.violated) == (("shadow",), ("real",))

    @rates
    async def test_price_scales_all_but_leases_and_rounds_up(self, kind: Algorithm) -> None:
        """The price applies when a charge is held and when it is settled."""
        async with self.opened(kind, Algorithm.LEASE) as store:
            lines = (
                line(quota_of(kind), 2 * MICRO + 1),
                line(quota_of(Algorithm.LEASE, name="l")),
            )
            reservation = await store.admitted(*lines, price=1_500_000)
            assert reservation.held == (3 * MICRO + 2, MICRO), f"{reservation.held}"
            assert await store.left(lines[1].quota) == 9 * MICRO
            assert await store.settle(reservation, 3, MICRO) is Settled.DONE
            assert await store.left(lines[0].quota) == 10 * MICRO - 5

    # -- Settled once ----------------------------------------------------------------------------

    @kinds
    async def test_of_settles_at_the_same_time_one_counts(self, kind: Algorithm) -> None:
        async with self.opened(kind) as store:
            quota = quota_of(kind)
            reservation = await store.admitted(line(quota))
            settles = (store.settle(reservation, 3 * MICRO) for _ in range(5))
            found = await asyncio.gather(*settles)
            assert found.count(Settled.DONE) == 1, f"found {found}"
            assert found.count(Settled.REPEATED) == len(found) - 1, f"found {found}"
            expected = N if kind is Algorithm.LEASE else N - 3
            assert await store.left(quota) == expected * MICRO

    @rates
    async def test_a_settle_after_a_day_and_more_changes_nothing(self, kind: Algorithm) -> None:
        """An expired reservation is kept for a day; 1 µs earlier, the settle is only late."""
        async with self.opened(kind) as store:
            quota = quota_of(kind)
            first = await store.admitted(line(quota))
            second = await store.admitted(line(quota))
            store.clock.advance(us=HOLD + GRACE - 1)
            assert await store.settle(first, 3 * MICRO) is Settled.LATE
            left = await store.left(quota)
            store.clock.advance(us=1)
            assert await store.settle(second, 9 * MICRO) is Settled.REPEATED
            assert await store.left(quota) >= left, "an old reservation was charged"

    @kinds
    async def test_a_settle_knows_its_own_account_from_one_that_came_after(
        self, kind: Algorithm
    ) -> None:
        """An account opened after `forget` owes nothing for calls of the old one."""
        async with self.opened(kind) as store:
            quota = quota_of(kind)
            old = await store.admitted(line(quota))
            assert await store.inner.forget("caller"), "an open call must have an account"
            new = await store.admitted(line(quota))
            assert await store.settle(old, 5 * MICRO) is Settled.REPEATED
            assert await store.left(quota) == (N - 1) * MICRO
            assert await store.settle(new, MICRO) is Settled.DONE

    @kinds
    async def test_a_settle_of_several_partitions_goes_on_without_one_forgotten(
        self, kind: Algorithm
    ) -> None:
        """The other partitions are settled; the forgotten one is not opened again."""
        async with self.opened(kind) as store:
            quota = quota_of(kind)
            lines = [line(quota, partition=name) for name in ("one", "two")]
            reservation = await store.admitted(*lines)
            assert await store.inner.forget("one")
            assert await store.settle(reservation, 0, 0) is Settled.DONE
            left = [await store.left(quota, name) for name in ("one", "two")]
            assert left == [N * MICRO] * 2, f"found {left}"
            assert not await store.inner.forget("one"), "a settle made an account"

    @kinds
    async def test_a_repeated_reserve_charges_once_and_answers_the_same(
        self, kind: Algorithm
    ) -> None:
        """For stores that promise this: set `repeats`."""
        if not self.repeats:
            pytest.skip("not promised: reserving again with the same id (`repeats` is not set)")
        async with self.opened(kind) as store:
            quota = quota_of(kind)
            charge = Charge("the same", (line(quota, partition="caller"),), HOLD)
            first, again = [await store.inner.reserve(charge) for _ in range(2)]
            assert again.reservation == first.reservation, f"expected {first}, found {again}"
            assert await store.left(quota) == (N - 1) * MICRO
            assert first.reservation, f"expected to be admitted, found {first}"
            assert await store.settle(first.reservation, MICRO) is Settled.DONE
            assert await store.settle(first.reservation, MICRO) is Settled.REPEATED

    @rates
    async def test_one_shadow_line_that_does_not_fit_leaves_all_shadow_lines_alone(
        self, kind: Algorithm
    ) -> None:
        """The call would have been refused if enforced. Its enforced lines are charged."""
        async with self.opened(kind) as store:
            little = line(quota_of(kind, MICRO, "little"), 2 * MICRO, shadow=True)
            much = line(quota_of(kind, name="much"), shadow=True)
            real = line(quota_of(kind, name="real"))
            reservation = await store.admitted(little, much, real)
            assert reservation.held == (UNCHARGED, UNCHARGED, MICRO), f"found {reservation.held}"
            left = [await store.left(one.quota) for one in (little, much, real)]
            assert left == [MICRO, N * MICRO, (N - 1) * MICRO], f"found {left}"

    @kinds
    async def test_a_line_counted_apart_is_charged_whole_and_beside_the_budget(
        self, kind: Algorithm
    ) -> None:
        """A shadow line that does not fit leaves it alone, and it leaves the budget alone."""
        async with self.opened(kind, Algorithm.SLIDING) as store:
            quota = quota_of(kind, 2 * MICRO)
            beside = replace(quota, limit=LARGEST_USE, burst=LARGEST_USE, apart=True)
            apart = line(beside, minimum=0, shadow=True)
            full = line(quota_of(Algorithm.SLIDING, MICRO, "full"), 2 * MICRO, shadow=True)
            reservations = [await store.admitted(apart, full) for _ in range(5)]
            held = [one.held for one in reservations]
            assert held == [(MICRO, UNCHARGED)] * 5, f"found {held}"
            used = LARGEST_USE - await store.left(beside)
            assert used == 5 * MICRO, f"found {used}"
            assert await store.left(quota) == 2 * MICRO
            assert await store.settle(reservations[4], 0, 0) is Settled.DONE
            used = LARGEST_USE - await store.left(beside)
            assert used == 4 * MICRO, f"found {used}"
