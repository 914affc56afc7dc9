from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage import profile
from querybudget.coverage.observation import Observation
from querybudget.coverage.profile import (
    DAY,
    DECAY,
    HOUR,
    LIFETIME,
    TEMPLATES,
    Profile,
    ProfileDelta,
)
from querybudget.coverage.score import CHECKPOINTS, MAX_CALLS
from querybudget.coverage.sketch import Sketch
from tests.coverage.observations import made, observations

NOW = 1_000_000_000


def fed(stream: Iterable[Observation], now: int = NOW) -> Profile:
    profile = Profile()
    for observation in stream:
        profile.observe(observation, now)
    return profile


@contextmanager
def scoring(scores: dict[int, int]) -> Iterator[list[int]]:
    """Replace the score after n calls by `scores[n]`, or 0; yield the numbers of calls scored."""
    asked: list[int] = []

    def identity_score(sums: list[int]) -> int:
        asked.append(sums[0])
        return scores.get(sums[0], 0)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(profile, "identity_score", identity_score)
        yield asked


def test_a_caller_is_scored_only_at_the_checkpoints() -> None:
    with scoring({}) as asked:
        fed(made(n) for n in range(300))
    assert asked == sorted(n for n in CHECKPOINTS if n <= 300)


def test_the_score_rises_at_once_and_falls_by_steps() -> None:
    profile = Profile()
    scores: dict[int, int] = {}
    with scoring({20: 900_000, 25: 100_000, 32: 100_000}):
        for n in range(1, 33):
            profile.observe(made(n), NOW)
            scores[n] = profile.score(NOW)
    assert scores[19] == 0
    assert scores[20] == 900_000
    assert scores[24] == 900_000
    assert scores[25] == 900_000 - DECAY
    assert scores[32] == 900_000 - 2 * DECAY


def test_the_score_falls_with_time_and_never_below_zero() -> None:
    with scoring({16: 700_000}):
        profile = fed(made(n) for n in range(16))
    assert profile.score(NOW + DAY // 2) == 700_000 - DECAY // 2
    assert profile.score(NOW + DAY) == 700_000 - DECAY
    assert profile.score(NOW + 90 * DAY) == 0
    assert profile.score(NOW - DAY) == 700_000


def test_a_returning_caller_is_scored_again_at_the_first_call() -> None:
    with scoring(dict.fromkeys(range(16, 40), 900_000)):
        profile = fed(made(n) for n in range(17))
        later = NOW + 5 * DAY
        assert profile.score(later) == 900_000 - 5 * DECAY
        profile.observe(made(3), later)
        assert profile.score(later) == 900_000


def test_a_caller_with_a_score_is_scored_at_most_hourly_between_checkpoints() -> None:
    with scoring(dict.fromkeys(range(16, 40), 900_000)) as asked:
        profile = fed(made(n) for n in range(16))
        for _ in range(3):
            profile.observe(made(1), NOW + HOUR - 1)
        assert asked == [16]
        profile.observe(made(1), NOW + HOUR)
        assert asked[1] == 20


def test_a_returning_pool_is_scored_again() -> None:
    pool = Profile(last_score=800_000, scored_at=NOW)
    pool.add(Profile().observe(made(1), NOW), NOW + HOUR)
    assert pool.scored_at == NOW + HOUR
    assert pool.last_score == 800_000 - DECAY - DECAY // 24


def test_a_call_without_buckets_changes_nothing() -> None:
    profile = fed(made(n) for n in range(5))
    before = msgspec.msgpack.encode(profile)
    delta = profile.observe(Observation(), NOW)
    assert msgspec.msgpack.encode(profile) == before
    assert delta == ProfileDelta([], first=False)


def test_an_array_of_prompts_counts_as_if_each_were_sent_alone() -> None:
    alone = [made(n * 16, ask=n) for n in range(6)]
    together = made(0, ask=0, more=tuple(alone[1:]))
    one, pool_one = Profile(), Profile()
    pool_one.add(one.observe(together, NOW), NOW)
    each, pool_each = Profile(), Profile()
    for observation in alone:
        pool_each.add(each.observe(observation, NOW), NOW)
    assert one == each
    assert (pool_one.sums, pool_one.members) == (pool_each.sums, pool_each.members)


def test_the_sketch_of_a_template_has_only_its_own_calls() -> None:
    sweep = [made(n * 16 % 4096, ask=n, template=1) for n in range(20)]
    cover = [made(5, ask=7, template=2) for _ in range(180)]
    mixed = [
        observation for n in range(20) for observation in (*cover[n * 9 : n * 9 + 9], sweep[n])
    ]
    alone = Sketch(NOW)
    for observation in sweep:
        alone.observe(observation)
    assert fed(mixed).templates[1].sums == alone.sums


def test_the_score_is_that_of_the_most_suspect_template() -> None:
    with scoring({16: 800_000}):
        assert fed(made(n, template=n % 2) for n in range(15)).score(NOW) == 0
        assert fed(made(n, template=n % 2) for n in range(33)).score(NOW) >= 800_000 - DECAY


def test_a_caller_with_one_template_needs_no_second_sketch() -> None:
    assert fed(made(n, template=9) for n in range(50)).templates == {}


@given(st.lists(observations, max_size=60))
def test_the_number_of_templates_is_bounded(stream: list[Observation]) -> None:
    profile = fed(stream)
    assert len(profile.templates) <= TEMPLATES
    assert profile.queries == len(stream)


def test_the_busiest_templates_are_the_ones_kept() -> None:
    busy = [made(n, template=1 + n % 2) for n in range(60)]
    passing = [made(n, template=100 + n) for n in range(20)]
    assert {1, 2} <= fed(busy + passing).templates.keys()


def test_after_max_calls_the_sketch_restarts_and_the_score_decays() -> None:
    with scoring(dict.fromkeys(CHECKPOINTS - {16}, 700_000)):
        profile = fed(made(n % 4096) for n in range(MAX_CALLS))
        profile.observe(made(1), NOW)
        assert (profile.queries, profile.score(NOW)) == (1, 700_000)
        for n in range(15):
            profile.observe(made(n), NOW)
        assert profile.score(NOW) == 700_000 - DECAY


def test_a_new_sketch_starts_after_a_month() -> None:
    profile = fed(made(n) for n in range(40))
    profile.observe(made(1), NOW + LIFETIME)
    assert profile.queries == 41
    profile.observe(made(1), NOW + LIFETIME + 1)
    assert profile.queries == 1


@given(st.lists(st.tuples(st.integers(0, 3), observations), max_size=60))
def test_a_pool_has_the_sums_of_its_identities(calls: list[tuple[int, Observation]]) -> None:
    pool, identities = Profile(), [Profile() for _ in range(4)]
    for index, observation in calls:
        pool.add(identities[index].observe(observation, NOW), NOW)
    known = [one.sketch for one in identities if one.sketch is not None]
    assert pool.members == len(known)
    assert pool.queries == len(calls)
    assert pool.sums == [sum(parts) for parts in zip(*(one.sums for one in known), strict=True)]


def test_a_pool_starts_again_after_a_month() -> None:
    pool, identity = Profile(), Profile()
    pool.add(identity.observe(made(1), NOW), NOW)
    pool.add(identity.observe(made(2), NOW), NOW + LIFETIME + 1)
    assert (pool.queries, pool.members) == (1, 1)


def test_a_call_without_buckets_changes_no_pool() -> None:
    pool = Profile()
    pool.add(Profile().observe(Observation(), NOW), NOW)
    assert pool == Profile()


@given(st.lists(observations, max_size=40))
def test_a_profile_is_the_same_after_encoding_and_decoding(stream: list[Observation]) -> None:
    profile = fed(stream)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(profile), type=Profile)
    assert again == profile
    assert again.observe(made(3), NOW) == profile.observe(made(3), NOW)


def test_there_are_no_reasons_before_the_first_score() -> None:
    assert Profile().reasons == ()
    assert fed(made(n) for n in range(5)).reasons == ()


def test_reasons_are_those_of_the_most_suspect_sketch_strongest_first() -> None:
    shares = [reason.share for reason in fed(made(n, template=n % 2) for n in range(60)).reasons]
    assert shares == sorted(shares, reverse=True)
    assert shares


def test_a_pool_has_reasons_too() -> None:
    pool, identities = Profile(), [Profile() for _ in range(3)]
    for n in range(60):
        pool.add(identities[n % 3].observe(made(n), NOW), NOW)
    assert {reason.signal for reason in pool.reasons} == {
        "coverage",
        "persistence",
        "wording",
        "manner",
    }
