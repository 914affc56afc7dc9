"""The policies that ship."""

from __future__ import annotations

import pytest

from querybudget.errors import PolicyError
from querybudget.policy import presets
from querybudget.policy.load import load_text
from querybudget.policy.model import Mode, Policy


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
        assert {budget.mode for budget in policy.budgets if budget.response} == {mode}


def test_an_unknown_preset_is_a_problem_that_names_the_nearest() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.load("preset:distilation", environ={})
    assert str(caught.value).startswith("preset:distilation: expected a preset of `distillation`,")
    assert "(did you mean `distillation`?)" in str(caught.value)


def test_a_preset_s_name_is_no_path() -> None:
    with pytest.raises(PolicyError, match="expected a preset"):
        Policy.load("preset:../presets/distillation", environ={})
