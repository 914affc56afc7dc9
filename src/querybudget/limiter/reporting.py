"""Reporting: the event about a call that was refused or settled."""

from __future__ import annotations

from typing import Any

from querybudget.adapters.base import Usage
from querybudget.events import DecidedBy, DecisionEvent, EventStage, EventVerdict, Settlement
from querybudget.ledger import Decision
from querybudget.limiter.admission import Admission, Refusal
from querybudget.limiter.matching import Matcher
from querybudget.policy.match import kinds_of
from querybudget.redact import shown
from querybudget.units import NO_TIME, Micros, Millionths, Unit

_BY_NO_BUDGET = {
    Refusal.UNPRICED: EventVerdict.UNPRICED,
    Refusal.STORE: EventVerdict.STORE_ERROR,
    Refusal.TOO_MANY_DELAYED: EventVerdict.TOO_MANY_DELAYED,
    Refusal.BLOCKED: EventVerdict.BLOCKED,
}


def event_for(
    admission: Admission,
    matcher: Matcher,
    now: Micros,
    usage: Usage | None,
    status: int,
    settlement: Settlement,
) -> DecisionEvent:
    """Return the event about an admission that was refused or settled.

    Args:
        admission: The call's.
        matcher: Knows the names of capabilities.
        now: µs since the epoch.
        usage: Tokens it was settled at.
        status: HTTP status of the answer.
        settlement: How its reservation ended.
    """
    decision, call, refused = admission.decision, admission.call, admission.refusal is not None
    return DecisionEvent(
        at=admission.at,
        identity=admission.identity,
        tier=admission.tier,
        method=shown(admission.method),
        path=shown(admission.path),
        operation=call.operation,
        model=shown(call.model),
        stream=call.stream,
        verdict=_verdict(admission),
        violated=decision.violated if decision else (),
        shadowed=decision.shadowed if decision else (),
        wait=decision.wait if decision else NO_TIME,
        price=decision.price if decision else Millionths(0),
        expected=admission.estimate.usage,
        usage=None if refused else usage,
        status=status,
        duration=Micros(now - admission.at),
        settlement=Settlement.NONE if refused else settlement,
        decision=decision,
        store=admission.reserved.by if admission.reserved else DecidedBy.NONE,
        **_coverage(admission, matcher),
    )


def _coverage(admission: Admission, matcher: Matcher) -> dict[str, Any]:
    """The members of an event that are about buckets."""
    decision, observation = admission.decision, admission.observation
    members: dict[str, Any] = {"opaque": kinds_of(admission.examined.opaque)}
    if observation is not None:
        chunks = (*observation.said, *observation.fed)
        members["covered"] = any(chunk.cell >= 0 for chunk in chunks)
        members["looked"] = len(chunks)
        members["capabilities"] = matcher.names(observation.capabilities)
    # Without the store, a decision may be about other budgets than those of buckets.
    if decision is not None and admission.plan.counts_buckets and _counts_buckets(decision):
        members["novelty"] = _novelty(decision)
        members["strain"] = Millionths(max(status.strain for status in decision.lines))
        members["shift"] = Millionths(decision.shift)
        members["stage"] = EventStage[decision.stage.name]
        members["delay"] = admission.delay
        members["shadow_price"] = decision.shadow_price
        members["shadow_stage"] = EventStage[decision.shadow_stage.name]
        members["reasons"] = decision.reasons
    return members


def _counts_buckets(decision: Decision) -> bool:
    return any(status.line.quota.unit is Unit.BUCKETS for status in decision.lines)


def _novelty(decision: Decision) -> int:
    reservation = decision.reservation
    if reservation is None:
        return 0
    lines = zip(reservation.lines, reservation.held, strict=True)
    of_buckets = ((n, line) for line, n in lines if line.amount and line.quota.unit is Unit.BUCKETS)
    return max((held // line.amount for held, line in of_buckets), default=0)


def _verdict(admission: Admission) -> EventVerdict:
    if admission.refusal is not None and admission.refusal in _BY_NO_BUDGET:
        return _BY_NO_BUDGET[admission.refusal]
    decision = admission.decision
    return EventVerdict[decision.verdict.name] if decision else EventVerdict.STORE_ERROR
