from __future__ import annotations

from collections.abc import Callable
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage import score, weights
from querybudget.coverage.observation import Observation
from querybudget.coverage.score import (
    CHECKPOINTS,
    FEATURES,
    HIGHEST,
    SUSPECT_SCORE,
    VIEWS,
    evidence,
    features,
    identity_score,
    pool_score,
    reasons,
)
from querybudget.coverage.sketch import Sketch
from tests.coverage.observations import observations

streams = st.lists(observations, min_size=16, max_size=60)


def sums_of(stream: list[Observation]) -> list[int]:
    sketch = Sketch()
    for observation in stream:
        sketch.observe(observation)
    return sketch.sums


def test_every_rate_is_in_one_view() -> None:
    assert sorted(name for names in VIEWS.values() for name in names) == sorted(FEATURES)


def test_every_rate_has_weights() -> None:
    for numbers in (weights.MEAN, weights.SPREAD, weights.WEIGHT):
        assert len(numbers) == len(FEATURES)


def test_no_view_alone_can_make_a_caller_suspect() -> None:
    assert weights.BIAS + weights.CAP < weights.SUSPECT
    for _, needed in weights.POOL_SUSPECT:
        assert needed > weights.BIAS + weights.CAP


def test_three_views_can_make_a_caller_suspect_against_the_fourth() -> None:
    most = weights.BIAS + 3 * weights.CAP + weights.FLOOR
    assert most > weights.SUSPECT


@given(streams)
def test_the_evidence_of_a_view_is_between_its_floor_and_its_cap(
    stream: list[Observation],
) -> None:
    said = evidence(sums_of(stream))
    assert said.keys() == VIEWS.keys()
    assert all(weights.FLOOR <= value <= weights.CAP for value in said.values())


@given(st.lists(observations, min_size=1, max_size=60))
def test_a_score_is_a_whole_number_within_its_range(stream: list[Observation]) -> None:
    found = identity_score(sums_of(stream))
    assert isinstance(found, int)
    assert 0 <= found <= HIGHEST


@given(st.lists(observations, max_size=15))
def test_too_few_calls_have_no_score(stream: list[Observation]) -> None:
    sums = sums_of(stream)
    assert identity_score(sums) == pool_score(sums, 3) == 0
    assert reasons(sums) == ()


def test_the_first_score_is_at_16_calls() -> None:
    assert min(CHECKPOINTS) == 16


@given(streams, st.integers(2, 100))
def test_a_pool_of_equal_identities_has_the_rates_of_one_of_them(
    stream: list[Observation], members: int
) -> None:
    one = sums_of(stream)
    many = [members * value for value in one]
    for name, alone, pooled in zip(FEATURES, features(one), features(many), strict=True):
        slack = 0.7 if name in {"coarse_new", "cells_new", "words_new"} else 1e-9
        assert pooled == pytest.approx(alone, abs=slack), name


@given(streams)
def test_a_pool_of_one_has_the_score_of_that_identity(stream: list[Observation]) -> None:
    sums = sums_of(stream)
    assert pool_score(sums, 1) == identity_score(sums)


@given(streams)
def test_the_reasons_add_up_to_the_score(stream: list[Observation]) -> None:
    sums = sums_of(stream)
    total = sum(reason.share for reason in reasons(sums))
    expected = SUSPECT_SCORE + total + (weights.BIAS - weights.SUSPECT) * score.SLOPE
    assert identity_score(sums) == pytest.approx(max(0, min(HIGHEST, expected)), abs=5)


def extreme(sign: Callable[[float], float]) -> list[int]:
    """Return sums whose style differs from honest callers' as far as counts, by the sign."""
    sums = [0] * 14
    sums[0], sums[1], sums[2], sums[3], sums[5] = 100, 10_000, 99, 60, 300
    for place, _ in enumerate(FEATURES[11:], start=11):
        weight = weights.WEIGHT[place][0]
        mean, spread = weights.MEAN[place], weights.SPREAD[place]
        along = 4.605
        middle = mean[0] + mean[1] * along + mean[2] * along**2
        sums.append(round(100 * (middle + sign(weight) * 9 * spread[3])))
    return sums


def test_the_manner_of_a_sweep_has_positive_evidence_and_the_opposite_has_negative() -> None:
    def toward(weight: float) -> float:
        return 1 if weight > 0 else -1

    def away(weight: float) -> float:
        return -toward(weight)

    assert evidence(extreme(toward))["manner"] > 0 > evidence(extreme(away))["manner"]


@given(streams, streams)
def test_adding_a_pools_sums_in_any_order_gives_the_same_score(
    one: list[Observation], other: list[Observation]
) -> None:
    a, b = sums_of(one), sums_of(other)
    assert pool_score(list(map(add, a, b)), 2) == pool_score(list(map(add, b, a)), 2)
