"""Calibration disturbs at most the wanted share, within bounds, given enough callers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.calibration import BIN, BINS, Calibration, bin_of, moved, threshold
from querybudget.coverage.response import SUSPECT_SCORE

histograms = st.lists(st.integers(0, 400), min_size=BINS, max_size=BINS)
wanted = st.integers(0, 200_000)


@given(histograms, wanted)
def test_no_more_than_the_wanted_share_lies_above_the_threshold(
    histogram: list[int], disturb: int
) -> None:
    calibration = Calibration("all", disturb=disturb, callers=1, floor=0, ceiling=BIN * BINS)
    found = threshold(histogram, calibration, SUSPECT_SCORE)
    if sum(histogram):
        above = sum(histogram[bin_of(found) :]) if found < BIN * BINS else 0
        assert above * 1_000_000 <= disturb * (sum(histogram) + 1)


@given(histograms, wanted)
def test_the_threshold_stays_between_floor_and_ceiling(histogram: list[int], disturb: int) -> None:
    calibration = Calibration("all", disturb=disturb, callers=1)
    found = threshold(histogram, calibration, SUSPECT_SCORE)
    assert calibration.floor <= found <= calibration.ceiling


@given(histograms)
def test_with_too_few_callers_the_shipped_threshold_holds(histogram: list[int]) -> None:
    calibration = Calibration("all", callers=sum(histogram) + 1)
    assert threshold(histogram, calibration, SUSPECT_SCORE) == SUSPECT_SCORE


@given(histograms, wanted, st.integers(1, 500))
def test_callers_with_high_scores_move_it_only_towards_leniency(
    histogram: list[int], disturb: int, sweepers: int
) -> None:
    calibration = Calibration("all", disturb=disturb, callers=1)
    more = [*histogram[:-1], histogram[-1] + sweepers]
    before = threshold(histogram, calibration, SUSPECT_SCORE)
    if sum(histogram):
        assert threshold(more, calibration, SUSPECT_SCORE) >= min(before, calibration.ceiling) - BIN


@given(st.integers(0, 1_600_000), st.integers(-400_000, 400_000))
def test_a_calibration_refuses_nobody_whom_the_score_itself_does_not(
    score: int, shift: int
) -> None:
    found = moved(score, shift)
    assert found >= 0
    assert score or not found
    assert found < 1_000_000 or score >= 1_000_000
    if 0 < score < 1_000_000 and 0 <= score + shift < 1_000_000:
        assert found == score + shift
