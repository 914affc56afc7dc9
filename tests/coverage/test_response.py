from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.response import DEFAULT_STAGES, HYSTERESIS, BucketResponse, Curve, Stage
from querybudget.units import MICRO, SECOND

PERCENT = MICRO // 100
strains = st.integers(0, 2 * MICRO)
shares = st.integers(0, MICRO)
stages = st.lists(st.integers(1, MICRO), min_size=3, max_size=3).map(
    lambda begins: tuple(
        zip((Stage.SLOW, Stage.DEGRADE, Stage.REFUSE), sorted(begins), strict=True)
    )
)
responses = st.builds(
    BucketResponse,
    free=shares,
    cap=st.integers(MICRO, 100 * MICRO),
    curve=st.sampled_from(Curve),
    slope=st.integers(0, 100 * MICRO),
    stages=stages,
    delay=st.integers(0, 60 * SECOND),
)


@given(responses, strains, strains)
def test_the_price_never_falls_as_strain_rises_and_stays_between_one_and_its_cap(
    response: BucketResponse, one: int, other: int
) -> None:
    low, high = response.price(min(one, other)), response.price(max(one, other))
    assert MICRO <= low <= high <= response.cap


@given(responses)
def test_up_to_the_free_share_the_price_is_one(response: BucketResponse) -> None:
    assert response.price(0) == MICRO or not response.free
    if response.free < MICRO:
        assert response.price(response.free) == MICRO


@given(responses.filter(lambda response: response.curve is not Curve.LINEAR), strains)
def test_at_and_beyond_full_strain_the_price_is_its_cap(
    response: BucketResponse, more: int
) -> None:
    assert response.price(MICRO + more) == response.cap


@given(responses, st.integers(0, 100), st.integers(0, PERCENT - 1))
def test_a_price_is_that_of_its_whole_percent(
    response: BucketResponse, percent: int, more: int
) -> None:
    assert response.price(percent * PERCENT + more) == response.prices[percent]


@pytest.mark.parametrize(
    ("curve", "price"),
    [
        (Curve.EXPONENTIAL, 10**0.5),
        (Curve.LINEAR, 1 + 9 * 0.5),
        (Curve.B4B, 1 + 1e-6 * (math.exp(math.log(9 / 1e-6) * 0.5) - 1)),
    ],
)
def test_each_curve_follows_its_formula_half_way_between_free_and_full(
    curve: Curve, price: float
) -> None:
    assert BucketResponse(curve=curve).price(750_000) == round(price * MICRO)


def test_a_linear_price_stops_at_its_cap() -> None:
    response = BucketResponse(free=0, cap=3 * MICRO, curve=Curve.LINEAR, slope=4 * MICRO)
    assert [response.price(share) for share in (250_000, 500_000, MICRO)] == [
        2 * MICRO,
        3 * MICRO,
        3 * MICRO,
    ]


def test_with_a_cap_of_one_the_price_is_always_one() -> None:
    for curve in Curve:
        assert set(BucketResponse(cap=MICRO, curve=curve).prices) == {MICRO}


def test_with_a_free_share_of_one_only_full_strain_has_a_price() -> None:
    for curve in Curve:
        response = BucketResponse(free=MICRO, curve=curve)
        assert (response.price(MICRO - 1), response.price(MICRO)) == (MICRO, 10 * MICRO)


def test_the_stages_start_at_their_thresholds() -> None:
    response = BucketResponse(stages=DEFAULT_STAGES)
    found = [
        response.stage(strain, Stage.NONE)
        for strain in (0, 649_999, 650_000, 849_999, 850_000, 999_999, MICRO, 2 * MICRO)
    ]
    none, slow, degrade, refuse = Stage
    assert found == [none, none, slow, slow, degrade, degrade, refuse, refuse]


@given(responses, strains, st.sampled_from(Stage))
def test_the_same_strain_gives_the_same_stage_again(
    response: BucketResponse, strain: int, before: Stage
) -> None:
    found = response.stage(strain, before)
    assert response.stage(strain, found) is found


@given(responses, strains, strains, st.sampled_from(Stage), st.sampled_from(Stage))
def test_more_strain_or_a_severer_past_never_gives_a_milder_stage(
    response: BucketResponse, one: int, other: int, before: Stage, past: Stage
) -> None:
    mild = response.stage(min(one, other), min(before, past))
    assert mild <= response.stage(max(one, other), max(before, past))


@given(
    st.sampled_from((Stage.SLOW, Stage.DEGRADE, Stage.REFUSE)),
    st.integers(2 * HYSTERESIS, MICRO),
    st.lists(st.integers(0, HYSTERESIS - 1), min_size=1, max_size=50),
    st.sampled_from(Stage),
)
def test_strain_that_drifts_within_the_hysteresis_of_a_stage_changes_it_at_most_once(
    stage: Stage, start: int, wandering: list[int], before: Stage
) -> None:
    response = BucketResponse(stages=((stage, start),))
    now = response.stage(start - HYSTERESIS + wandering[0], before)
    changes = 0
    for drift in wandering:
        after = response.stage(start - HYSTERESIS + drift * 2, now)
        changes += after is not now
        now = after
    assert changes <= 1


def test_a_stage_ends_when_strain_is_clearly_below_its_threshold() -> None:
    response = BucketResponse(stages=DEFAULT_STAGES)
    assert response.stage(550_000, Stage.SLOW) is Stage.SLOW
    assert response.stage(549_999, Stage.SLOW) is Stage.NONE
    assert response.stage(750_000, Stage.REFUSE) is Stage.DEGRADE


@given(st.integers(1, MICRO))
def test_every_stage_ends_when_there_is_no_strain_left(begin: int) -> None:
    response = BucketResponse(stages=((Stage.SLOW, begin),))
    assert response.stage(0, Stage.SLOW) is Stage.NONE


@given(responses, strains, st.sampled_from((Stage.SLOW, Stage.DEGRADE, Stage.REFUSE)))
def test_a_stage_applies_from_its_threshold(
    response: BucketResponse, strain: int, stage: Stage
) -> None:
    for before in Stage:
        holds = response.stage(strain, before) >= stage
        assert holds == (strain >= response.threshold(stage, before))


def test_the_milder_stage_is_the_severest_one_below() -> None:
    response = BucketResponse(stages=((Stage.SLOW, 10), (Stage.REFUSE, 20)))
    assert response.milder(Stage.REFUSE) is Stage.SLOW
    assert response.milder(Stage.SLOW) is Stage.NONE


@given(responses, strains, strains)
def test_the_delay_grows_with_strain_up_to_the_longest_delay(
    response: BucketResponse, one: int, other: int
) -> None:
    low, high = response.delay_at(min(one, other)), response.delay_at(max(one, other))
    assert response.delay // 4 <= low <= high <= response.delay
    assert response.delay_at(MICRO) == response.delay


def test_the_delay_is_a_quarter_at_the_threshold_and_full_at_full_strain() -> None:
    response = BucketResponse(stages=DEFAULT_STAGES, delay=8 * SECOND)
    delays = [response.delay_at(strain) for strain in (600_000, 650_000, 825_000, MICRO, 2 * MICRO)]
    assert delays == [2 * SECOND, 2 * SECOND, 5 * SECOND, 8 * SECOND, 8 * SECOND]


def test_without_the_stage_slow_there_is_no_delay() -> None:
    assert BucketResponse(stages=((Stage.DEGRADE, 1),)).delay_at(MICRO) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"free": MICRO + 1}, "free share must be from 0 to 1000000, found 1000001"),
        ({"free": -1}, "free share must be"),
        ({"cap": MICRO - 1}, "cap must be at least 1000000 .*, found 999999"),
        ({"slope": -1}, "neither slope nor delay"),
        ({"delay": -1}, "neither slope nor delay"),
        ({"stages": ((Stage.DEGRADE, 1), (Stage.SLOW, 2))}, "must both ascend"),
        ({"stages": ((Stage.SLOW, 2), (Stage.DEGRADE, 1))}, "must both ascend"),
        ({"stages": ((Stage.NONE, 1),)}, "must both ascend"),
        ({"stages": ((Stage.SLOW, 0),)}, "must both ascend"),
    ],
    ids=str,
)
def test_a_response_out_of_range_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BucketResponse(**wrong)  # type: ignore[arg-type]
