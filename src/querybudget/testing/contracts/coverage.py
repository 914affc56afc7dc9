"""What every store promises about budgets in buckets. Part of `StoreContract`."""

from __future__ import annotations

import asyncio

import pytest

from querybudget.coverage import BucketResponse, Stage
from querybudget.ledger import Decision, Settled, Verdict
from querybudget.testing.contracts.fixtures import (
    HOLD,
    HOUR,
    N,
    StoreTests,
    line,
    quota_of,
    seen,
    wide,
)
from querybudget.units import MICRO, Algorithm

STAGES = ((Stage.SLOW, 500_000), (Stage.DEGRADE, 900_000))


@pytest.mark.anyio
class BucketContract(StoreTests):
    """Promises about budgets in buckets."""

    async def test_of_2n_concurrent_calls_exactly_n_enter_new_ground(self) -> None:
        """However calls interleave, and before any is settled. Repeats are still admitted."""
        async with self.opened(Algorithm.SLIDING, exact=True, profiles=True) as store:
            calls = (store.reserve(wide(), observation=seen(cell)) for cell in range(2 * N))
            admitted = [decision.admitted for decision in await asyncio.gather(*calls)]
            assert sum(admitted) == N, f"expected {N} admitted, found {sum(admitted)}"
            repeat = await store.reserve(wide(), observation=seen(admitted.index(True)))
            assert repeat.admitted, "known ground must not be new"

    async def test_known_ground_costs_nothing(self) -> None:
        """Also when what it cost has left the window."""
        async with self.opened(Algorithm.SLIDING, exact=True, profiles=True) as store:
            held: list[int] = []
            for cells in ((1, 2), (2, 3), (1, 2, 3)):
                reservation = await store.admitted(wide(), observation=seen(*cells))
                held += reservation.held
                await store.settle(reservation, MICRO)
                store.clock.advance(us=HOUR // 3)
            assert held == [2 * MICRO, MICRO, 0], f"found {held}"
            assert await store.left(wide().quota) == (N - 1) * MICRO
            store.clock.advance(us=HOUR // 3)
            assert await store.left(wide().quota) == N * MICRO
            again = await store.admitted(wide(), observation=seen(1, 2, 3))
            assert again.held == (0,), f"found {again.held}"

    async def test_a_bucket_costs_what_it_weighs(self) -> None:
        async with self.opened(Algorithm.SLIDING, profiles=True) as store:
            reservation = await store.admitted(wide(weight=3 * MICRO), observation=seen(1, 2))
            assert reservation.held == (6 * MICRO,), f"found {reservation.held}"
            await store.settle(reservation, 3 * MICRO)
            assert await store.left(wide().quota) == (N - 6) * MICRO

    async def test_a_failed_call_is_refunded_and_stays_known(self) -> None:
        """So to try again costs nothing. Settling twice changes nothing."""
        async with self.opened(Algorithm.SLIDING, profiles=True) as store:
            await store.cover(wide(), 1)
            failed = await store.admitted(wide(), observation=seen(1, 2, 3))
            assert await store.left(wide().quota) == (N - 3) * MICRO
            assert await store.settle(failed, 0) is Settled.DONE
            assert await store.left(wide().quota) == (N - 1) * MICRO
            assert await store.settle(failed, 0) is Settled.REPEATED
            assert await store.left(wide().quota) == (N - 1) * MICRO
            again = await store.admitted(wide(), observation=seen(1, 2, 3))
            assert again.held == (0,), f"found {again.held}"

    async def test_a_call_that_is_never_settled_keeps_its_cost(self) -> None:
        """It is refunded nothing when it is settled late."""
        async with self.opened(Algorithm.SLIDING, profiles=True) as store:
            reservation = await store.admitted(wide(), observation=seen(1, 2))
            store.clock.advance(us=HOLD)
            assert await store.settle(reservation, 0) is Settled.LATE
            assert await store.left(wide().quota) == (N - 2) * MICRO

    async def test_the_wait_for_new_ground_is_exact(self) -> None:
        """A call is refused 1 µs before its wait ends, and admitted at the end."""
        async with self.opened(Algorithm.SLIDING, exact=True, profiles=True) as store:
            for cell in range(3):
                await store.cover(wide(3), cell)
                store.clock.advance(us=HOUR // 4)
            refused = await store.reserve(wide(3), observation=seen(7, 8))
            assert (refused.verdict, refused.stage) == (Verdict.WAIT, Stage.REFUSE)
            store.clock.advance(us=refused.wait - 1)
            assert not (await store.reserve(wide(3), observation=seen(7, 8))).admitted, (
                "admitted early"
            )
            store.clock.advance(us=1)
            assert (await store.reserve(wide(3), observation=seen(7, 8))).admitted, (
                "refused after it"
            )
            never = await store.reserve(wide(3), observation=seen(3, 4, 5, 6))
            assert (never.verdict, never.wait) == (Verdict.NEVER, 0)

    async def test_a_refused_call_is_not_known_and_pays_nothing(self) -> None:
        """Whether a line of buckets refuses it or another line."""
        async with self.opened(Algorithm.SLIDING, atomic=True, profiles=True) as store:
            tokens = line(quota_of(Algorithm.SLIDING), 6 * MICRO)
            await store.admitted(tokens, wide(3), observation=seen(1))
            assert not (await store.reserve(tokens, wide(3), observation=seen(2))).admitted
            little = line(tokens.quota, MICRO)
            over = await store.reserve(little, wide(3), observation=seen(2, 3, 4))
            assert not over.admitted
            assert await store.left(wide(3).quota) == 2 * MICRO
            assert await store.left(tokens.quota) == 4 * MICRO
            first = await store.admitted(little, wide(3), observation=seen(2, 3))
            assert first.held == (MICRO, 2 * MICRO), "a refused call must stay new"

    async def test_buckets_spent_raise_the_price_of_every_other_line(self) -> None:
        """Except leases and buckets. Usage is settled at the same price."""
        async with self.opened(Algorithm.SLIDING, Algorithm.LEASE, profiles=True) as store:
            covered = wide(10, BucketResponse(free=0, cap=4 * MICRO, scored=False))
            await store.cover(covered, *range(5))
            lines = (
                line(quota_of(Algorithm.SLIDING, 90 * MICRO, "tokens"), 2 * MICRO),
                line(quota_of(Algorithm.LEASE, name="slots")),
                covered,
            )
            reservation = await store.admitted(*lines, observation=seen(7))
            assert reservation.price == 2 * MICRO, f"found {reservation.price}"
            assert reservation.held == (4 * MICRO, MICRO, MICRO), f"found {reservation.held}"
            store.clock.advance(us=HOUR // 2)
            await store.settle(reservation, 5 * MICRO, MICRO, MICRO)
            assert await store.left(lines[0].quota) == 80 * MICRO
            assert await store.left(covered.quota) == 4 * MICRO

    async def test_a_stage_begins_at_its_strain_and_ends_clearly_below(self) -> None:
        """So callers do not oscillate between stages."""
        async with self.opened(Algorithm.SLIDING, exact=True, profiles=True) as store:
            covered = wide(10, BucketResponse(stages=STAGES, scored=False))
            found: list[Decision] = []
            await store.cover(covered, *range(4))
            for cells in ((), (5,), (), (6, 7, 8, 9), ()):  # at 40, 50, 40, 80 and 40 %
                more = await store.admitted(covered, observation=seen(*cells))
                found.append(await store.reserve(covered, observation=seen()))
                await store.settle(more, 0)
            store.clock.advance(us=2 * HOUR)
            found.append(await store.reserve(covered, observation=seen()))
            stages = [decision.stage for decision in found]
            none, slow = Stage.NONE, Stage.SLOW
            assert stages == [none, slow, slow, slow, slow, none], f"found {stages}"
            slowed = [decision.delay > 0 for decision in found]
            assert slowed == [stage is not none for stage in stages], f"found {slowed}"

    async def test_a_shadow_line_of_buckets_says_what_it_would_do_and_does_nothing(self) -> None:
        """It changes neither price, stage nor verdict."""
        async with self.opened(Algorithm.SLIDING, profiles=True) as store:
            response = BucketResponse(free=0, cap=4 * MICRO, stages=STAGES, scored=False)
            shadow = wide(4, response, shadow=True)
            tokens = line(quota_of(Algorithm.SLIDING))
            for cell in range(4):
                reservation = await store.admitted(tokens, shadow, observation=seen(cell))
                await store.settle(reservation, MICRO, MICRO)
            over = await store.reserve(tokens, shadow, observation=seen(4))
            assert over.admitted, f"found {over}"
            assert (over.price, over.stage, over.delay) == (MICRO, Stage.NONE, 0), f"found {over}"
            would = (over.shadow_price, over.shadow_stage, over.shadowed)
            assert would == (4 * MICRO, Stage.REFUSE, ("breadth",)), f"found {would}"
            assert await store.left(shadow.quota) == 0

    async def test_what_was_known_of_a_forgotten_caller_is_new_again(self) -> None:
        """Although no line of buckets is the caller's own."""
        async with self.opened(Algorithm.SLIDING, profiles=True) as store:
            pool = wide(partition="pool")
            for new in (2, 0):
                reservation = await store.admitted(pool, observation=seen(1, 2))
                assert reservation.held == (new * MICRO,), f"found {reservation.held}"
            assert await store.inner.forget("caller"), "a profiled caller must have an account"
            reservation = await store.admitted(pool, observation=seen(1, 2))
            assert reservation.held == (2 * MICRO,), f"found {reservation.held}"

    async def test_a_pool_spends_what_its_members_newly_enter(self) -> None:
        """What one member knows is new to another."""
        async with self.opened(Algorithm.SLIDING, profiles=True) as store:
            pool, held = wide(partition="pool"), list[int]()
            for who, cells in (("one", (1, 2)), ("two", (2, 3)), ("one", (2, 3)), ("two", (3,))):
                reservation = await store.admitted(
                    pool, observation=seen(*cells), profiled=(who, "pool")
                )
                held += reservation.held
            assert held == [2 * MICRO, 2 * MICRO, MICRO, 0], f"found {held}"
            assert await store.left(pool.quota, "pool") == (N - 5) * MICRO

    async def test_the_wait_of_a_call_that_costs_too_much_is_exact(self) -> None:
        """It ends when buckets leave the window and the price falls, or when enough is free."""
        async with self.opened(Algorithm.SLIDING, exact=True, profiles=True) as store:
            covered = wide(10, BucketResponse(free=0, cap=4 * MICRO, scored=False))
            await store.cover(covered, *range(5))
            lines = (line(quota_of(Algorithm.SLIDING, name="tokens"), 6 * MICRO), covered)
            dear = await store.reserve(*lines, observation=seen(1))
            assert (dear.verdict, dear.price) == (Verdict.WAIT, 2 * MICRO), f"found {dear}"
            store.clock.advance(us=dear.wait - 1)
            assert not (await store.reserve(*lines, observation=seen(1))).admitted, "admitted early"
            store.clock.advance(us=1)
            assert (await store.reserve(*lines, observation=seen(1))).admitted, (
                "refused after its wait"
            )

    async def test_a_call_on_known_ground_is_not_refused_for_its_buckets(self) -> None:
        """Not even in the stage `refuse`."""
        async with self.opened(Algorithm.SLIDING, profiles=True) as store:
            stages = (*STAGES, (Stage.REFUSE, 1_000_000))
            covered = wide(4, BucketResponse(stages=stages, scored=False))
            await store.cover(covered, *range(4))
            new = await store.reserve(covered, observation=seen(9))
            assert (new.admitted, new.stage) == (False, Stage.REFUSE), f"found {new}"
            repeat = await store.reserve(covered, observation=seen(3))
            assert (repeat.admitted, repeat.stage) == (True, Stage.DEGRADE), f"found {repeat}"
