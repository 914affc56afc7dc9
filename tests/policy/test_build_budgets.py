"""Budgets in buckets: what is written, and what follows from spending them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.response import DEFAULT_STAGES, BucketResponse, Curve, Stage
from querybudget.errors import PolicyError
from querybudget.policy.load import load_text
from querybudget.policy.model import CAPABILITIES, Budget, Mode, OnStoreError, Policy
from querybudget.units import MICRO, SECOND, Algorithm, Unit

GOOD = Path(__file__).parent / "good" / "buckets.yaml"
BREADTH = {"name": "breadth", "limit": "400 buckets/30 days"}
RPM = {"name": "rpm", "limit": "60/minute"}


def budget(**keys: Any) -> Budget:
    return Policy.load({"budgets": [BREADTH | keys]}, environ={}).budgets[0]


def responses() -> dict[str, BucketResponse | None]:
    return {each.name: each.response for each in Policy.load(GOOD, environ={}).budgets}


def test_a_budget_in_buckets_counts_what_is_distinct_in_a_sliding_window() -> None:
    quota = budget().quota
    assert (quota.unit, quota.algorithm) == (Unit.BUCKETS, Algorithm.SLIDING)
    assert (quota.limit, quota.window) == (400 * MICRO, 30 * 86_400 * SECOND)
    assert quota.capacity == quota.limit


def test_a_budget_in_buckets_has_a_default_response_without_stages() -> None:
    assert budget().response == BucketResponse()
    assert budget(price={"free": 0.5, "cap": 10}).response == BucketResponse()


def test_a_budget_in_any_other_unit_has_no_response() -> None:
    assert Policy.load({"budgets": [RPM]}, environ={}).budgets[0].response is None
    assert responses()["code"] is None


def test_every_key_of_a_response_is_read() -> None:
    assert responses()["whole"] == BucketResponse(
        free=400_000,
        cap=3 * MICRO,
        curve=Curve.LINEAR,
        slope=4 * MICRO,
        stages=((Stage.SLOW, 600_000), (Stage.REFUSE, 950_000)),
        delay=60 * SECOND,
        scored=False,
    )


def test_a_slope_alone_makes_the_curve_linear() -> None:
    assert responses()["sloped"] == BucketResponse(curve=Curve.LINEAR, slope=MICRO // 2)


def test_the_name_of_a_curve_is_a_price() -> None:
    assert responses()["named"] == BucketResponse(
        curve=Curve.B4B, stages=((Stage.SLOW, 650_000),), delay=100_000
    )
    assert responses()["b4b"] == BucketResponse(curve=Curve.B4B, cap=50 * MICRO, free=0)


def test_stages_given_by_name_begin_at_their_default_shares_in_any_order() -> None:
    unpriced, counted = responses()["unpriced"], responses()["counted"]
    assert unpriced is not None
    assert counted is not None
    assert unpriced.stages == DEFAULT_STAGES
    assert counted.stages == ()


@pytest.mark.parametrize("price", ["none", {"curve": "none"}])
def test_without_a_price_calls_cost_the_same_however_much_is_spent(price: object) -> None:
    response = budget(price=price).response
    assert response is not None
    assert {response.price(strain) for strain in range(0, MICRO + 1, 50_000)} == {MICRO}


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_a_budget_in_buckets_is_in_shadow_until_it_sets_its_own_mode(mode: str) -> None:
    given = [BREADTH, RPM, BREADTH | {"name": "sure", "mode": "enforce"}]
    policy = Policy.load({"mode": mode, "budgets": given}, environ={})
    assert [each.mode for each in policy.budgets] == [Mode.SHADOW, Mode(mode), Mode.ENFORCE]


def test_a_budget_in_buckets_has_its_own_on_store_error() -> None:
    found = {each.name: each.on_store_error for each in Policy.load(GOOD, environ={}).budgets}
    assert (found["plain"], found["whole"]) == (OnStoreError.ALLOW, OnStoreError.DENY)


def test_a_tier_scales_every_budget_in_buckets_and_keeps_it_whole() -> None:
    policy = Policy.load(GOOD, environ={})
    factor = policy.tiers[0].scale["buckets"]
    first = next(index for index, each in enumerate(policy.budgets) if each.name == "plain")
    scaled = [each.quota.scaled(factor).limit for each in policy.budgets[first : first + 3]]
    assert scaled == [100 * MICRO, 1024 * MICRO, MICRO]


def test_prompts_are_analyzed_only_if_a_budget_depends_on_what_they_ask() -> None:
    matched = RPM | {"match": {"capability": "coding"}}
    assert [
        Policy.load({"budgets": [each]}, environ={}).counts_buckets
        for each in (RPM, BREADTH, matched)
    ] == [False, True, True]


@given(
    free=st.integers(0, MICRO),
    cap=st.integers(MICRO + 1, 1_000 * MICRO),
    begins=st.lists(st.integers(1, MICRO), min_size=3, max_size=3, unique=True).map(sorted),
    delay=st.integers(1, 60_000),
)
def test_figures_within_their_bounds_are_read_exactly(
    free: int, cap: int, begins: list[int], delay: int
) -> None:
    names = ("slow", "degrade", "refuse")
    then = {name: at / MICRO for name, at in zip(names, begins, strict=True)}
    price = {"free": free / MICRO, "cap": cap / MICRO}
    response = budget(price=price, then=then, delay=f"{delay}ms").response
    assert response is not None
    assert (response.free, response.cap, response.delay) == (free, cap, delay * 1_000)
    assert [at for _, at in response.stages] == begins


@pytest.mark.parametrize("word", CAPABILITIES)
def test_every_capability_that_ships_can_be_matched(word: str) -> None:
    assert budget(match={"capability": word}).match.capability == (word,)


MANY = """\
capabilities:
  codng: 3
  poetry: {examples: [Write a poem.], weight: -1}
budgets:
  - name: breadth
    limit: 900000 buckets/30 days
    window: gcra
    price: {free: 2, cap: 0.5, curve: b4}
    then: [slow, degarde]
    delay: 90s
    match: {capability: [poetry, cooking]}
  - {name: rpm, limit: 60/minute, score: true}
  - name: unclear
    limit: 40 bucket
    price: {cap: 5000}
    then: {refuse: 0.5, slow: 0.6}
    delay: 5s
"""


def test_all_problems_about_buckets_are_reported_at_once() -> None:
    with pytest.raises(PolicyError) as caught:
        load_text(MANY, "p.yaml", {})
    found = {(each.line, each.path.removeprefix("$.")) for each in caught.value.problems}
    assert found == {
        (2, "capabilities.codng"),
        (3, "capabilities.poetry.weight"),
        (6, "budgets[0].limit"),
        (7, "budgets[0].window"),
        (8, "budgets[0].price.free"),
        (8, "budgets[0].price.cap"),
        (8, "budgets[0].price.curve"),
        (9, "budgets[0].then[1]"),
        (10, "budgets[0].delay"),
        (11, "budgets[0].match.capability[1]"),
        (12, "budgets[1].score"),
        (14, "budgets[2].limit"),
        (15, "budgets[2].price.cap"),
        (16, "budgets[2].then.refuse"),
    }


def test_a_price_from_the_environment_is_never_shown() -> None:
    text = "budgets:\n  - {name: a, limit: 4 buckets/day, price: '${P}', then: ['${P}']}\n"
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {"P": "hunter2"})
    assert len(caught.value.problems) == 2
    assert "hunter2" not in str(caught.value)
