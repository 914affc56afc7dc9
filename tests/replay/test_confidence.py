from __future__ import annotations

import random

import pytest

from querybudget.replay.confidence import may_exceed, needed, upper_bound


@pytest.mark.parametrize(("share", "number"), [(0.01, 299), (0.001, 2_995), (0.05, 59)])
def test_the_numbers_needed_are_those_of_the_tables(share: float, number: int) -> None:
    assert needed(share) == number
    assert may_exceed(number, share) == 0
    assert may_exceed(number - 1, share) == -1


@pytest.mark.parametrize(("number", "k"), [(93, 1), (124, 2), (181, 4)])
def test_of_more_more_may_be_above(number: int, k: int) -> None:
    # The sample sizes of Wilks for 95 % of the population with 95 % confidence.
    assert may_exceed(number, 0.05) == k
    assert may_exceed(number - 1, 0.05) == k - 1


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    assert upper_bound(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert upper_bound(1, 10) == pytest.approx(0.394163, abs=1e-6)
    assert upper_bound(10, 10) == 1


def test_the_limit_holds_as_often_as_is_said() -> None:
    chance = random.Random(1)
    number, share = 200, 0.05
    k = may_exceed(number, share)
    held = 0
    for _ in range(1_000):
        sample = sorted((chance.random() for _ in range(number)), reverse=True)
        held += sample[k] >= 1 - share
    assert held >= 940


def test_large_samples_do_not_underflow() -> None:
    assert 900 < may_exceed(1_000_000, 0.001) < 1_000
