"""`ProfileContract`: what every store promises of profiles. A part of `StoreContract`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from querybudget.coverage import BucketResponse, Observation, Profile, Stage
from querybudget.coverage.observation import COARSE, FINE
from querybudget.coverage.score import VIEWS
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS
from querybudget.ledger import Decision, Line, Settled, Verdict
from querybudget.testing.contracts.fixtures import HOLD, HOUR, Bench, Benched, seen, wide
from querybudget.units import MICRO, SECOND, Algorithm

__all__ = ["ProfileContract", "swept"]

SWEEP = 40
"""Calls of a sweep: enough to be judged as one, and judged last at the last of them."""

SUSPECT = 500_000
"""What the score of a sweep is above, in millionths."""

STYLE = {"size": 100, "sentence": 100, "capital": 100, "instruction": 100, "variety": 100}
DAY = 24 * HOUR


def swept(number: int) -> Observation:
    """One call of a list made to cover a model: never where, nor with the words, it was before."""
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
    """A line whose strain is all but the score of its account."""
    return wide(FINE, response or BucketResponse(), partition=partition)


@pytest.mark.anyio
class ProfileContract(Benched):
    """Promises of the profiles of those watched, and of the score that comes of them."""

    async def test_a_sweep_raises_the_score_of_its_caller(self) -> None:
        """At the calls where a profile is judged, to what a profile comes to."""
        async with self.bench(Algorithm.DISTINCT) as bench:
            profile = Profile()
            expected: list[int] = []
            found: list[int] = []
            for number in range(SWEEP):
                await _answer(bench, swept(number), ["caller"])
                profile.observe(swept(number), bench.clock.now)
                share = (number + 1) * MICRO // FINE
                expected.append(max(share, profile.score(bench.clock.now)))
                found.append(await _score(bench))
            assert max(expected) > SUSPECT, f"a sweep is to look like one, found {expected}"
            assert found == expected, f"expected {expected}, found {found}"

    async def test_a_score_brings_about_stages_and_says_why(self) -> None:
        """And what it alone refuses is told to ask again in an hour."""
        async with self.bench(Algorithm.DISTINCT) as bench:
            profile = await _sweep(bench, ["caller"])
            score = profile.score(bench.clock.now)
            stages = ((Stage.SLOW, score // 2), (Stage.DEGRADE, score), (Stage.REFUSE, score + 1))
            slowed = await bench.reserve(covered(BucketResponse(stages=stages)), observation=seen())
            assert (slowed.admitted, slowed.stage) == (True, Stage.DEGRADE), f"found {slowed}"
            signals = {reason.signal for reason in slowed.reasons}
            assert signals, "expected to be told why"
            assert signals <= VIEWS.keys(), f"found {slowed.reasons}"
            refusing = BucketResponse(stages=((Stage.REFUSE, score),))
            refused = await bench.reserve(covered(refusing), observation=seen())
            assert (refused.verdict, refused.wait) == (Verdict.WAIT, 3_600 * SECOND), f"{refused}"

    async def test_a_score_sets_the_price(self) -> None:
        """Where the response to strain counts it."""
        async with self.bench(Algorithm.DISTINCT) as bench:
            profile = await _sweep(bench, ["caller"])
            score = profile.score(bench.clock.now)
            scored, unscored = BucketResponse(free=0), BucketResponse(free=0, scored=False)
            assert (await bench.reserve(covered(scored), observation=seen())).price == scored.price(
                score
            )
            share = SWEEP * MICRO // FINE
            cheap = unscored.price(share)
            assert (await bench.reserve(covered(unscored), observation=seen())).price == cheap

    async def test_a_score_falls_with_time(self) -> None:
        """By a tenth in a day, whoever asks."""
        async with self.bench(Algorithm.DISTINCT) as bench:
            profile = await _sweep(bench, ["caller"])
            for _ in range(3):
                bench.clock.advance(us=DAY)
                expected = profile.score(bench.clock.now)
                assert await _score(bench) == expected, f"expected {expected}"

    async def test_calls_that_failed_or_came_late_are_not_seen(self) -> None:
        """Nor is one that is settled twice seen twice."""
        async with self.bench(Algorithm.DISTINCT) as bench:
            profile = Profile()
            for number in range(SWEEP):
                observation = swept(number)
                failed = await bench.admitted(covered(), observation=swept(99), profiled=["caller"])
                assert await bench.settle(failed, 0) is Settled.DONE
                done = await bench.admitted(covered(), observation=observation, profiled=["caller"])
                late = await bench.admitted(covered(), observation=swept(98), profiled=["caller"])
                assert await bench.settle(done, MICRO) is Settled.DONE
                profile.observe(observation, bench.clock.now)
                assert await bench.settle(done, MICRO) is Settled.REPEATED
                bench.clock.advance(us=HOLD)
                assert await bench.settle(late, MICRO) is Settled.LATE
            expected = profile.score(bench.clock.now)
            assert await _score(bench) == expected, f"expected {expected}"

    async def test_a_pool_has_what_its_members_calls_add_up_to(self) -> None:
        """So that a sweep by many is seen where none of them is."""
        async with self.bench(Algorithm.DISTINCT) as bench:
            pool, members = Profile(), [Profile() for _ in range(4)]
            for number in range(2 * SWEEP):
                who = number % len(members)
                await _answer(bench, swept(number), [f"member-{who}", "pool"])
                pool.add(members[who].observe(swept(number), bench.clock.now), bench.clock.now)
            expected = pool.score(bench.clock.now)
            assert expected > SUSPECT, f"a sweep by many is to look like one, found {expected}"
            assert await _score(bench, "pool") == expected, f"expected {expected}"

    async def test_whoever_is_forgotten_has_no_score(self) -> None:
        """Its pool keeps what it was told."""
        async with self.bench(Algorithm.DISTINCT) as bench:
            await _sweep(bench, ["caller", "pool"])
            before = await _score(bench, "pool")
            assert before > SUSPECT, f"expected a score, found {before}"
            assert await bench.store.forget("caller"), "who is watched has an account"
            assert await _score(bench) == 0
            assert await _score(bench, "pool") == before


async def _answer(bench: Bench, observation: Observation, profiled: Sequence[str]) -> None:
    """One answered call."""
    reservation = await bench.admitted(
        covered(partition=profiled[0]), observation=observation, profiled=profiled
    )
    assert await bench.settle(reservation, MICRO) is Settled.DONE


async def _sweep(bench: Bench, profiled: Sequence[str]) -> Profile:
    """A sweep by the first of those watched; what its profile has to be."""
    profile = Profile()
    for number in range(SWEEP):
        await _answer(bench, swept(number), profiled)
        profile.observe(swept(number), bench.clock.now)
    return profile


async def _score(bench: Bench, partition: str = "caller") -> int:
    """The strain of an account of which nothing else is strained; a call that fails finds it."""
    decision: Decision = await bench.reserve(covered(partition=partition), observation=seen())
    assert decision.reservation, f"expected to be admitted, found {decision}"
    await bench.settle(decision.reservation, 0)
    return decision.lines[0].strain
