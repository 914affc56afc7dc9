from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

PROFILES = ["quick", "local", "ci"]


@pytest.mark.parametrize("name", PROFILES)
def test_no_profile_fails_a_test_because_the_machine_is_slow(name: str) -> None:
    profile = settings.get_profile(name)
    assert profile.deadline is None
    assert HealthCheck.too_slow in profile.suppress_health_check


def test_ci_draws_the_same_examples_in_every_run() -> None:
    assert [settings.get_profile(name).derandomize for name in PROFILES] == [False, False, True]


def test_the_quick_profile_draws_few_examples() -> None:
    assert settings.get_profile("quick").max_examples == 10
