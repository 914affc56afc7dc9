"""`StoreContract`: what every store promises, as tests to inherit.

    class TestMyStore(StoreContract):
        def make_store(self, clock: Clock) -> Store:
            return MyStore(clock=clock)

Each test makes a store of its own, expects it to be empty, and closes it. Where what it keeps
outlives it, on a server, define `empty` too. A store whose server keeps the time has to be told it
by `clock`, as all do here: no test sleeps.

It is not imported by `querybudget.testing`, because it needs pytest with anyio's plugin.
"""

from __future__ import annotations

import asyncio

import pytest

from querybudget.ledger import Settled, Verdict
from querybudget.quota import MICRO, Algorithm
from querybudget.testing.contracts.bench import (
    HOLD,
    HOUR,
    KINDS,
    LARGEST,
    RATES,
    N,
    line,
    quota_of,
)
from querybudget.testing.contracts.buckets import BucketContract

__all__ = ["StoreContract"]


@pytest.mark.anyio
class StoreContract(BucketContract):
    """What every store promises. Inherit it, and say how a store is made."""

    # -- Limits -----------------------------------------------------------------------------------

    async def test_exactly_n_of_2n_concurrent_calls_are_admitted(self) -> None:
        """However calls interleave, each kind of window admits its limit and no more."""
        for kind in KINDS:
            async with self.bench() as bench:
                calls = (bench.reserve(line(quota_of(kind))) for _ in range(2 * N))
                decisions = await asyncio.gather(*calls)
                admitted = sum(decision.admitted for decision in decisions)
                assert admitted == N, f"{kind}: expected {N} of {2 * N} admitted, found {admitted}"

    async def test_of_several_budgets_none_is_charged_for_a_refused_call(self) -> None:
        """All lines or none, over several partitions, concurrently."""
        for tightest in KINDS:
            async with self.bench() as bench:
                lines = [
                    line(
                        quota_of(kind, (N if kind is tightest else 2 * N) * MICRO, kind),
                        partition=kind,
                    )
                    for kind in KINDS
                ]
                decisions = await asyncio.gather(*(bench.reserve(*lines) for _ in range(2 * N)))
                admitted = sum(decision.admitted for decision in decisions)
                assert admitted == N, f"{tightest}: expected {N} admitted, found {admitted}"
                left = [await bench.left(line.quota, line.partition) for line in lines]
                expected = [line.quota.limit - N * MICRO for line in lines]
                assert left == expected, f"{tightest}: expected {expected} left, found {left}"

    async def test_a_refusal_consumes_nothing(self) -> None:
        """Refused calls do not lengthen the wait, and do not count when there is room again."""
        for kind in RATES:
            async with self.bench() as bench:
                quota = quota_of(kind)
                first = await bench.admitted(line(quota, 8 * MICRO))
                waits = {(await bench.reserve(line(quota, 3 * MICRO))).wait for _ in range(5)}
                assert len(waits) == 1, f"{kind}: expected one wait, found {waits}"
                assert await bench.left(quota) == 2 * MICRO
                assert await bench.settle(first, 0) is Settled.DONE
                await bench.admitted(line(quota, 10 * MICRO))

    async def test_a_wait_is_exact(self) -> None:
        """Refused a microsecond before its end, admitted at its end; the longest of the lines'."""
        for kind in RATES:
            async with self.bench() as bench:
                lines = (
                    line(quota_of(kind), 7 * MICRO),
                    line(quota_of(Algorithm.GCRA, 9 * MICRO, "even"), 7 * MICRO),
                )
                await bench.admitted(*lines)
                bench.clock.advance(7)
                wait = (await bench.reserve(*lines)).wait
                assert wait > 1, f"{kind}: expected to be told to wait, found {wait}"
                for step in (wait // 2, wait - wait // 2 - 1):
                    bench.clock.advance(us=step)
                    assert not (await bench.reserve(*lines)).admitted, f"{kind}: admitted early"
                bench.clock.advance(us=1)
                assert (await bench.reserve(*lines)).admitted, f"{kind}: refused after its wait"

    async def test_what_never_fits_is_not_told_to_wait(self) -> None:
        """More than the limit is refused as such."""
        for kind in RATES:
            async with self.bench() as bench:
                decision = await bench.reserve(line(quota_of(kind), 10 * MICRO + 1))
                assert (decision.verdict, decision.wait) == (Verdict.NEVER, 0), f"{kind}"
                decision = await bench.reserve(line(quota_of(kind), 10 * MICRO))
                assert decision.admitted, f"{kind}: the limit itself fits"

    async def test_the_largest_limit_is_kept_exactly(self) -> None:
        """To the last millionth."""
        for kind in RATES:
            async with self.bench() as bench:
                quota = quota_of(kind, LARGEST)
                reservation = await bench.admitted(line(quota, LARGEST - 1))
                assert await bench.left(quota) == 1
                assert not (await bench.reserve(line(quota, 2))).admitted
                used = LARGEST - 3
                assert await bench.settle(reservation, used) is Settled.DONE
                assert await bench.left(quota) == LARGEST - used

    async def test_partitions_do_not_touch(self) -> None:
        """One caller's use is nobody else's."""
        for kind in KINDS:
            async with self.bench() as bench:
                quota = quota_of(kind, MICRO)
                await bench.admitted(line(quota, partition="one"))
                await bench.admitted(line(quota, partition="two"))
                assert not (await bench.reserve(line(quota, partition="one"))).admitted

    async def test_another_limit_keeps_what_was_used(self) -> None:
        """A policy read anew forgets no use."""
        for kind in KINDS:
            async with self.bench() as bench:
                for _ in range(3):
                    await bench.admitted(line(quota_of(kind)))
                assert await bench.left(quota_of(kind, 4 * MICRO)) == MICRO

    async def test_a_clock_that_goes_back_grants_nothing(self) -> None:
        """What is promised then is exact too."""
        for kind in RATES:
            for back in (1, HOUR, 50 * HOUR):
                async with self.bench() as bench:
                    quota = quota_of(kind)
                    await bench.admitted(line(quota, 10 * MICRO))
                    bench.clock.now -= back
                    refused = await bench.reserve(line(quota))
                    assert not refused.admitted, f"{kind}: going back {back} µs was granted"
                    bench.clock.advance(us=refused.wait - 1)
                    assert not (await bench.reserve(line(quota))).admitted, f"{kind}"
                    bench.clock.advance(us=1)
                    await bench.admitted(line(quota))

    # -- Settling ---------------------------------------------------------------------------------

    async def test_settle_replaces_what_was_held_by_what_was_used(self) -> None:
        """The difference is given back, to the millionth."""
        for kind in RATES:
            async with self.bench() as bench:
                quota = quota_of(kind)
                reservation = await bench.admitted(line(quota, 9 * MICRO))
                assert await bench.settle(reservation, 2 * MICRO + 1) is Settled.DONE
                assert await bench.left(quota) == 8 * MICRO - 1, f"{kind}"

    async def test_only_what_is_left_is_held_and_more_use_is_debt(self) -> None:
        """Debt delays later calls, down to the smallest."""
        for kind in RATES:
            async with self.bench() as bench:
                quota = quota_of(kind)
                first = await bench.admitted(line(quota, 30 * MICRO, least=MICRO))
                assert first.held == (10 * MICRO,), f"{kind}: expected what is left to be held"
                assert await bench.settle(first, 15 * MICRO) is Settled.DONE
                assert await bench.left(quota) == -5 * MICRO, f"{kind}: expected debt"
                refused = await bench.reserve(line(quota, 0))
                assert refused.verdict is Verdict.WAIT, f"{kind}"
                bench.clock.advance(us=refused.wait)
                assert (await bench.reserve(line(quota, 0))).admitted, f"{kind}"

    async def test_settling_twice_changes_nothing(self) -> None:
        """Neither what was given back, nor debt; in time, or after expiry."""
        for kind in RATES:
            for used in (0, 4 * MICRO, 12 * MICRO):
                async with self.bench() as bench:
                    quota = quota_of(kind)
                    await bench.admitted(line(quota, MICRO))
                    reservation = await bench.admitted(line(quota, 5 * MICRO))
                    assert await bench.settle(reservation, used) is Settled.DONE
                    for pause in (0, 600):
                        bench.clock.advance(pause)
                        left = await bench.left(quota)
                        assert await bench.settle(reservation, used) is Settled.REPEATED
                        assert await bench.left(quota) == left, f"{kind}: settled twice"

    async def test_a_late_settle_charges_only_overshoot_and_only_once(self) -> None:
        """The estimate of an expired reservation stands."""
        for kind in RATES:
            for used, more in ((0, 0), (5 * MICRO, 0), (7 * MICRO, 2 * MICRO)):
                async with self.bench() as bench:
                    quota = quota_of(kind)
                    reservation = await bench.admitted(line(quota, 5 * MICRO))
                    bench.clock.advance(us=HOLD)
                    left = await bench.left(quota)
                    assert await bench.settle(reservation, used) is Settled.LATE
                    assert await bench.left(quota) == left - more, f"{kind}"
                    assert await bench.settle(reservation, used) is Settled.REPEATED
                    assert await bench.left(quota) == left - more, f"{kind}: charged twice"

    async def test_a_lease_is_free_when_its_call_is_settled(self) -> None:
        """And only its own."""
        quota = quota_of(Algorithm.LEASE, 2 * MICRO)
        async with self.bench() as bench:
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
        async with self.bench() as bench:
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
        async with self.bench() as bench:
            bench.clock.advance(us=quota.slot - 1)
            long = await bench.admitted(line(quota, 6 * MICRO), hold=3 * HOUR)
            bench.clock.advance(us=1)
            await bench.admitted(line(quota, 4 * MICRO))
            bench.clock.advance(us=HOUR - 1)
            assert await bench.settle(long, 0) is Settled.DONE
            assert await bench.left(quota) == 6 * MICRO

    # -- Shadow and price -------------------------------------------------------------------------

    async def test_a_shadow_line_never_refuses_and_holds_what_it_would(self) -> None:
        """Up to its limit it is charged; beyond it, it is only reported."""
        for kind in KINDS:
            async with self.bench() as bench:
                shadow = line(quota_of(kind, 2 * MICRO, "shadow"), shadow=True)
                real = line(quota_of(Algorithm.SLIDING, 5 * MICRO, "real"))
                reservations = [await bench.admitted(shadow, real) for _ in range(5)]
                assert await bench.left(shadow.quota) == 0, f"{kind}"
                assert await bench.left(real.quota) == 0, f"{kind}"
                assert await bench.settle(reservations[4], 9 * MICRO, 0) is Settled.DONE
                assert await bench.left(shadow.quota) == 0, f"{kind}: charged, though left alone"
                decision = await bench.reserve(shadow, real)
                assert decision.admitted, f"{kind}"
                assert (decision.shadowed, decision.violated) == (("shadow",), ()), f"{kind}"
                decision = await bench.reserve(shadow, real)
                assert (decision.shadowed, decision.violated) == (("shadow",), ("real",)), f"{kind}"

    async def test_price_scales_all_but_leases_and_rounds_up(self) -> None:
        """When held, and when settled."""
        for kind in RATES:
            async with self.bench() as bench:
                lines = (
                    line(quota_of(kind), 2 * MICRO + 1),
                    line(quota_of(Algorithm.LEASE, name="l")),
                )
                reservation = await bench.admitted(*lines, price=1_500_000)
                assert reservation.held == (3 * MICRO + 2, MICRO), f"{kind}: {reservation.held}"
                assert await bench.left(lines[1].quota) == 9 * MICRO
                assert await bench.settle(reservation, 3, MICRO) is Settled.DONE
                assert await bench.left(lines[0].quota) == 10 * MICRO - 5, f"{kind}"

    # -- Accounts ---------------------------------------------------------------------------------

    async def test_a_status_says_what_is_left_and_when_all_is(self) -> None:
        """As peek does, for each line in its order."""
        for kind in RATES:
            async with self.bench() as bench:
                quotas = [quota_of(kind, limit * MICRO, f"{limit}") for limit in (4, 8)]
                decision = await bench.reserve(*(line(quota) for quota in quotas))
                told = tuple((status.remaining, status.reset) for status in decision.lines)
                assert told == await bench.store.peek("caller", quotas), f"{kind}"
                assert [remaining for remaining, _ in told] == [3 * MICRO, 7 * MICRO]
                bench.clock.advance(us=max(reset for _, reset in told))
                whole = await bench.store.peek("caller", quotas)
                assert whole == ((4 * MICRO, 0), (8 * MICRO, 0)), f"{kind}: {whole}"

    async def test_peek_of_a_stranger_finds_all_and_makes_no_account(self) -> None:
        """What is asked about is not charged."""
        for kind in KINDS:
            async with self.bench() as bench:
                quota = quota_of(kind)
                assert await bench.store.peek("stranger", [quota]) == ((10 * MICRO, 0),), f"{kind}"
                assert not await bench.store.forget("stranger"), f"{kind}: peek made an account"

    async def test_a_forgotten_account_begins_anew(self) -> None:
        """And a settle that comes after changes nothing, and makes no account."""
        for kind in KINDS:
            async with self.bench() as bench:
                quota = quota_of(kind)
                reservation = await bench.admitted(line(quota))
                assert await bench.store.forget("caller"), f"{kind}"
                assert await bench.settle(reservation, 20 * MICRO) is Settled.REPEATED, f"{kind}"
                assert not await bench.store.forget("caller"), f"{kind}"
                assert await bench.left(quota) == 10 * MICRO, f"{kind}"

    async def test_closing_twice_does_nothing(self) -> None:
        """A store that was never used closes too."""
        async with self.bench() as bench:
            await bench.store.aclose()
            await bench.store.aclose()
