"""`LimitContract`: what every store promises of limits. A part of `StoreContract`."""

from __future__ import annotations

import asyncio

import pytest

from querybudget.ledger import Settled, Verdict
from querybudget.testing.contracts.fixtures import (
    HOUR,
    KINDS,
    LARGEST,
    Benched,
    N,
    kinds,
    line,
    quota_of,
    rates,
)
from querybudget.units import MICRO, SECOND, Algorithm

__all__ = ["LimitContract"]


@pytest.mark.anyio
class LimitContract(Benched):
    """Promises of limits and waits."""

    @kinds
    async def test_exactly_n_of_2n_concurrent_calls_are_admitted(self, kind: Algorithm) -> None:
        """However calls interleave, each kind of window admits its limit and no more."""
        async with self.bench(kind, exact=True) as bench:
            calls = (bench.reserve(line(quota_of(kind))) for _ in range(2 * N))
            decisions = await asyncio.gather(*calls)
            admitted = sum(decision.admitted for decision in decisions)
            assert admitted == N, f"expected {N} of {2 * N} admitted, found {admitted}"

    @kinds
    async def test_of_several_budgets_none_is_charged_for_a_refused_call(
        self, kind: Algorithm
    ) -> None:
        """All lines or none, over several partitions, concurrently."""
        async with self.bench(*KINDS, atomic=True) as bench:
            lines = [
                line(
                    quota_of(other, (N if other is kind else 2 * N) * MICRO, other),
                    partition=other,
                )
                for other in KINDS
            ]
            decisions = await asyncio.gather(*(bench.reserve(*lines) for _ in range(2 * N)))
            admitted = sum(decision.admitted for decision in decisions)
            assert admitted == N, f"expected {N} admitted, found {admitted}"
            left = [await bench.left(line.quota, line.partition) for line in lines]
            expected = [line.quota.limit - N * MICRO for line in lines]
            assert left == expected, f"expected {expected} left, found {left}"

    @rates
    async def test_a_refusal_consumes_nothing(self, kind: Algorithm) -> None:
        """Refused calls do not lengthen the wait, and do not count when there is room again."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind)
            first = await bench.admitted(line(quota, 8 * MICRO))
            waits = {(await bench.reserve(line(quota, 3 * MICRO))).wait for _ in range(5)}
            assert len(waits) == 1, f"expected one wait, found {waits}"
            assert await bench.left(quota) == 2 * MICRO
            assert await bench.settle(first, 0) is Settled.DONE
            await bench.admitted(line(quota, 10 * MICRO))

    @rates
    async def test_a_wait_is_exact(self, kind: Algorithm) -> None:
        """Refused a microsecond before its end, admitted at its end; the longest of the lines'."""
        async with self.bench(kind, Algorithm.GCRA, exact=True) as bench:
            lines = (
                line(quota_of(kind), 7 * MICRO),
                line(quota_of(Algorithm.GCRA, 9 * MICRO, "even"), 7 * MICRO),
            )
            await bench.admitted(*lines)
            bench.clock.advance(7)
            wait = (await bench.reserve(*lines)).wait
            assert wait > 1, f"expected to be told to wait, found {wait}"
            for step in (wait // 2, wait - wait // 2 - 1):
                bench.clock.advance(us=step)
                assert not (await bench.reserve(*lines)).admitted, "admitted early"
            bench.clock.advance(us=1)
            assert (await bench.reserve(*lines)).admitted, "refused after its wait"

    @rates
    async def test_what_never_fits_is_not_told_to_wait(self, kind: Algorithm) -> None:
        """More than the limit is refused as such."""
        async with self.bench(kind) as bench:
            decision = await bench.reserve(line(quota_of(kind), 10 * MICRO + 1))
            assert (decision.verdict, decision.wait) == (Verdict.NEVER, 0)
            decision = await bench.reserve(line(quota_of(kind), 10 * MICRO))
            assert decision.admitted, "the limit itself fits"

    @rates
    async def test_the_largest_limit_is_kept_exactly(self, kind: Algorithm) -> None:
        """To the last millionth."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind, LARGEST)
            reservation = await bench.admitted(line(quota, LARGEST - 1))
            assert await bench.left(quota) == 1
            assert not (await bench.reserve(line(quota, 2))).admitted
            used = LARGEST - 3
            assert await bench.settle(reservation, used) is Settled.DONE
            assert await bench.left(quota) == LARGEST - used

    @kinds
    async def test_partitions_do_not_touch(self, kind: Algorithm) -> None:
        """One caller's use is nobody else's."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind, MICRO)
            await bench.admitted(line(quota, partition="one"))
            await bench.admitted(line(quota, partition="two"))
            assert not (await bench.reserve(line(quota, partition="one"))).admitted

    @kinds
    async def test_another_limit_keeps_what_was_used(self, kind: Algorithm) -> None:
        """A policy read anew forgets no use."""
        async with self.bench(kind) as bench:
            for _ in range(3):
                await bench.admitted(line(quota_of(kind)))
            assert await bench.left(quota_of(kind, 4 * MICRO)) == MICRO

    @rates
    async def test_a_clock_that_goes_back_grants_nothing(self, kind: Algorithm) -> None:
        """What is promised then is exact too."""
        for back in (1, HOUR, 50 * HOUR):
            async with self.bench(kind, exact=True) as bench:
                quota = quota_of(kind)
                await bench.admitted(line(quota, 10 * MICRO))
                bench.clock.now -= back
                refused = await bench.reserve(line(quota))
                assert not refused.admitted, f"going back {back} µs was granted"
                bench.clock.advance(us=refused.wait - 1)
                assert not (await bench.reserve(line(quota))).admitted
                bench.clock.advance(us=1)
                await bench.admitted(line(quota))

    async def test_what_was_used_slides_out_within_a_sixtieth_of_its_window(self) -> None:
        """Never before it is a window old."""
        quota = quota_of(Algorithm.SLIDING)
        async with self.bench(Algorithm.SLIDING, exact=True) as bench:
            for part in range(3):
                await bench.admitted(line(quota, (part + 1) * MICRO))
                bench.clock.advance(us=HOUR // 3)
            left: list[int] = []
            for _ in range(3):
                bench.clock.now -= 1
                left.append(await bench.left(quota))
                bench.clock.advance(us=quota.slot + 1)
                left.append(await bench.left(quota))
                bench.clock.advance(us=HOUR // 3 - quota.slot)
            found = [amount // MICRO for amount in left]
            assert found == [4, 5, 5, 7, 7, 10], f"found {found} left"

    async def test_what_was_used_leaks_at_the_rate(self) -> None:
        """Of a GCRA window: a tenth of its limit in a tenth of its time, down to nothing."""
        quota = quota_of(Algorithm.GCRA)
        async with self.bench(Algorithm.GCRA, exact=True) as bench:
            await bench.admitted(line(quota, N * MICRO))
            for part in range(1, N + 1):
                bench.clock.advance(us=HOUR // N)
                assert await bench.left(quota) == part * MICRO
            bench.clock.advance(us=HOUR)
            assert await bench.left(quota) == N * MICRO, "what leaks ends with empty"

    async def test_a_calendar_s_period_is_fresh_and_keeps_what_is_its_own(self) -> None:
        """What is given back after it is of yesterday; what overshoots after it is of today."""
        quota = quota_of(Algorithm.CALENDAR)
        async with self.bench(Algorithm.CALENDAR, exact=True) as bench:
            bench.clock.advance(us=HOUR - 1)
            less = await bench.admitted(line(quota, 5 * MICRO), hold=2 * HOUR)
            more = await bench.admitted(line(quota, 5 * MICRO), hold=2 * HOUR)
            assert not (await bench.reserve(line(quota))).admitted
            bench.clock.advance(us=1)
            assert await bench.left(quota) == N * MICRO, "a new period is fresh"
            await bench.admitted(line(quota, 4 * MICRO))
            assert await bench.settle(less, 0) is Settled.DONE
            assert await bench.left(quota) == 6 * MICRO, "yesterday's is not added to today"
            assert await bench.settle(more, 7 * MICRO) is Settled.DONE
            assert await bench.left(quota) == 4 * MICRO, "overshoot is charged to today"

    async def test_who_waits_for_a_lease_is_told_to_ask_again_in_a_second(self) -> None:
        """Nobody knows when a call will end."""
        quota = quota_of(Algorithm.LEASE, MICRO)
        async with self.bench(Algorithm.LEASE) as bench:
            await bench.admitted(line(quota))
            refused = await bench.reserve(line(quota))
            assert (refused.verdict, refused.wait) == (Verdict.WAIT, SECOND), f"found {refused}"

    @rates
    async def test_another_kind_of_window_begins_anew(self, kind: Algorithm) -> None:
        """Under the same name; and the old one is as it was, if it comes back."""
        others = [other for other in KINDS if other is not kind]
        async with self.bench(*KINDS) as bench:
            await bench.admitted(line(quota_of(kind), 4 * MICRO))
            for other in others:
                assert await bench.left(quota_of(other)) == N * MICRO, f"as {other}"
            assert await bench.left(quota_of(kind)) == 6 * MICRO

    @kinds
    async def test_any_text_names_a_partition(self, kind: Algorithm) -> None:
        """Whatever a store makes keys of, no two of them are one."""
        names = ["", " ", "a", "A", "a:b", "a/b", "{a}", "%s", "*", "'", '"', "\\", "ä", "a\nb"]
        names += ["a\0b", "a" * 300, "a" * 300 + "b"]
        async with self.bench(kind) as bench:
            quota = quota_of(kind, 2 * MICRO)
            for name in names:
                await bench.admitted(line(quota, partition=name))
            left = [await bench.left(quota, name) for name in names]
            assert left == [MICRO] * len(names), f"found {left} left of {names}"
            assert await bench.store.forget("a")
            left = [await bench.left(quota, name) for name in names]
            assert sum(left) == MICRO * (len(names) + 1), f"forgetting one left {left}"
