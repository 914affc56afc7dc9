"""What is told of a call: its event."""

from __future__ import annotations

from typing import Any

from querybudget.adapters.base import Usage
from querybudget.events import DecisionEvent
from querybudget.ledger import Decision
from querybudget.limiter.admission import Refusal, Ticket
from querybudget.limiter.matching import UNREADABLE, Matcher
from querybudget.units import Unit

__all__ = ["event_of"]

OF_NO_BUDGET = frozenset({Refusal.UNPRICED, Refusal.STORE, Refusal.CROWDED})


def event_of(
    ticket: Ticket, matcher: Matcher, now: int, usage: Usage | None, status: int, settlement: str
) -> DecisionEvent:
    """The event of a ticket that was refused or settled.

    Args:
        ticket: The call's.
        matcher: Knows the names of capabilities.
        now: µs since the epoch.
        usage: Tokens it was settled at.
        status: HTTP status of the answer.
        settlement: What came of settling.
    """
    decision, call, refused = ticket.decision, ticket.call, ticket.refusal is not None
    return DecisionEvent(
        at=ticket.at,
        identity=ticket.caller.identity,
        tier=ticket.caller.tier,
        method=ticket.method,
        path=ticket.path,
        operation=call.operation,
        model=call.model,
        stream=call.stream,
        verdict=_verdict(ticket),
        violated=decision.violated if decision else (),
        shadowed=decision.shadowed if decision else (),
        wait=decision.wait if decision else 0,
        price=decision.price if decision else 0,
        expected=ticket.foreseen.usage,
        usage=None if refused else usage,
        status=status,
        duration=now - ticket.at,
        settlement="" if refused else settlement,
        decision=decision,
        store=_where(ticket),
        **_coverage(ticket, matcher),
    )


def _coverage(ticket: Ticket, matcher: Matcher) -> dict[str, Any]:
    """The members of an event that tell of buckets."""
    decision, visit = ticket.decision, ticket.visit
    told: dict[str, Any] = {}
    if visit is not None:
        told["covered"] = bool(visit.cells) and ticket.call.operation != UNREADABLE
        told["capabilities"] = matcher.names(visit.capabilities)
    # Without the store, a decision may be of other budgets than those in buckets.
    if decision is not None and ticket.plan.covers and _covers(decision):
        told["novelty"] = _novelty(decision)
        told["strain"] = max(status.strain for status in decision.lines)
        told["stage"] = decision.stage.name.lower()
        told["delay"] = ticket.delay
        told["shadow_price"] = decision.shadow_price
        told["shadow_stage"] = decision.shadow_stage.name.lower()
        told["reasons"] = decision.reasons
    return told


def _covers(decision: Decision) -> bool:
    return any(status.line.quota.unit is Unit.BUCKETS for status in decision.lines)


def _where(ticket: Ticket) -> str:
    if ticket.decision is None:
        return "none"
    return "local" if ticket.without is not None else "shared"


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


def _verdict(ticket: Ticket) -> str:
    if ticket.refusal in OF_NO_BUDGET:
        return str(ticket.refusal)
    return ticket.decision.verdict.name.lower() if ticket.decision else "store_error"
