"""What a store is asked to reserve for a call."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from itertools import count

from msgspec.structs import replace

from querybudget.adapters.base import UNREADABLE, Call
from querybudget.coverage import Observation
from querybudget.ledger import Charge, Decision, Line, LineStatus, Verdict
from querybudget.limiter.admission import Admission, Refusal
from querybudget.limiter.matching import Matcher
from querybudget.limiter.plans import Caller
from querybudget.limiter.rules import Rules
from querybudget.units import NO_TIME

UNSEEN = Observation()
"""For a call whose prompts were not analyzed: it visits no bucket."""


def charge_names() -> Iterator[str]:
    """Return unique names of reservations, of this process and any other.

    Several threads may take from it at once, as they may not from a generator.
    """
    return map(f"{os.urandom(8).hex()}{{:x}}".format, count(1))


def charge_for(
    name: str,
    caller: Caller,
    admission: Admission,
    rules: Rules,
    *,
    blocked: bool = False,
) -> Charge | None:
    """Return what to reserve for a call; None if it is refused without asking, which is noted.

    Args:
        name: Unique name of the reservation.
        caller: The sender.
        admission: The call's, before it is decided.
        rules: Make its lines.
        blocked: Whether the caller is blocked.
    """
    plan = admission.plan
    if blocked or plan.unpriced:
        admission.refusal = Refusal.BLOCKED if blocked else Refusal.UNPRICED
        return None
    matcher, overrides, hold = rules.matcher, rules.overrides, rules.policy.hold
    lines = matcher.lines(caller, plan, admission.call, admission.estimate, admission.examined)
    if plan.counts_buckets:
        charge = _with_observation(name, caller, admission, matcher, lines, hold)
    else:
        charge = Charge(name, lines, hold, verified=admission.verified, tier=plan.tier)
    if overrides is not None:
        changed = overrides.applied(charge, caller, admission.at)
        if changed is None:
            admission.refusal = Refusal.BLOCKED
            return None
        charge = changed
    if matcher.refuses and (lacking := matcher.nameless(charge, caller, plan)):
        _refuse_nameless(admission, charge, lacking)
        return None
    return charge


def _with_observation(
    name: str,
    caller: Caller,
    admission: Admission,
    matcher: Matcher,
    lines: tuple[Line, ...],
    hold: int,
) -> Charge:
    """Return the charge of a call with its observation, which budgets in buckets need."""
    plan, call = admission.plan, admission.call
    observation = admission.observation or UNSEEN
    if call.operation == UNREADABLE:
        # A body that only the server can read must not bypass a budget: each is a new bucket.
        body = int(matcher.hashed("body", _read_in(call))[:8], 16)
        observation = admission.observation = Observation(opaque=(body,))
    if matcher.partitions.links:
        observation = replace(observation, marks=matcher.partitions.marks(caller))
    return Charge(
        name,
        lines,
        hold,
        observation=observation,
        profiled=matcher.profiled(caller, plan, lines),
        verified=admission.verified,
        calibration=matcher.calibration(caller),
        tier=plan.tier,
    )


def _read_in(call: Call) -> str:
    """Return the text of a call, by which it differs from others that cannot be read."""
    return "\n".join([one.content for one in call.opaque] + [one.text for one in call.segments])


def _refuse_nameless(admission: Admission, charge: Charge, lacking: Collection[str]) -> None:
    """Refuse a call for good: partitions of these budgets do not name its caller."""
    statuses = [
        LineStatus(
            line,
            line.quota.capacity,
            NO_TIME,
            NO_TIME,
            Verdict.NEVER if line.quota.name in lacking else Verdict.ADMIT,
        )
        for line in charge.lines
    ]
    admission.decision = Decision(Verdict.NEVER, tuple(statuses))
    admission.refusal, admission.nameless = Refusal.QUOTA, True
