"""What a call takes of each budget in the end."""

from __future__ import annotations

from querybudget.adapters.base import Usage
from querybudget.limiter.admission import Admission, Outcome

__all__ = ["amounts_of"]

# Looking up an enum's member costs as much as a call does.
_ANSWERED, _FAILED = Outcome.ANSWERED, Outcome.FAILED


def amounts_of(admission: Admission, outcome: Outcome, usage: Usage) -> list[int]:
    """µ-units that an admitted call used of each of its budgets, before price.

    Args:
        admission: The call's.
        outcome: How it ended.
        usage: Tokens it used.
    """
    plan, call = admission.plan, admission.call
    budgets = plan.budgets
    if outcome is _FAILED:
        return [0] * len(budgets)
    if plan.counts_buckets:
        return _with_buckets(admission, outcome, usage)
    if outcome is _ANSWERED:
        return [matched.cost_function(call, usage) for matched in budgets]
    return [0 if matched.needs_usage else matched.cost_function(call, usage) for matched in budgets]


def _with_buckets(admission: Admission, outcome: Outcome, usage: Usage) -> list[int]:
    """Only an answered call has visited its buckets."""
    answered, call = outcome is _ANSWERED, admission.call
    amounts: list[int] = []
    for matched, line in zip(admission.plan.budgets, admission.lines, strict=True):
        if matched.counts_buckets:
            amounts.append(line.amount if answered else 0)
        else:
            taken = answered or not matched.needs_usage
            amounts.append(matched.cost_function(call, usage) if taken else 0)
    return amounts
