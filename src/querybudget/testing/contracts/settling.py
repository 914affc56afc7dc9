"""`SettleContract`: what every store promises of settling. A part of `StoreContract`."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

from querybudget.ledger import GRACE, UNCHARGED, Charge, Settled, Verdict
from querybudget.testing.contracts.fixtures import (
    HOLD,
    HOUR,
    Benched,
    N,
    kinds,
    line,
    quota_of,
    rates,
)
from querybudget.units import MICRO, Algorithm

__all__ = ["SettleContract"]


@pytest.mark.anyio
class SettleContract(Benched):
    """Promises of what is held, used and given back, of shadow and of price.

    Attributes:
        repeats: Whether a store promises that reserving again under the same name charges once and
            answers the same, so that whose connection broke may ask again. No store has to.
    """

    repeats: ClassVar[bool] = False

    @rates
    async def test_settle_replaces_what_was_held_by_what_was_used(self, kind: Algorithm) -> None:
        """The difference is given back, to the millionth."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind)
            reservation = await bench.admitted(line(quota, 9 * MICRO))
            assert await bench.settle(reservation, 2 * MICRO + 1) is Settled.DONE
            assert await bench.left(quota) == 8 * MICRO - 1

    @rates
    async def test_only_what_is_left_is_held_and_more_use_is_debt(self, kind: Algorithm) -> None:
        """Debt delays later calls, down to the smallest."""
        async with self.bench(kind, exact=True) as bench:
            quota = quota_of(kind)
            first = await bench.admitted(line(quota, 30 * MICRO, minimum=MICRO))
            assert first.held == (10 * MICRO,), "expected what is left to be held"
            assert await bench.settle(first, 15 * MICRO) is Settled.DONE
            assert await bench.left(quota) == -5 * MICRO, "expected debt"
            refused = await bench.reserve(line(quota, 0))
            assert refused.verdict is Verdict.WAIT
            bench.clock.advance(us=refused.wait)
            assert (await bench.reserve(line(quota, 0))).admitted

    @rates
    async def test_settling_twice_changes_nothing(self, kind: Algorithm) -> None:
        """Neither what was given back, nor debt; in time, or after expiry."""
        for used in (0, 4 * MICRO, 12 * MICRO):
            async with self.bench(kind) as bench:
                quota = quota_of(kind)
                await bench.admitted(line(quota, MICRO))
                reservation = await bench.admitted(line(quota, 5 * MICRO))
                assert await bench.settle(reservation, used) is Settled.DONE
                for pause in (0, 600):
                    bench.clock.advance(pause)
                    left = await bench.left(quota)
                    assert await bench.settle(reservation, used) is Settled.REPEATED
                    assert await bench.left(quota) == left, "settled twice"

    @rates
    async def test_a_late_settle_charges_only_overshoot_and_only_once(
        self, kind: Algorithm
    ) -> None:
        """The estimate of an expired reservation stands."""
        for used, more in ((0, 0), (5 * MICRO, 0), (7 * MICRO, 2 * MICRO)):
            async with self.bench(kind) as bench:
                quota = quota_of(kind)
                reservation = await bench.admitted(line(quota, 5 * MICRO))
                bench.clock.advance(us=HOLD)
                left = await bench.left(quota)
                assert await bench.settle(reservation, used) is Settled.LATE
                assert await bench.left(quota) == left - more
                assert await bench.settle(reservation, used) is Settled.REPEATED
                assert await bench.left(quota) == left - more, "charged twice"

    async def test_a_lease_is_free_when_its_call_is_settled(self) -> None:
        """And only its own."""
        quota = quota_of(Algorithm.LEASE, 2 * MICRO)
        async with self.bench(Algorithm.LEASE) as bench:
            first = await bench.admitted(line(quota))
            await bench.admitted(line(quota))
            assert not (await bench.reserve(line(quota))).admitted
            assert await bench.settle(first, 0) is Settled.DONE
            await bench.admitted(line(quota))
            assert await bench.settle(first, 0) is Settled.REPEATED
            assert not (await bench.reserve(line(quota))).admitted

    async def test_a_lost_settle_frees_its_lease_at_expiry(self) -> None:
        """Whatever was opened before it and is held longer."""
        quota = quota_of(Algorithm.LEASE, 2 * MICRO)
        async with self.bench(Algorithm.LEASE) as bench:
            await bench.admitted(line(quota), hold=2 * HOLD)
            await bench.admitted(line(quota), hold=HOLD)
            bench.clock.advance(us=HOLD - 1)
            assert not (await bench.reserve(line(quota))).admitted
            bench.clock.advance(us=1)
            await bench.admitted(line(quota), hold=HOLD)
            assert not (await bench.reserve(line(quota))).admitted

    async def test_what_expired_is_not_given_back_to_later_calls(self) -> None:
        """A call that outlives its window gives back nothing of the next."""
        quota = quota_of(Algorithm.SLIDING)
        async with self.bench(Algorithm.SLIDING, exact=True) as bench:
            bench.clock.advance(us=quota.slot - 1)
            long = await bench.admitted(line(quota, 6 * MICRO), hold=3 * HOUR)
            bench.clock.advance(us=1)
            await bench.admitted(line(quota, 4 * MICRO))
            bench.clock.advance(us=HOUR - 1)
            assert await bench.settle(long, 0) is Settled.DONE
            assert await bench.left(quota) == 6 * MICRO

    @kinds
    async def test_a_shadow_line_never_refuses_and_holds_what_it_would(
        self, kind: Algorithm
    ) -> None:
        """Up to its limit it is charged; beyond it, it is only reported."""
        async with self.bench(kind, Algorithm.SLIDING) as bench:
            shadow = line(quota_of(kind, 2 * MICRO, "shadow"), shadow=True)
            real = line(quota_of(Algorithm.SLIDING, 5 * MICRO, "real"))
            reservations = [await bench.admitted(shadow, real) for _ in range(5)]
            assert await bench.left(shadow.quota) == 0
            assert await bench.left(real.quota) == 0
            assert await bench.settle(reservations[4], 9 * MICRO, 0) is Settled.DONE
            assert await bench.left(shadow.quota) == 0, "charged, though left alone"
            decision = await bench.reserve(shadow, real)
            assert decision.admitted
            assert (decision.shadowed, decision.violated) == (("shadow",), ())
            decision = await bench.reserve(shadow, real)
            assert (decision.shadowed, decision.violated) == (("shadow",), ("real",))

    @rates
    async def test_price_scales_all_but_leases_and_rounds_up(self, kind: Algorithm) -> None:
        """When held, and when settled."""
        async with self.bench(kind, Algorithm.LEASE) as bench:
            lines = (
                line(quota_of(kind), 2 * MICRO + 1),
                line(quota_of(Algorithm.LEASE, name="l")),
            )
            reservation = await bench.admitted(*lines, price=1_500_000)
            assert reservation.held == (3 * MICRO + 2, MICRO), f"{reservation.held}"
            assert await bench.left(lines[1].quota) == 9 * MICRO
            assert await bench.settle(reservation, 3, MICRO) is Settled.DONE
            assert await bench.left(lines[0].quota) == 10 * MICRO - 5

    # -- Once only --------------------------------------------------------------------------------

    @kinds
    async def test_of_settles_at_the_same_time_one_counts(self, kind: Algorithm) -> None:
        """However they interleave."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind)
            reservation = await bench.admitted(line(quota))
            settles = (bench.settle(reservation, 3 * MICRO) for _ in range(5))
            found = await asyncio.gather(*settles)
            assert found.count(Settled.DONE) == 1, f"found {found}"
            assert found.count(Settled.REPEATED) == len(found) - 1, f"found {found}"
            expected = N if kind is Algorithm.LEASE else N - 3
            assert await bench.left(quota) == expected * MICRO

    @rates
    async def test_a_settle_after_a_day_and_more_changes_nothing(self, kind: Algorithm) -> None:
        """An expired reservation is remembered for so long; a microsecond less is only late."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind)
            first = await bench.admitted(line(quota))
            second = await bench.admitted(line(quota))
            bench.clock.advance(us=HOLD + GRACE - 1)
            assert await bench.settle(first, 3 * MICRO) is Settled.LATE
            left = await bench.left(quota)
            bench.clock.advance(us=1)
            assert await bench.settle(second, 9 * MICRO) is Settled.REPEATED
            assert await bench.left(quota) >= left, "a reservation forgotten was charged"

    @kinds
    async def test_a_settle_knows_its_own_account_from_one_that_came_after(
        self, kind: Algorithm
    ) -> None:
        """Forgotten and opened anew, an account owes nothing for calls of the old."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind)
            old = await bench.admitted(line(quota))
            assert await bench.store.forget("caller"), "a call that is open has an account"
            new = await bench.admitted(line(quota))
            assert await bench.settle(old, 5 * MICRO) is Settled.REPEATED
            assert await bench.left(quota) == (N - 1) * MICRO
            assert await bench.settle(new, MICRO) is Settled.DONE

    @kinds
    async def test_a_settle_of_several_partitions_goes_on_without_one_forgotten(
        self, kind: Algorithm
    ) -> None:
        """The others are settled; the one forgotten stays so."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind)
            lines = [line(quota, partition=name) for name in ("one", "two")]
            reservation = await bench.admitted(*lines)
            assert await bench.store.forget("one")
            assert await bench.settle(reservation, 0, 0) is Settled.DONE
            left = [await bench.left(quota, name) for name in ("one", "two")]
            assert left == [N * MICRO] * 2, f"found {left}"
            assert not await bench.store.forget("one"), "a settle made an account"

    @kinds
    async def test_a_repeated_reserve_charges_once_and_answers_the_same(
        self, kind: Algorithm
    ) -> None:
        """For stores that promise so: set `repeats`."""
        if not self.repeats:
            pytest.skip("not promised: reserving again under the same name (`repeats` is not set)")
        async with self.bench(kind) as bench:
            quota = quota_of(kind)
            charge = Charge("the same", (line(quota, partition="caller"),), HOLD)
            first, again = [await bench.store.reserve(charge) for _ in range(2)]
            assert again.reservation == first.reservation, f"expected {first}, found {again}"
            assert await bench.left(quota) == (N - 1) * MICRO
            assert first.reservation, f"expected to be admitted, found {first}"
            assert await bench.settle(first.reservation, MICRO) is Settled.DONE
            assert await bench.settle(first.reservation, MICRO) is Settled.REPEATED

    @rates
    async def test_one_shadow_line_that_does_not_fit_leaves_all_shadow_lines_alone(
        self, kind: Algorithm
    ) -> None:
        """The call would have been refused as a whole; lines that are enforced are charged."""
        async with self.bench(kind) as bench:
            little = line(quota_of(kind, MICRO, "little"), 2 * MICRO, shadow=True)
            much = line(quota_of(kind, name="much"), shadow=True)
            real = line(quota_of(kind, name="real"))
            reservation = await bench.admitted(little, much, real)
            assert reservation.held == (UNCHARGED, UNCHARGED, MICRO), f"found {reservation.held}"
            left = [await bench.left(one.quota) for one in (little, much, real)]
            assert left == [MICRO, N * MICRO, (N - 1) * MICRO], f"found {left}"
