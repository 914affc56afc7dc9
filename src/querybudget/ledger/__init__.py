"""Reserve and settle: everything that changes a budget is here; no clock is read, nothing awaited.

Theory of operation. A call is charged on several *lines* at once, each a quota of some partition
(this caller, its organisation, everyone). `reserve` looks at every line before it touches any: if
all enforced lines fit, all are charged and a `Reservation` says what is held; if one does not,
nothing is charged. When the call has ended, `settle` replaces what was held by what was used: the
difference is given back, or carried as debt. A store's only job is to make each of the two one
atomic step on the accounts concerned.

Shadow lines are decided the same way and kept apart: they never refuse, and they are charged only
where all lines, shadow ones included, fit, so that they hold what they would hold if they were
enforced.

Lines of buckets (`buckets`) are looked at first: they say at what price all other lines are
charged, and what else is to be done to the call.
"""

from __future__ import annotations

from querybudget.ledger.charging import answered, peek, reserve, settle
from querybudget.ledger.types import (
    GRACE,
    UNCHARGED,
    Account,
    Charge,
    Decision,
    Line,
    LineStatus,
    Reservation,
    Settled,
    Verdict,
    refusal,
)

__all__ = [
    "GRACE",
    "UNCHARGED",
    "Account",
    "Charge",
    "Decision",
    "Line",
    "LineStatus",
    "Reservation",
    "Settled",
    "Verdict",
    "answered",
    "peek",
    "refusal",
    "reserve",
    "settle",
]
