"""What is told of a call: its event."""

from __future__ import annotations

from typing import Any

from querybudget.adapters.base import UNREADABLE, Usage
from querybudget.events import DecisionEvent
from querybudget.ledger import Decision
from querybudget.limiter.admission import Admission, Refusal
from querybudget.limiter.matching import Matcher
from querybudget.units import Unit

__all__ = ["event_of"]

OF_NO_BUDGET = frozenset({Refusal.UNPRICED, Refusal.STORE, Refusal.TOO_MANY_DELAYED})


def event_of(
    admission: Admission,
    matcher: Matcher,
    now: int,
    usage: Usage | None,
    status: int,
    settlement: str,
) -> DecisionEvent:
    """The event of an admission that was refused or settled.

    Args:
        admission: The call's.
        matcher: Knows the names of capabilities.
        now: µs since the epoch.
        usage: Tokens it was settled at.
        status: HTTP status of the answer.
        settlement: What came of settling.
    """
    decision, call, refused = admission.decision, admission.call, admission.refusal is not None
    return DecisionEvent(
        at=admission.at,
        identity=admission.caller.identity,
        tier=admission.caller.tier,
        method=admission.method,
        path=admission.path,
        operation=call.operation,
        model=call.model,
        stream=call.stream,
        verdict=_verdict(admission),
        violated=decision.violated if decision else (),
        shadowed=decision.shadowed if decision else (),
        wait=decision.wait if decision else 0,
        price=decision.price if decision else 0,
        expected=admission.estimate.usage,
        usage=None if refused else usage,
        status=status,
        duration=now - admission.at,
        settlement="" if refused else settlement,
        decision=decision,
        store=_where(admission),
        **_coverage(admission, matcher),
    )


def _coverage(admission: Admission, matcher: Matcher) -> dict[str, Any]:
    """The members of an event that tell of buckets."""
    decision, observation = admission.decision, admission.observation
    told: dict[str, Any] = {}
    if observation is not None:
        told["covered"] = bool(observation.cells) and admission.call.operation != UNREADABLE
        told["capabilities"] = matcher.names(observation.capabilities)
    # Without the store, a decision may be of other budgets than those in buckets.
    if decision is not None and admission.plan.counts_buckets and _covers(decision):
        told["novelty"] = _novelty(decision)
        told["strain"] = max(status.strain for status in decision.lines)
        told["stage"] = decision.stage.name.lower()
        told["delay"] = admission.delay
        told["shadow_price"] = decision.shadow_price
        told["shadow_stage"] = decision.shadow_stage.name.lower()
        told["reasons"] = decision.reasons
    return told


def _covers(decision: Decision) -> bool:
    return any(status.line.quota.unit is Unit.BUCKETS for status in decision.lines)


def _where(admission: Admission) -> str:
    if admission.decision is None:
        return "none"
    return "local" if admission.without is not None else "shared"


def _novelty(decision: Decision) -> int:
    """How many buckets were new: the largest number over the lines of buckets."""
    reservation = decision.reservation
    if reservation is None:
        return 0
    return max(
        held // line.amount
        for line, held in zip(reservation.lines, reservation.held, strict=True)
        if line.quota.unit is Unit.BUCKETS
    )


def _verdict(admission: Admission) -> str:
    if admission.refusal in OF_NO_BUDGET:
        return str(admission.refusal)
    return admission.decision.verdict.name.lower() if admission.decision else "store_error"
