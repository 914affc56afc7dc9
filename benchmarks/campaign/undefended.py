"""The same campaign without any limit: every prompt asked is obtained."""

from __future__ import annotations

from benchmarks.campaign.scenarios import Scenario

__all__ = ["WANTED", "account_days_undefended", "share_undefended"]

WANTED = 0.9
"""Share of a corpus whose cost is reported."""


def account_days_undefended(scenario: Scenario) -> float:
    """Return the account-days to nine tenths; an account counts for a day at least."""
    days = WANTED * scenario.each / _prompts_a_day(scenario)
    return scenario.accounts * max(1.0, days) * scenario.stands_for


def share_undefended(scenario: Scenario) -> list[float]:
    """Return the share of the corpus obtained by the end of each day."""
    a_day = _prompts_a_day(scenario)
    return [round(min(1.0, a_day * day / scenario.each), 4) for day in range(1, scenario.days + 1)]


def _prompts_a_day(scenario: Scenario) -> float:
    return scenario.per_day * max(1e-9, 1 - scenario.cover)
