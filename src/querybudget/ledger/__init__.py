"""Reserve and settle: everything that changes a budget. No clock is read, nothing is awaited.

Theory of operation. A call is charged on several *lines* at once, each a quota of some partition
(this caller, its organisation, everyone). `reserve` reads every line before it changes any: if all
enforced lines fit, all are charged and a `Reservation` says what is held; if one does not fit,
nothing is charged. When the call has ended, `settle` replaces what was held by what was used: it
refunds the difference, or carries it as debt. A store's only job is to make each of the two one
atomic step on the accounts concerned. `renew` holds a reservation for longer: its call is open.

Shadow lines are decided the same way. They never refuse. They are charged only if all lines fit,
shadow lines included, so that they hold what they would hold if they were enforced.

Lines of buckets (`coverage`) are decided first: they set the price at which all other lines are
charged, and what else is done to the call. Profiles observe a call when it is admitted.
"""

from __future__ import annotations

from querybudget.ledger.charging import peek, renew, reserve, settle
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
    Standing,
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
    "Standing",
    "Verdict",
    "peek",
    "refusal",
    "renew",
    "reserve",
    "settle",
]
