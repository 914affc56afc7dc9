"""What every store promises about profiles and scores. Part of `StoreContract`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import msgspec
import pytest

from querybudget.coverage import BucketResponse, Stage
from querybudget.coverage.calibration import Calibration, moved
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.coverage.observation import COARSE, FINE, Chunk, Observation
from querybudget.coverage.population import touched
from querybudget.coverage.response import SUSPECT_SCORE, Suspects
from querybudget.coverage.stream import ABILITIES, LEANINGS
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS
from querybudget.ledger import Charge, Decision, Line, Settled, Verdict
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

SWEEP = 40
"""Calls of a sweep: enough to be recognised."""

MEMBERS = 12
"""Members of a population that sweeps."""

STEPS = 20
"""Calls after which the caller of a sweep is old enough to calibrate."""

TERSE = {"instruction", "judging", "variety"}

MANNER = tuple([100 * (name in TERSE) for name in STYLE_FEATURES])
BLATANT = tuple([100 * (name in TERSE | {"format", "options"}) for name in STYLE_FEATURES])
LEANING = (127,) + (0,) * (LEANINGS - 1)
DAY = 24 * HOUR


@pytest.mark.anyio
class ProfileContract(StoreTests):
    """Promises about profiles, and the scores computed from them.

    Attributes:
        repeats: As `SettleContract.repeats`.
    """

    repeats: ClassVar[bool] = False

    async def test_a_call_is_observed_when_it_is_admitted(self) -> None:
        """Before it is settled. The store's score is the one that a `CallerProfile` gives."""
        async with self._profiling() as store:
            profile = CallerProfile()
            expected: list[int] = []
            found: list[int] = []
            for number in range(SWEEP):
                await store.admitted(covered(), observation=swept(number))
                profile.observe(swept(number), store.clock.now)
                expected.append(profile.score(store.clock.now))
                found.append(await _score(store))
            assert max(expected) > 0, f"expected a sweep to be recognised, found {expected}"
            assert found == expected, f"expected {expected}, found {found}"

    async def test_calls_made_at_once_are_all_observed(self) -> None:
        """Each once, although none is settled."""
        async with self._profiling() as store:
            calls = (store.reserve(covered(), observation=seen(cell)) for cell in range(SWEEP))
            await asyncio.gather(*calls)
            again = [
                await store.admitted(covered(), observation=seen(cell)) for cell in range(SWEEP)
            ]
            new = sum(reservation.held != (0,) for reservation in again)
            assert not new, f"{new} of {SWEEP} calls were not observed"

    async def test_a_refused_call_is_not_observed(self) -> None:
        async with self._profiling() as store:
            profile, full = CallerProfile(), line(quota_of(Algorithm.SLIDING), N * MICRO)
            await store.admitted(full)
            for number in range(SWEEP):
                await store.admitted(covered(), observation=swept(number))
                profile.observe(swept(number), store.clock.now)
                refused = await store.reserve(full, covered(), observation=swept(99))
                assert not refused.admitted
            expected = profile.score(store.clock.now)
            assert await _score(store) == expected, f"expected {expected}"
            first = await store.admitted(covered(), observation=swept(99))
            assert first.held[0], "a refused call must stay new"

    async def test_settling_and_renewing_change_no_profile(self) -> None:
        """Whether the call used something, failed, or was late."""
        async with self._profiling() as store:
            profile = CallerProfile()
            for number in range(SWEEP):
                reservation = await store.admitted(covered(), observation=swept(number))
                profile.observe(swept(number), store.clock.now)
                if not number % 3:
                    store.clock.advance(us=HOLD)
                for _ in range(2):
                    await store.settle(reservation, MICRO * (number % 2))
            expected = profile.score(store.clock.now)
            assert await _score(store) == expected, f"expected {expected}"

    async def test_a_repeated_reserve_is_observed_once(self) -> None:
        """For stores that promise this: set `repeats`."""
        if not self.repeats:
            pytest.skip("not promised: reserving again with the same id (`repeats` is not set)")
        async with self._profiling() as store:
            profile, group = CallerProfile(), Group()
            for number in range(SWEEP):
                charge = Charge(
                    f"sweep-{number}",
                    (covered(), covered(partition="group")),
                    HOLD,
                    observation=swept(number),
                    profiled=("caller", "group"),
                )
                first, again = [await store.inner.reserve(charge) for _ in range(2)]
                assert again.reservation == first.reservation, f"expected {first}, found {again}"
                change = profile.observe(swept(number), store.clock.now)
                if change is not None:
                    group.add(change, store.clock.now)
            found = [await _score(store), await _score(store, "group", ("caller", "group"))]
            expected = [each.score(store.clock.now) for each in (profile, group)]
            assert found == expected, f"expected {expected}, found {found}"

    async def test_a_score_brings_about_stages_and_says_why(self) -> None:
        """The wait of a call refused for its score alone is an hour."""
        async with self._profiling() as store:
            profile = await _sweep(store, ["caller"])
            score = profile.score(store.clock.now)
            stages = ((Stage.SLOW, score // 2), (Stage.DEGRADE, score), (Stage.REFUSE, score + 1))
            slowed = await store.reserve(covered(BucketResponse(stages=stages)), observation=seen())
            assert (slowed.admitted, slowed.stage) == (True, Stage.DEGRADE), f"found {slowed}"
            assert slowed.reasons == profile.reasons, f"found {slowed.reasons}"
            assert slowed.reasons, "expected reasons"
            refusing = BucketResponse(stages=((Stage.REFUSE, score),))
            refused = await store.reserve(covered(refusing), observation=seen())
            assert (refused.verdict, refused.wait) == (Verdict.WAIT, 3_600 * SECOND), f"{refused}"

    async def test_a_call_that_packs_much_is_decided_with_what_it_brings(self) -> None:
        """By the score that its caller has after it, for the same reasons."""
        async with self._profiling() as store:
            profile = CallerProfile()
            profile.observe(packed(SWEEP), store.clock.now)
            score = profile.score(store.clock.now)
            assert score > 0, "expected a sweep to be recognised"
            stages = ((Stage.SLOW, score // 2), (Stage.DEGRADE, score), (Stage.REFUSE, score + 1))
            first = await store.reserve(
                covered(BucketResponse(stages=stages)), observation=packed(SWEEP)
            )
            found = (first.admitted, first.stage, first.lines[0].strain)
            assert found == (True, Stage.DEGRADE, score), f"found {first}"
            assert first.reasons == profile.reasons, f"found {first.reasons}"
            assert await _score(store) == score, "expected it to be observed once"

    async def test_a_refusal_for_what_a_call_packs_changes_nothing(self) -> None:
        """No wait helps the call, and its caller's next one is served."""
        async with self._profiling() as store:
            refusing = covered(BucketResponse(stages=((Stage.REFUSE, 1),)))
            await store.admitted(refusing, observation=packed(1))
            refused = await store.reserve(refusing, observation=packed(SWEEP))
            found = (refused.verdict, refused.wait, refused.stage)
            assert found == (Verdict.NEVER, 0, Stage.REFUSE), f"found {refused}"
            assert await _score(store) == 0
            few = await store.admitted(refusing, observation=packed(4))
            assert few.held == (3,), "a refused call must stay new"

    async def test_a_score_sets_the_price(self) -> None:
        """If the response to strain counts it."""
        async with self._profiling() as store:
            score = (await _sweep(store, ["caller"])).score(store.clock.now)
            scored, unscored = BucketResponse(free=0), BucketResponse(free=0, scored=False)
            assert (await store.reserve(covered(scored), observation=seen())).price == scored.price(
                score
            )
            found = (await store.reserve(covered(unscored), observation=seen())).price
            assert found < scored.price(score), f"found {found}"

    async def test_a_score_falls_with_time(self) -> None:
        """As a `CallerProfile` says."""
        async with self._profiling() as store:
            profile = await _sweep(store, ["caller"])
            for _ in range(3):
                store.clock.advance(us=DAY)
                expected = profile.score(store.clock.now)
                assert await _score(store) == expected, f"expected {expected}"
                profile.observe(seen(), store.clock.now)

    async def test_a_group_hears_of_each_change_once(self) -> None:
        """Its score is the one that a `Group` of its members' changes gives."""
        async with self._profiling() as store:
            expected = (await _sweep_by_many(store)).score(store.clock.now)
            found = await _score(store, "group", ("member-0", "group"))
            assert found == expected, f"expected {expected}, found {found}"

    async def test_a_group_calibrates_scores(self) -> None:
        """Each score moves by what the group says; no score stays none."""
        async with self._profiling() as store:
            calibration = Calibration("everyone", callers=1, age=HOUR, calls=SWEEP)
            profiled, group, profile = ("caller", "everyone"), Group(), CallerProfile()
            for number in range(SWEEP):
                store.clock.advance(us=calibration.age // STEPS)
                await store.admitted(
                    covered(),
                    observation=swept(number),
                    profiled=profiled,
                    calibration=calibration,
                )
                old = calibration if number >= STEPS else None
                change = profile.observe(swept(number), store.clock.now, old)
                if change is not None:
                    group.add(change, store.clock.now)
            score = profile.score(store.clock.now)
            assert score > 0, "expected a score"
            assert group.shift(calibration), "expected the score to move"
            store.clock.advance(us=HOUR)
            score = profile.score(store.clock.now)
            decision = await store.reserve(
                covered(), observation=seen(), profiled=profiled, calibration=calibration
            )
            expected = moved(score, group.shift(calibration))
            found = decision.lines[0].strain
            assert found == expected, f"expected {expected}, found {found}"
            new = await store.reserve(
                covered(partition="new"),
                observation=seen(),
                profiled=("new", "everyone"),
                calibration=calibration,
            )
            assert new.lines[0].strain == 0, f"found {new.lines[0].strain}"

    async def test_only_suspects_spend_what_a_population_shares(self) -> None:
        """As its profiles say; a member that is not touched spends none."""
        async with self._profiling() as store:
            group, members = Group(), {f"member-{n}": CallerProfile() for n in range(MEMBERS)}
            left, spent, stages = 12, 0, set[Stage]()
            for number in range(12 * len(members)):
                name = f"member-{number % len(members)}"
                own, shared = members[name], shared_by_suspects(12)
                found = touched(group, own.tails, Suspects(500_000, 50_000))
                decision = await store.reserve(
                    shared, observation=swept(number), profiled=(name, "population")
                )
                assert decision.reservation, f"expected to be admitted, found {decision}"
                expected = min(left - spent, own.novelty(swept(number))) if found.score else 0
                assert decision.touched == ({"breadth": found} if found.score else {})
                assert decision.reservation.held == (expected * MICRO,), f"{number}: {decision}"
                spent += expected
                stages.add(decision.stage)
                change = own.observe(swept(number), store.clock.now)
                if change is not None:
                    group.add(change, store.clock.now)
            assert spent == left, f"expected all to be spent, found {spent}"
            assert Stage.DEGRADE in stages, f"found {stages}"
            new = await store.reserve(
                shared_by_suspects(12), observation=swept(999), profiled=("new", "population")
            )
            assert (new.admitted, new.stage, new.price) == (True, Stage.NONE, MICRO), f"{new}"

    async def test_nobody_is_refused_on_one_kind_of_evidence(self) -> None:
        """A population test refuses if a pool agrees that another budget has."""
        async with self._profiling() as store:
            line, pools = covered(partition="population"), ("population", "network")
            for number in range(12 * MEMBERS):
                member, shown = f"member-{number % MEMBERS}", blatant(number)
                await store.admitted(line, observation=shown, profiled=(member, *pools))
            shared, shown = shared_by_suspects(1), blatant(999)
            one = await store.reserve(
                shared, observation=shown, profiled=("member-1", "population")
            )
            assert (one.admitted, one.stage) == (True, Stage.DEGRADE), f"found {one}"
            network = covered(partition="network")
            other = msgspec.structs.replace(network.quota, name="network")
            network = msgspec.structs.replace(network, quota=other, amount=0, minimum=0)
            two = await store.reserve(
                shared, network, observation=shown, profiled=("member-1", *pools)
            )
            assert (two.admitted, two.stage) == (False, Stage.REFUSE), f"found {two}"

    async def test_a_forgotten_account_has_no_score(self) -> None:
        """Its group keeps what it has heard."""
        async with self._profiling() as store:
            await _sweep(store, ["caller"])
            assert await store.inner.forget("caller"), "a profiled caller must have an account"
            assert await _score(store) == 0
            expected = (await _sweep_by_many(store)).score(store.clock.now)
            assert await store.inner.forget("member-0")
            assert await _score(store, "group", ("member-0", "group")) == expected
            assert await store.inner.forget("group")
            assert await _score(store, "group", ("member-0", "group")) == 0

    @asynccontextmanager
    async def _profiling(self) -> AsyncGenerator[StoreFixture, None]:
        async with self.opened(Algorithm.SLIDING, exact=True, profiles=True) as store:
            yield store


async def _sweep(store: StoreFixture, profiled: Sequence[str]) -> CallerProfile:
    """Sweep as the first of `profiled`, and return the profile expected of it."""
    profile = CallerProfile()
    for number in range(SWEEP):
        reservation = await store.admitted(
            covered(partition=profiled[0]), observation=swept(number), profiled=profiled
        )
        assert await store.settle(reservation, MICRO) is Settled.DONE
        profile.observe(swept(number), store.clock.now)
    assert profile.score(store.clock.now) > 0, "expected a sweep to be recognised"
    return profile


async def _sweep_by_many(store: StoreFixture) -> Group:
    """Sweep as several members, each a part, and return what is expected of their group."""
    group, members = Group(), [CallerProfile() for _ in range(8)]
    for number in range(2 * SWEEP):
        who = number % len(members)
        profiled = (f"member-{who}", "group")
        await store.admitted(
            covered(partition=profiled[0]), observation=swept(number), profiled=profiled
        )
        change = members[who].observe(swept(number), store.clock.now)
        if change is not None:
            group.add(change, store.clock.now)
    assert group.score(store.clock.now) > 0, "expected the group to be recognised"
    return group


async def _score(
    store: StoreFixture, partition: str = "caller", profiled: Sequence[str] = ("caller",)
) -> int:
    """Return the strain of an account, found by a call that shows nothing."""
    decision: Decision = await store.reserve(
        covered(partition=partition), observation=seen(), profiled=profiled
    )
    assert decision.reservation, f"expected to be admitted, found {decision}"
    await store.settle(decision.reservation, 0)
    return decision.lines[0].strain


def swept(number: int) -> Observation:
    """Return call `number` of a sweep: no two share a bucket or words."""
    coarse = number * 37 % COARSE
    cell = coarse * (FINE // COARSE) + number * 2 % (FINE // COARSE)
    point = bytearray(32)
    point[number % len(point)] = 127
    words = sum(1 << (number * 29 + word * 7) % WORD_BITS for word in range(8))
    bits = words.to_bytes(WORD_BITS // 8, "little")
    place = (cell, coarse, bytes(point))
    abilities = 1 << number % ABILITIES
    return Observation(said=(Chunk(number + 1, *place, bits, MANNER, 0, LEANING, abilities),))


def packed(count: int) -> Observation:
    """Return a call that packs the first calls of a sweep, a task each."""
    said = tuple(swept(number).said[0] for number in range(count))
    return Observation(said=said, items=tuple(range(count)))


def blatant(number: int) -> Observation:
    """Return call `number` of a sweep that is phrased as data sets are, and needs much."""
    chunk = swept(number).said[0]
    return Observation(said=(msgspec.structs.replace(chunk, style=BLATANT, abilities=0b111),))


def shared_by_suspects(limit: int) -> Line:
    """Return a line that only those members of a population spend whom its test touches."""
    stages = ((Stage.SLOW, SUSPECT_SCORE), (Stage.DEGRADE, 850_000), (Stage.REFUSE, MICRO))
    response = BucketResponse(stages=stages, suspects=Suspects(500_000, 50_000))
    return wide(limit, response, partition="population")


def covered(response: BucketResponse | None = None, partition: str = "caller") -> Line:
    """Return a line whose strain is the score of its account: what it costs is no share of it."""
    return wide(FINE, response or BucketResponse(), weight=1, partition=partition)
