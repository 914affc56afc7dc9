"""The policies that ship."""

from __future__ import annotations

import pytest

from querybudget.coverage import Stage
from querybudget.errors import PolicyError
from querybudget.policy import presets
from querybudget.policy.load import load_text
from querybudget.policy.model import Mode, Policy
from querybudget.units import MICRO


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_loads_by_its_name_and_needs_nothing_of_the_environment(name: str) -> None:
    policy = Policy.load(f"preset:{name}", environ={})
    assert policy.source == f"preset:{name}"
    assert policy == load_text(presets.preset_yaml(name), f"preset:{name}", {})


def test_the_distillation_preset_starts_in_shadow() -> None:
    for environ, mode in (
        ({}, Mode.SHADOW),
        ({"QUERYBUDGET_COVERAGE_MODE": "enforce"}, Mode.ENFORCE),
    ):
        policy = Policy.load("preset:distillation", environ=environ)
        assert policy.counts_buckets
        assert {budget.mode for budget in policy.budgets} == {mode}


def test_the_distillation_preset_slows_first_and_refuses_last() -> None:
    policy = Policy.load("preset:distillation", environ={})
    responses = [budget.response for budget in policy.budgets if budget.response]
    assert len(responses) == 3
    for response in responses:
        stages = dict(response.stages)
        assert stages[Stage.SLOW] < stages[Stage.DEGRADE] < stages[Stage.REFUSE] == MICRO


def test_the_distillation_preset_doubles_a_suspect_s_price_and_nobody_else_s() -> None:
    policy = Policy.load("preset:distillation", environ={})
    for response in [budget.response for budget in policy.budgets if budget.response]:
        suspect = dict(response.stages)[Stage.SLOW]
        assert response.price(suspect - 1) <= 2 * MICRO < response.price(suspect)


def test_a_pool_of_the_distillation_preset_spends_nothing() -> None:
    policy = Policy.load("preset:distillation", environ={})
    assert [budget.name for budget in policy.budgets if not budget.counted] == ["campaign"]


def test_the_campaigns_preset_judges_newcomers_by_their_age_together() -> None:
    policy = Policy.load("preset:campaigns", environ={})
    assert {budget.mode for budget in policy.budgets} == {Mode.SHADOW}
    assert [tier.name for tier in policy.tiers if tier.when.history is not None] == ["new"]
    tested = [budget for budget in policy.budgets if budget.response and budget.response.suspects]
    assert [(budget.per, budget.match.tier) for budget in tested] == [(("tier",), ("new",))]


def test_what_suspects_share_in_the_distillation_preset_is_what_one_caller_may_cover() -> None:
    policy = Policy.load("preset:distillation", environ={})
    breadth, *_ = policy.budgets
    shared = [one for one in policy.budgets if one.response and one.response.suspects]
    assert [one.per for one in shared] == [("template",)]
    for budget in shared:
        assert (budget.quota.limit, budget.quota.window) == (
            breadth.quota.limit,
            breadth.quota.window,
        )


def test_an_unknown_preset_is_a_problem_that_names_the_nearest() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.load("preset:distilation", environ={})
    assert str(caught.value).startswith("preset:distilation: expected a preset of `campaigns`")
    assert "(did you mean `distillation`?)" in str(caught.value)


def test_a_preset_s_name_is_no_path() -> None:
    with pytest.raises(PolicyError, match="expected a preset"):
        Policy.load("preset:../presets/distillation", environ={})
