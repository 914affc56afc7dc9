"""The usage that a call is settled at, and what is learnt from it."""

from __future__ import annotations

from querybudget.adapters.base import Usage
from querybudget.adapters.usage_sums import sum_of
from querybudget.limiter.admission import NOTHING, Admission, Outcome
from querybudget.limiter.estimation import Estimator
from querybudget.limiter.verification import verifies

# Looking up an enum's member costs as much as a call does.
_ANSWERED = Outcome.ANSWERED


def usage_of(
    admission: Admission, outcome: Outcome, usage: Usage | None, estimator: Estimator
) -> Usage:
    """Return what a call used, learn from it, and note whether it verifies its caller.

    Args:
        admission: The call's.
        outcome: How it ended.
        usage: What a meter or the application says; None if nobody does.
        estimator: Learns from it.
    """
    reported = admission.reported
    if outcome is not _ANSWERED:
        return NOTHING
    if usage is None:
        if reported is None:
            return admission.estimate.usage
        usage = reported
    elif reported is not None:
        reported = sum_of(usage, reported)
    if admission.plan.needs_usage:
        estimator.learn(admission.identity.key, admission.call, usage)
    if not admission.verified:
        admission.verified = verifies(admission.call, usage)
    return reported or usage
