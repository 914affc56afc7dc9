"""`BucketContract`: what every store promises of budgets of buckets. A part of `StoreContract`."""

from __future__ import annotations

import asyncio

import pytest

from querybudget.coverage import BucketResponse, Stage
from querybudget.ledger import Decision, Settled, Verdict
from querybudget.testing.contracts.fixtures import (
    HOLD,
    HOUR,
    Benched,
    N,
    line,
    quota_of,
    seen,
    wide,
)
from querybudget.units import MICRO, Algorithm

__all__ = ["BucketContract"]

DISTINCT = Algorithm.DISTINCT
STAGES = ((Stage.SLOW, 500_000), (Stage.DEGRADE, 900_000))


@pytest.mark.anyio
class BucketContract(Benched):
    """Promises of budgets of buckets."""

    async def test_of_2n_concurrent_calls_exactly_n_open_a_new_bucket(self) -> None:
        """However calls interleave, and though none is settled yet; repeats go on."""
        async with self.bench(DISTINCT, exact=True) as bench:
            calls = (bench.reserve(wide(), observation=seen(cell)) for cell in range(2 * N))
            admitted = [decision.admitted for decision in await asyncio.gather(*calls)]
            assert sum(admitted) == N, f"expected {N} admitted, found {sum(admitted)}"
            repeat = await bench.reserve(wide(), observation=seen(admitted.index(True)))
            assert repeat.admitted, "a bucket that was visited is not new"

    async def test_a_repeat_is_free(self) -> None:
        """Within a window of the last visit, in this call or another."""
        async with self.bench(DISTINCT, exact=True) as bench:
            for cells in ((1, 2), (2, 3), (1, 2, 3)):
                reservation = await bench.admitted(wide(), observation=seen(*cells))
                await bench.settle(reservation, MICRO)
                bench.clock.advance(us=HOUR // 3)
            assert await bench.left(wide().quota) == (N - 3) * MICRO
            bench.clock.advance(us=HOUR - HOUR // 3 - 1)
            assert await bench.left(wide().quota) == (N - 3) * MICRO, "a visit lasts a window"
            bench.clock.advance(us=wide().quota.slot)
            assert await bench.left(wide().quota) == N * MICRO, "and less than a slot longer"

    async def test_a_bucket_counts_for_what_it_weighs(self) -> None:
        """Each new one as much as its line says."""
        async with self.bench(DISTINCT) as bench:
            reservation = await bench.admitted(wide(weight=3 * MICRO), observation=seen(1, 2))
            assert reservation.held == (6 * MICRO,), f"found {reservation.held}"
            await bench.settle(reservation, 3 * MICRO)
            assert await bench.left(wide().quota) == (N - 6) * MICRO

    async def test_a_failed_call_gives_its_buckets_back(self) -> None:
        """But not those that another call holds too, or has visited."""
        async with self.bench(DISTINCT) as bench:
            await bench.observation(wide(), 1)
            one = await bench.admitted(wide(), observation=seen(1, 2, 3))
            await bench.admitted(wide(), observation=seen(2))
            assert await bench.settle(one, 0) is Settled.DONE
            assert await bench.left(wide().quota) == (N - 2) * MICRO
            assert await bench.settle(one, MICRO) is Settled.REPEATED
            assert await bench.left(wide().quota) == (N - 2) * MICRO

    async def test_a_call_that_is_never_settled_has_visited_its_buckets(self) -> None:
        """And gives none back when it is settled late."""
        async with self.bench(DISTINCT) as bench:
            reservation = await bench.admitted(wide(), observation=seen(1, 2))
            bench.clock.advance(us=HOLD)
            assert await bench.settle(reservation, 0) is Settled.LATE
            assert await bench.left(wide().quota) == (N - 2) * MICRO

    async def test_the_wait_for_a_bucket_is_exact(self) -> None:
        """Refused a microsecond before its end, admitted at its end."""
        async with self.bench(DISTINCT, exact=True) as bench:
            for cell in range(3):
                await bench.observation(wide(3), cell)
                bench.clock.advance(us=HOUR // 4)
            refused = await bench.reserve(wide(3), observation=seen(7, 8))
            assert (refused.verdict, refused.stage) == (Verdict.WAIT, Stage.REFUSE)
            bench.clock.advance(us=refused.wait - 1)
            assert not (await bench.reserve(wide(3), observation=seen(7, 8))).admitted, (
                "admitted early"
            )
            bench.clock.advance(us=1)
            assert (await bench.reserve(wide(3), observation=seen(7, 8))).admitted, (
                "refused after it"
            )
            never = await bench.reserve(wide(3), observation=seen(5, 6, 7, 8))
            assert (never.verdict, never.wait) == (Verdict.NEVER, 0)

    async def test_a_refused_call_visits_nothing_and_pays_nothing(self) -> None:
        """Whether it is a line of buckets that refuses, or another."""
        async with self.bench(DISTINCT, Algorithm.SLIDING, atomic=True) as bench:
            tokens = line(quota_of(Algorithm.SLIDING), 6 * MICRO)
            await bench.admitted(tokens, wide(2), observation=seen(1))
            assert not (await bench.reserve(tokens, wide(2), observation=seen(2))).admitted
            little = line(tokens.quota, MICRO)
            assert not (await bench.reserve(little, wide(2), observation=seen(2, 3))).admitted
            assert await bench.left(wide(2).quota) == MICRO
            assert await bench.left(tokens.quota) == 4 * MICRO

    async def test_buckets_spent_raise_the_price_of_every_other_line(self) -> None:
        """But of leases, and of buckets; and what is used is paid at the same price."""
        async with self.bench(DISTINCT, Algorithm.SLIDING, Algorithm.LEASE) as bench:
            response = BucketResponse(free=0, cap=4 * MICRO)
            covered = wide(10, response)
            await bench.observation(covered, *range(5))
            lines = (
                line(quota_of(Algorithm.SLIDING, 90 * MICRO, "tokens"), 2 * MICRO),
                line(quota_of(Algorithm.LEASE, name="slots")),
                covered,
            )
            reservation = await bench.admitted(*lines, observation=seen(7))
            assert reservation.price == 2 * MICRO, f"found {reservation.price}"
            assert reservation.held == (4 * MICRO, MICRO, MICRO), f"found {reservation.held}"
            bench.clock.advance(us=HOUR // 2)
            await bench.settle(reservation, 5 * MICRO, MICRO, MICRO)
            assert await bench.left(lines[0].quota) == 80 * MICRO

    async def test_a_stage_begins_at_its_strain_and_ends_clearly_below(self) -> None:
        """So that nobody flaps."""
        async with self.bench(DISTINCT) as bench:
            covered = wide(10, BucketResponse(stages=STAGES))
            found: list[Decision] = []
            await bench.observation(covered, *range(4))
            for cells in ((), (6,), (), (5, 6, 7, 8, 9), ()):  # at 40, 50, 40, 90 and 40 %
                more = await bench.admitted(covered, observation=seen(*cells))
                found.append(await bench.reserve(covered, observation=seen()))
                await bench.settle(more, 0)
            bench.clock.advance(us=2 * HOUR)
            found.append(await bench.reserve(covered, observation=seen()))
            stages = [decision.stage for decision in found]
            none, slow, degrade = Stage.NONE, Stage.SLOW, Stage.DEGRADE
            assert stages == [none, slow, slow, degrade, slow, none], f"found {stages}"
            slowed = [decision.delay > 0 for decision in found]
            assert slowed == [stage is not none for stage in stages], f"found {slowed}"

    async def test_a_shadow_line_of_buckets_says_what_it_would_do_and_does_nothing(self) -> None:
        """Neither price, stage nor refusal."""
        async with self.bench(DISTINCT, Algorithm.SLIDING) as bench:
            response = BucketResponse(free=0, cap=4 * MICRO, stages=STAGES)
            shadow = wide(4, response, shadow=True)
            tokens = line(quota_of(Algorithm.SLIDING))
            for cell in range(4):
                reservation = await bench.admitted(tokens, shadow, observation=seen(cell))
                await bench.settle(reservation, MICRO, MICRO)
            over = await bench.reserve(tokens, shadow, observation=seen(4))
            assert over.admitted, f"found {over}"
            assert (over.price, over.stage, over.delay) == (MICRO, Stage.NONE, 0), f"found {over}"
            would = (over.shadow_price, over.shadow_stage, over.shadowed)
            assert would == (4 * MICRO, Stage.REFUSE, ("breadth",)), f"found {would}"
            assert await bench.left(shadow.quota) == 0

    async def test_watched_accounts_take_part_without_a_line(self) -> None:
        """Those of an answered call are kept; forgetting one drops what was visited too."""
        async with self.bench(DISTINCT, Algorithm.SLIDING) as bench:
            tokens, profiled = line(quota_of(Algorithm.SLIDING)), ("caller", "pool")
            observation = seen(1)
            failed = await bench.admitted(
                tokens, wide(), observation=observation, profiled=profiled
            )
            await bench.settle(failed, 0, 0)
            again = await bench.admitted(tokens, wide(), observation=observation, profiled=profiled)
            assert await bench.settle(again, MICRO, MICRO) is Settled.DONE
            assert await bench.store.forget("pool"), "a pool that is watched has an account"
            assert await bench.left(wide().quota) == (N - 1) * MICRO
            assert await bench.store.forget("caller")
            assert await bench.left(wide().quota) == N * MICRO
            assert await bench.settle(again, MICRO, MICRO) is Settled.REPEATED

    async def test_a_bucket_counts_for_the_heaviest_of_its_visits_that_count(self) -> None:
        """A heavier call pays the difference, a lighter one nothing; what is older goes first."""
        async with self.bench(DISTINCT, exact=True) as bench:
            left: list[int] = []
            for weight in (1, 3, 2):
                reservation = await bench.admitted(wide(weight=weight * MICRO), observation=seen(1))
                assert await bench.settle(reservation, MICRO) is Settled.DONE
                left.append(await bench.left(wide().quota))
                bench.clock.advance(us=HOUR // 3)
            bench.clock.advance(us=HOUR // 3 + wide().quota.slot)
            left.append(await bench.left(wide().quota))
            bench.clock.advance(us=HOUR // 3)
            left.append(await bench.left(wide().quota))
            found = [N - amount // MICRO for amount in left]
            assert found == [1, 3, 3, 2, 0], f"found {found} used"

    async def test_the_wait_of_a_call_too_dear_is_exact(self) -> None:
        """Until buckets have left the window and the price has fallen, or more has come back."""
        async with self.bench(DISTINCT, Algorithm.SLIDING, exact=True) as bench:
            covered = wide(10, BucketResponse(free=0, cap=4 * MICRO))
            await bench.observation(covered, *range(5))
            lines = (line(quota_of(Algorithm.SLIDING, name="tokens"), 6 * MICRO), covered)
            dear = await bench.reserve(*lines, observation=seen(1))
            assert (dear.verdict, dear.price) == (Verdict.WAIT, 2 * MICRO), f"found {dear}"
            bench.clock.advance(us=dear.wait - 1)
            assert not (await bench.reserve(*lines, observation=seen(1))).admitted, "admitted early"
            bench.clock.advance(us=1)
            assert (await bench.reserve(*lines, observation=seen(1))).admitted, (
                "refused after its wait"
            )

    async def test_what_was_visited_refuses_no_call_that_visits_nothing_new(self) -> None:
        """Also at the stage of refusing."""
        async with self.bench(DISTINCT) as bench:
            covered = wide(4, BucketResponse(stages=(*STAGES, (Stage.REFUSE, 1_000_000))))
            await bench.observation(covered, *range(4))
            new = await bench.reserve(covered, observation=seen(9))
            assert (new.admitted, new.stage) == (False, Stage.REFUSE), f"found {new}"
            repeat = await bench.reserve(covered, observation=seen(3))
            assert (repeat.admitted, repeat.stage) == (True, Stage.DEGRADE), f"found {repeat}"
