"""What the log says by itself: which policy is on, and each caller's first refusal or slowing.

The policy is logged at INFO. Refusals and slowings are warnings, which Python shows even where
logging was not set up.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from querybudget.coverage import Stage
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

_STAGES = {Stage.SLOW: "slowed", Stage.DEGRADE: "degraded"}
_WHY = {
    Refusal.UNPRICED: "its model has no price",
    Refusal.STORE: "the store is down",
    Refusal.TOO_MANY_DELAYED: "too many calls are being delayed",
    Refusal.BLOCKED: "an operator has blocked the caller",
}


def fingerprint(policy: Policy) -> str:
    """Return a hash of all in a policy that decides calls, but its secret: the same everywhere."""
    encoder = msgspec.json.Encoder(enc_hook=str, order="deterministic")  # str: of time zones
    deciding = replace(policy, secret=b"", source="", metrics=Exports(), watch=True, tests=())
    return blake2b(encoder.encode(deciding.silent()), digest_size=HASH // 2).hexdigest()


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
            "first in an hour: a call of caller %s (%s) at %s was %s%s",
            key[:HASH],
            admission.identity.source,
            shown(admission.path),
            _done(admission),
            last if len(self._named) == CALLERS else "",
        )


def _done(admission: Admission) -> str:
    """Return what was done to a call, and why: ``refused (by 'tokens', again in 3s)``."""
    if admission.refusal is None:
        done = _STAGES[admission.stage]
        views = admission.decision.reasons if admission.decision else ()
        named = ", ".join(reason.signal for reason in views if reason.share > 0)
        because = f"its score: {named}" if named else "the buckets it has spent"
        return f"{done} (delayed by {duration(admission.delay)}, because of {because})"
    why = _WHY.get(admission.refusal)
    decision = admission.decision
    if why is None and decision is not None:
        again = f", again in {wait(decision.wait)}" if decision.wait else ""
        why = f"by {', '.join(map(repr, decision.violated))}{again}"
    return f"refused ({why})"


def _named(budgets: list[Budget], how: str) -> str:
    names = [repr(budget.name) for budget in budgets[:NAMED]]
    more = [f"{len(budgets) - NAMED} more"] if len(budgets) > NAMED else []
    listed = f" ({', '.join(names + more)})" if names else ""
    return f"{len(budgets)} budget{'' if len(budgets) == 1 else 's'} {how}{listed}"
