"""What a perfect oracle would leave a campaign: it knows at an account's first look that it sweeps.

An account is first looked at after four pieces of new ground. Nothing that judges single accounts
by what they ask does better than to hold every account from then on; what judges a pool can hold
accounts before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.campaign.observing import OnceAnalyzer, call_of
from benchmarks.campaign.scenarios import Scenario
from benchmarks.campaign.undefended import WANTED, account_days_undefended
from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.figures import share
from benchmarks.sweep.scoring import Fit, score_with
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import POOL_LOOKS

__all__ = ["first_looks", "left_by_oracle"]


async def first_looks(
    analyzer: OnceAnalyzer, parts: Sequence[Sequence[Prompt]], fit: Fit
) -> list[int]:
    """Return how many prompts of a sweep each account asks until it is first looked at.

    Args:
        analyzer: Looks at the prompts.
        parts: Prompts of each account, in order.
        fit: The fit that scores them.
    """
    score_with(fit)
    return [await _first_look(analyzer, part) for part in parts]


def left_by_oracle(scenario: Scenario, looks: Sequence[int]) -> dict[str, Any]:
    """Return the figures of a campaign whose accounts are held for good at their first look.

    Args:
        scenario: The campaign.
        looks: What `first_looks` says.
    """
    obtained = sum(looks)
    days = max(1.0, obtained / len(looks) / scenario.per_day)
    wanted = WANTED * scenario.accounts * scenario.each * scenario.stands_for
    spent = wanted / (obtained / len(looks)) * days
    return {
        "share_of_corpus": share(obtained, scenario.accounts * scenario.each),
        "account_days_multiplier": round(spent / account_days_undefended(scenario), 1),
    }


async def _first_look(analyzer: OnceAnalyzer, part: Sequence[Prompt]) -> int:
    """Return the number of the prompt with which an account has enough new ground."""
    profile = CallerProfile()
    for number, prompt in enumerate(part, 1):
        profile.observe(await analyzer.analyze(call_of(prompt.text), ""), number)
        if max((stream.chunks for stream in profile.said), default=0) >= POOL_LOOKS[0]:
            return number
    return len(part)
