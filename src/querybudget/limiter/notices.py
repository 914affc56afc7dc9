"""What the log says by itself: which policy is on, and whom it refuses or slows for the first time.

The first is INFO. The second are warnings, which Python shows even where logging was not set up.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from querybudget.events import EventStage
from querybudget.limiter.admission import Admission, Refusal
from querybudget.policy.exports import Exports
from querybudget.policy.model import Budget, Mode, Policy
from querybudget.redact import shown
from querybudget.text import duration, wait
from querybudget.units import SECOND

logger = logging.getLogger("querybudget")

HOUR = 3_600 * SECOND
CALLERS = 1_000
"""Callers that are named in an hour."""

NAMED = 10
"""Budgets that the line about a policy names."""

HASH = 12
"""Hexadecimal digits that are shown of a hash."""

_WHY = {
    Refusal.UNPRICED: "its model has no price",
    Refusal.STORE: "the store is down",
    Refusal.TOO_MANY_DELAYED: "too many calls are being delayed",
    Refusal.BLOCKED: "an operator has blocked the caller",
}


def fingerprint(policy: Policy) -> str:
    """Return a hash of all in a policy that decides calls, but its secret: the same everywhere."""
    encoder = msgspec.json.Encoder(enc_hook=str, order="deterministic")  # str: of time zones
    open_ = replace(policy, secret=b"", source="", metrics=Exports(), watch=True, tests=()).silent()
    return blake2b(encoder.encode(open_), digest_size=HASH // 2).hexdigest()


def description(policy: Policy, place: str) -> str:
    """Return the line that says what is on.

    Args:
        policy: The policy.
        place: Where accounts are kept, without secrets.
    """
    enforced = [budget for budget in policy.budgets if budget.mode is Mode.ENFORCE]
    shadow = [budget for budget in policy.budgets if budget.mode is not Mode.ENFORCE]
    servers = ", ".join(policy.server)
    return (
        f"querybudget is on: policy {policy.source} ({fingerprint(policy)}), store {place},"
        f" {_named(enforced, 'enforced')}, {_named(shadow, 'in shadow')}"
        + (f", server {servers}" if servers else "")
    )


class Notices:
    """Logs the first refusal or slowing of each caller, at most once in an hour.

    A caller is shown by the beginning of its keyed hash, and nothing of what it sent.
    """

    def __init__(self) -> None:
        self._named = OrderedDict[str, int]()

    def about(self, admission: Admission) -> None:
        """Log what was done to a call that was refused, slowed or degraded, if that is news."""
        key, now = admission.identity.key, admission.at
        while self._named and now - next(iter(self._named.values())) >= HOUR:
            self._named.popitem(last=False)
        if key in self._named or len(self._named) >= CALLERS:
            return
        self._named[key] = now
        last = " (other callers are not named for a while)"
        logger.warning(
            "first in an hour: %s of caller %s (%s) at %s%s",
            _done(admission),
            key[:HASH],
            admission.identity.source,
            shown(admission.path),
            last if len(self._named) == CALLERS else "",
        )


def _done(admission: Admission) -> str:
    if admission.refusal is None:
        stage = EventStage[admission.stage.name].value
        views = admission.decision.reasons if admission.decision else ()
        named = ", ".join(reason.signal for reason in views if reason.share > 0)
        because = f"the score: {named}" if named else "buckets spent"
        return f"a call ({stage}, delayed by {duration(admission.delay)}, because of {because})"
    why = _WHY.get(admission.refusal)
    decision = admission.decision
    if why is None and decision is not None:
        again = f", again in {wait(decision.wait)}" if decision.wait else ""
        why = f"by {', '.join(map(repr, decision.violated))}{again}"
    return f"a call was refused ({why})"


def _named(budgets: list[Budget], how: str) -> str:
    names = [repr(budget.name) for budget in budgets[:NAMED]]
    more = [f"{len(budgets) - NAMED} more"] if len(budgets) > NAMED else []
    listed = f" ({', '.join(names + more)})" if names else ""
    return f"{len(budgets)} budget{'' if len(budgets) == 1 else 's'} {how}{listed}"
