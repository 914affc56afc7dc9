"""Settles calls at the store, and publishes that they are."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from functools import partial

from querybudget.adapters.base import Usage
from querybudget.events import DecidedBy, Settlement
from querybudget.limiter.admission import Admission, Outcome, amounts_of, nothing_left
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

    def settle(
        self, admission: Admission, outcome: Outcome, usage: Usage, status: int
    ) -> Awaitable[None]:
        """Replace what an admission holds by what its call used.

        Returns:
            What is left to await: nothing, where the store may wait and settles in the background.
        """
        reserved = admission.reserved
        if reserved is None or reserved.reservation is None:
            self._reporter.publish(admission, usage, status, Settlement.FAILED)
            return nothing_left()
        amounts = amounts_of(admission, outcome, usage)
        work = self._settle(admission, reserved, amounts, usage, status)
        if not self._store.may_wait(reserved):
            return work
        cut = partial(self._settle_later, admission, reserved, amounts, usage, status)
        admission.settling = self._store.keep(work, cut)
        return nothing_left()

    async def _settle(
        self,
        admission: Admission,
        reserved: Reserved,
        amounts: Sequence[int],
        usage: Usage,
        status: int,
    ) -> None:
        if admission.verified and not reserved.charge.verified:
            reserved = reserved.of_verified()
        settlement = await self._store.settle(reserved, amounts)
        if admission.lapsed and settlement is Settlement.DONE:
            settlement = _LATE
        if settlement is _LATE and reserved.by is DecidedBy.SHARED:
            logger.warning("a call took longer than `hold`, so its reservation had expired")
        if self._reporter.on:
            self._reporter.publish(admission, usage, status, settlement, amounts)

    def _settle_later(
        self,
        admission: Admission,
        reserved: Reserved,
        amounts: Sequence[int],
        usage: Usage,
        status: int,
    ) -> None:
        """Settle when the store is asked the next time: the event loop ended the settlement."""
        self._store.settle_later(reserved, amounts)
        self._reporter.publish(admission, usage, status, Settlement.DEFERRED, amounts)
