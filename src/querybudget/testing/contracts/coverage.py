"""What every store promises about buckets and profiles. Part of `StoreContract`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from querybudget.coverage import BucketResponse, Observation, Profile, Stage
from querybudget.coverage.observation import COARSE, FINE
from querybudget.coverage.score import VIEWS
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS
from querybudget.ledger import Decision, Line, Settled, Verdict
from querybudget.testing.contracts.fixtures import (
    HOLD,
    HOUR,
    N,
    StoreFixture,
    StoreTests,
    line,
    quota_of,
    seen,
    wide,
)
from querybudget.units import MICRO, SECOND, Algorithm

DISTINCT = Algorithm.DISTINCT
STAGES = ((Stage.SLOW, 500_000), (Stage.DEGRADE, 900_000))

SWEEP = 40
"""Calls of a sweep: enough to be recognised, and the last call is one that is scored."""

SUSPECT = 500_000
"""The least score of a sweep, in millionths."""

STYLE = {"size": 100, "sentence": 100, "capital": 100, "instruction": 100, "variety": 100}
DAY = 24 * HOUR


@pytest.mark.anyio
class BucketContract(StoreTests):
    """Promises about budgets in buckets."""

    async def test_of_2n_concurrent_calls_exactly_n_open_a_new_bucket(self) -> None:
        """However calls interleave, and before any is settled. Repeats are still admitted."""
        async with self.opened(DISTINCT, exact=True) as store:
            calls = (store.reserve(wide(), observation=seen(cell)) for cell in range(2 * N))
            admitted = [decision.admitted for decision in await asyncio.gather(*calls)]
            assert sum(admitted) == N, f"expected {N} admitted, found {sum(admitted)}"
            repeat = await store.reserve(wide(), observation=seen(admitted.index(True)))
            assert repeat.admitted, "a visited bucket must not be new"

    async def test_a_repeat_is_free(self) -> None:
        """Within a window of the last visit, by this call or another."""
        async with self.opened(DISTINCT, exact=True) as store:
            for cells in ((1, 2), (2, 3), (1, 2, 3)):
                reservation = await store.admitted(wide(), observation=seen(*cells))
                await store.settle(reservation, MICRO)
                store.clock.advance(us=HOUR // 3)
            assert await store.left(wide().quota) == (N - 3) * MICRO
            store.clock.advance(us=HOUR - HOUR // 3 - 1)
            assert await store.left(wide().quota) == (N - 3) * MICRO, "a visit must last a window"
            store.clock.advance(us=wide().quota.slot)
            assert await store.left(wide().quota) == N * MICRO, (
                "a visit must last less than a slot longer than a window"
            )

    async def test_a_bucket_counts_for_what_it_weighs(self) -> None:
        """Each new bucket costs what its line says."""
        async with self.opened(DISTINCT) as store:
            reservation = await store.admitted(wide(weight=3 * MICRO), observation=seen(1, 2))
            assert reservation.held == (6 * MICRO,), f"found {reservation.held}"
            await store.settle(reservation, 3 * MICRO)
            assert await store.left(wide().quota) == (N - 6) * MICRO

    async def test_a_failed_call_gives_its_buckets_back(self) -> None:
        """But not those that another call holds or has visited."""
        async with self.opened(DISTINCT) as store:
            await store.visit(wide(), 1)
            one = await store.admitted(wide(), observation=seen(1, 2, 3))
            await store.admitted(wide(), observation=seen(2))
            assert await store.settle(one, 0) is Settled.DONE
            assert await store.left(wide().quota) == (N - 2) * MICRO
            assert await store.settle(one, MICRO) is Settled.REPEATED
            assert await store.left(wide().quota) == (N - 2) * MICRO

    async def test_a_call_that_is_never_settled_has_visited_its_buckets(self) -> None:
        """It refunds none when it is settled late."""
        async with self.opened(DISTINCT) as store:
            reservation = await store.admitted(wide(), observation=seen(1, 2))
            store.clock.advance(us=HOLD)
            assert await store.settle(reservation, 0) is Settled.LATE
            assert await store.left(wide().quota) == (N - 2) * MICRO

    async def test_the_wait_for_a_bucket_is_exact(self) -> None:
        """A call is refused 1 µs before its wait ends, and admitted at the end."""
        async with self.opened(DISTINCT, exact=True) as store:
            for cell in range(3):
                await store.visit(wide(3), cell)
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
            never = await store.reserve(wide(3), observation=seen(5, 6, 7, 8))
            assert (never.verdict, never.wait) == (Verdict.NEVER, 0)

    async def test_a_refused_call_visits_nothing_and_pays_nothing(self) -> None:
        """Whether a line of buckets refuses it or another line."""
        async with self.opened(DISTINCT, Algorithm.SLIDING, atomic=True) as store:
            tokens = line(quota_of(Algorithm.SLIDING), 6 * MICRO)
            await store.admitted(tokens, wide(2), observation=seen(1))
            assert not (await store.reserve(tokens, wide(2), observation=seen(2))).admitted
            little = line(tokens.quota, MICRO)
            assert not (await store.reserve(little, wide(2), observation=seen(2, 3))).admitted
            assert await store.left(wide(2).quota) == MICRO
            assert await store.left(tokens.quota) == 4 * MICRO

    async def test_buckets_spent_raise_the_price_of_every_other_line(self) -> None:
        """Except leases and buckets. Usage is settled at the same price."""
        async with self.opened(DISTINCT, Algorithm.SLIDING, Algorithm.LEASE) as store:
            response = BucketResponse(free=0, cap=4 * MICRO)
            covered = wide(10, response)
            await store.visit(covered, *range(5))
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

    async def test_a_stage_begins_at_its_strain_and_ends_clearly_below(self) -> None:
        """So callers do not oscillate between stages."""
        async with self.opened(DISTINCT) as store:
            covered = wide(10, BucketResponse(stages=STAGES))
            found: list[Decision] = []
            await store.visit(covered, *range(4))
            for cells in ((), (6,), (), (5, 6, 7, 8, 9), ()):  # at 40, 50, 40, 90 and 40 %
                more = await store.admitted(covered, observation=seen(*cells))
                found.append(await store.reserve(covered, observation=seen()))
                await store.settle(more, 0)
            store.clock.advance(us=2 * HOUR)
            found.append(await store.reserve(covered, observation=seen()))
            stages = [decision.stage for decision in found]
            none, slow, degrade = Stage.NONE, Stage.SLOW, Stage.DEGRADE
            assert stages == [none, slow, slow, degrade, slow, none], f"found {stages}"
            slowed = [decision.delay > 0 for decision in found]
            assert slowed == [stage is not none for stage in stages], f"found {slowed}"

    async def test_a_shadow_line_of_buckets_says_what_it_would_do_and_does_nothing(self) -> None:
        """It changes neither price, stage nor verdict."""
        async with self.opened(DISTINCT, Algorithm.SLIDING) as store:
            response = BucketResponse(free=0, cap=4 * MICRO, stages=STAGES)
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

    async def test_profiled_accounts_take_part_without_a_line(self) -> None:
        """An answered call keeps them. `forget` drops their buckets too."""
        async with self.opened(DISTINCT, Algorithm.SLIDING) as store:
            tokens, profiled = line(quota_of(Algorithm.SLIDING)), ("caller", "pool")
            observation = seen(1)
            failed = await store.admitted(
                tokens, wide(), observation=observation, profiled=profiled
            )
            await store.settle(failed, 0, 0)
            again = await store.admitted(tokens, wide(), observation=observation, profiled=profiled)
            assert await store.settle(again, MICRO, MICRO) is Settled.DONE
            assert await store.inner.forget("pool"), "a profiled pool must have an account"
            assert await store.left(wide().quota) == (N - 1) * MICRO
            assert await store.inner.forget("caller")
            assert await store.left(wide().quota) == N * MICRO
            assert await store.settle(again, MICRO, MICRO) is Settled.REPEATED

    async def test_a_bucket_counts_for_the_heaviest_of_its_visits_that_count(self) -> None:
        """A heavier call pays the difference, a lighter one nothing. Older visits expire first."""
        async with self.opened(DISTINCT, exact=True) as store:
            left: list[int] = []
            for weight in (1, 3, 2):
                reservation = await store.admitted(wide(weight=weight * MICRO), observation=seen(1))
                assert await store.settle(reservation, MICRO) is Settled.DONE
                left.append(await store.left(wide().quota))
                store.clock.advance(us=HOUR // 3)
            store.clock.advance(us=HOUR // 3 + wide().quota.slot)
            left.append(await store.left(wide().quota))
            store.clock.advance(us=HOUR // 3)
            left.append(await store.left(wide().quota))
            found = [N - amount // MICRO for amount in left]
            assert found == [1, 3, 3, 2, 0], f"found {found} used"

    async def test_the_wait_of_a_call_that_costs_too_much_is_exact(self) -> None:
        """It ends when buckets leave the window and the price falls, or when enough is free."""
        async with self.opened(DISTINCT, Algorithm.SLIDING, exact=True) as store:
            covered = wide(10, BucketResponse(free=0, cap=4 * MICRO))
            await store.visit(covered, *range(5))
            lines = (line(quota_of(Algorithm.SLIDING, name="tokens"), 6 * MICRO), covered)
            dear = await store.reserve(*lines, observation=seen(1))
            assert (dear.verdict, dear.price) == (Verdict.WAIT, 2 * MICRO), f"found {dear}"
            store.clock.advance(us=dear.wait - 1)
            assert not (await store.reserve(*lines, observation=seen(1))).admitted, "admitted early"
            store.clock.advance(us=1)
            assert (await store.reserve(*lines, observation=seen(1))).admitted, (
                "refused after its wait"
            )

    async def test_a_call_that_visits_nothing_new_is_not_refused_for_its_buckets(self) -> None:
        """Not even in the stage `refuse`."""
        async with self.opened(DISTINCT) as store:
            covered = wide(4, BucketResponse(stages=(*STAGES, (Stage.REFUSE, 1_000_000))))
            await store.visit(covered, *range(4))
            new = await store.reserve(covered, observation=seen(9))
            assert (new.admitted, new.stage) == (False, Stage.REFUSE), f"found {new}"
            repeat = await store.reserve(covered, observation=seen(3))
            assert (repeat.admitted, repeat.stage) == (True, Stage.DEGRADE), f"found {repeat}"


@pytest.mark.anyio
class ProfileContract(StoreTests):
    """Promises about profiles and the scores computed from them."""

    async def test_a_sweep_raises_the_score_of_its_caller(self) -> None:
        """After each call, the store's score is the one that a `Profile` gives."""
        async with self.opened(DISTINCT) as store:
            profile = Profile()
            expected: list[int] = []
            found: list[int] = []
            for number in range(SWEEP):
                await _answered_call(store, swept(number), ["caller"])
                profile.observe(swept(number), store.clock.now)
                share = (number + 1) * MICRO // FINE
                expected.append(max(share, profile.score(store.clock.now)))
                found.append(await _score(store))
            assert max(expected) > SUSPECT, f"expected a sweep to be recognised, found {expected}"
            assert found == expected, f"expected {expected}, found {found}"

    async def test_a_score_brings_about_stages_and_says_why(self) -> None:
        """The wait of a call refused for its score alone is an hour."""
        async with self.opened(DISTINCT) as store:
            profile = await _sweep(store, ["caller"])
            score = profile.score(store.clock.now)
            stages = ((Stage.SLOW, score // 2), (Stage.DEGRADE, score), (Stage.REFUSE, score + 1))
            slowed = await store.reserve(covered(BucketResponse(stages=stages)), observation=seen())
            assert (slowed.admitted, slowed.stage) == (True, Stage.DEGRADE), f"found {slowed}"
            signals = {reason.signal for reason in slowed.reasons}
            assert signals, "expected reasons"
            assert signals <= VIEWS.keys(), f"found {slowed.reasons}"
            refusing = BucketResponse(stages=((Stage.REFUSE, score),))
            refused = await store.reserve(covered(refusing), observation=seen())
            assert (refused.verdict, refused.wait) == (Verdict.WAIT, 3_600 * SECOND), f"{refused}"

    async def test_a_score_sets_the_price(self) -> None:
        """If the response to strain counts it."""
        async with self.opened(DISTINCT) as store:
            profile = await _sweep(store, ["caller"])
            score = profile.score(store.clock.now)
            scored, unscored = BucketResponse(free=0), BucketResponse(free=0, scored=False)
            assert (await store.reserve(covered(scored), observation=seen())).price == scored.price(
                score
            )
            share = SWEEP * MICRO // FINE
            cheap = unscored.price(share)
            assert (await store.reserve(covered(unscored), observation=seen())).price == cheap

    async def test_a_score_falls_with_time(self) -> None:
        """By a tenth a day."""
        async with self.opened(DISTINCT) as store:
            profile = await _sweep(store, ["caller"])
            for _ in range(3):
                store.clock.advance(us=DAY)
                expected = profile.score(store.clock.now)
                assert await _score(store) == expected, f"expected {expected}"

    async def test_failed_and_late_calls_do_not_change_a_profile(self) -> None:
        """A call that is settled twice changes it once."""
        async with self.opened(DISTINCT) as store:
            profile = Profile()
            for number in range(SWEEP):
                observation = swept(number)
                failed = await store.admitted(covered(), observation=swept(99), profiled=["caller"])
                assert await store.settle(failed, 0) is Settled.DONE
                done = await store.admitted(covered(), observation=observation, profiled=["caller"])
                late = await store.admitted(covered(), observation=swept(98), profiled=["caller"])
                assert await store.settle(done, MICRO) is Settled.DONE
                profile.observe(observation, store.clock.now)
                assert await store.settle(done, MICRO) is Settled.REPEATED
                store.clock.advance(us=HOLD)
                assert await store.settle(late, MICRO) is Settled.LATE
            expected = profile.score(store.clock.now)
            assert await _score(store) == expected, f"expected {expected}"

    async def test_a_pool_has_what_its_members_calls_add_up_to(self) -> None:
        """So a sweep by many members is recognised although no member's calls are."""
        async with self.opened(DISTINCT) as store:
            pool, members = Profile(), [Profile() for _ in range(4)]
            for number in range(2 * SWEEP):
                who = number % len(members)
                await _answered_call(store, swept(number), [f"member-{who}", "pool"])
                pool.add(members[who].observe(swept(number), store.clock.now), store.clock.now)
            expected = pool.score(store.clock.now)
            assert expected > SUSPECT, (
                f"expected a sweep by many to be recognised, found {expected}"
            )
            assert await _score(store, "pool") == expected, f"expected {expected}"

    async def test_a_forgotten_account_has_no_score(self) -> None:
        """Its pool keeps its calls."""
        async with self.opened(DISTINCT) as store:
            await _sweep(store, ["caller", "pool"])
            before = await _score(store, "pool")
            assert before > SUSPECT, f"expected a score, found {before}"
            assert await store.inner.forget("caller"), "a profiled caller must have an account"
            assert await _score(store) == 0
            assert await _score(store, "pool") == before


async def _answered_call(
    store: StoreFixture, observation: Observation, profiled: Sequence[str]
) -> None:
    reservation = await store.admitted(
        covered(partition=profiled[0]), observation=observation, profiled=profiled
    )
    assert await store.settle(reservation, MICRO) is Settled.DONE


async def _sweep(store: StoreFixture, profiled: Sequence[str]) -> Profile:
    """Sweep as the first of `profiled`, and return the profile expected of it."""
    profile = Profile()
    for number in range(SWEEP):
        await _answered_call(store, swept(number), profiled)
        profile.observe(swept(number), store.clock.now)
    return profile


async def _score(store: StoreFixture, partition: str = "caller") -> int:
    """Return the strain of an account, found by a call that then fails."""
    decision: Decision = await store.reserve(covered(partition=partition), observation=seen())
    assert decision.reservation, f"expected to be admitted, found {decision}"
    await store.settle(decision.reservation, 0)
    return decision.lines[0].strain


def swept(number: int) -> Observation:
    """Return call `number` of a sweep: no two share a bucket or words."""
    coarse = number * 37 % COARSE
    point = bytearray(32)
    point[number % len(point)] = 127
    words = sum(1 << (number * 29 + word * 7) % WORD_BITS for word in range(8))
    return Observation(
        (coarse * (FINE // COARSE) + number % (FINE // COARSE),),
        coarse,
        bytes(point),
        words.to_bytes(WORD_BITS // 8, "little"),
        tuple(STYLE.get(name, 0) for name in STYLE_FEATURES),
        ask=number + 1,
    )


def covered(response: BucketResponse | None = None, partition: str = "caller") -> Line:
    """Return a line whose strain is almost entirely the score of its account."""
    return wide(FINE, response or BucketResponse(), partition=partition)
