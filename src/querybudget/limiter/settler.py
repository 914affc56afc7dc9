"""Settles calls at the store, and publishes that they are."""

from __future__ import annotations

import logging

from querybudget.adapters.base import Usage
from querybudget.events import DecidedBy, Settlement
from querybudget.limiter.admission import Admission, Outcome, amounts_of
from querybudget.limiter.reporting import Reporter
from querybudget.resilience.fallback import Reserved
from querybudget.resilience.store import ResilientStore

logger = logging.getLogger("querybudget")

# Looking up an enum's member costs as much as a call does.
_LATE = Settlement.LATE


class Settler:
    """Settles calls by the plan that they were decided by.

    Args:
        store: Where they are reserved.
        reporter: Publishes events.
    """

    def __init__(self, store: ResilientStore, reporter: Reporter) -> None:
        self._store = store
        self._reporter = reporter

    async def settle(
        self, admission: Admission, reserved: Reserved, outcome: Outcome, usage: Usage, status: int
    ) -> None:
        """Replace what an admission holds by what its call used."""
        amounts = amounts_of(admission, outcome, usage)
        if admission.verified and not reserved.charge.verified:
            reserved = reserved.of_verified()
        settlement = await self._store.settle(reserved, amounts)
        if admission.lapsed and settlement is Settlement.DONE:
            settlement = _LATE
        if settlement is _LATE and reserved.by is DecidedBy.SHARED:
            logger.warning("a call took longer than `hold`, so its reservation had expired")
        if self._reporter.on:
            self._reporter.publish(admission, usage, status, settlement, amounts)

    def settle_later(
        self, admission: Admission, reserved: Reserved, outcome: Outcome, usage: Usage, status: int
    ) -> None:
        """Settle when the store is asked the next time: the event loop ended the settlement."""
        amounts = amounts_of(admission, outcome, usage)
        self._store.settle_later(reserved, amounts)
        self._reporter.publish(admission, usage, status, Settlement.DEFERRED, amounts)
