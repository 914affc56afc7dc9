"""Settles calls at the store, and publishes that they are."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from functools import partial
from typing import Any

from querybudget.adapters.base import Usage
from querybudget.events import Settlement
from querybudget.limiter.admission import Admission, Outcome, amounts_of, nothing_left
from querybudget.limiter.reporting import Reporter
from querybudget.resilience.fallback import Reserved
from querybudget.resilience.store import ResilientStore


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
    ) -> Awaitable[object]:
        """Replace what an admission holds by what its call used.

        Returns:
            What is left to await: nothing, where the store may wait and settles in the background.
        """
        reserved = admission.reserved
        if reserved is None or reserved.reservation is None:
            self._reporter.publish(admission, usage, status, Settlement.FAILED)
            return nothing_left()
        amounts = amounts_of(admission, outcome, usage)
        if admission.verified and not reserved.charge.verified:
            reserved = reserved.of_verified()
        settling = self._store.settle(reserved, amounts, lapsed=admission.lapsed)
        work: Coroutine[Any, Any, object] = settling
        if self._reporter.on:
            work = self._reported(settling, admission, amounts, usage, status)
        if not self._store.may_wait(reserved):
            return work
        on_cancel = partial(self._settle_later, admission, reserved, amounts, usage, status)
        admission.settling = self._store.background.run(work, on_cancel)
        return nothing_left()

    async def _reported(
        self,
        work: Awaitable[Settlement],
        admission: Admission,
        amounts: Sequence[int],
        usage: Usage,
        status: int,
    ) -> None:
        self._reporter.publish(admission, usage, status, await work, amounts)

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
