"""Renewals: what a call has reserved is held for as long as the call is open.

A reservation expires `hold` after it was made: a process that dies holds nothing for ever. A call
that is still open after a third of that is renewed, and again after each further third: when a
message of it passes, or by a timer of the event loop while it is silent. Shorter calls never are.
"""

from __future__ import annotations

import asyncio

from querybudget.limiter.admission import Admission
from querybudget.resilience.store import ResilientStore
from querybudget.stores import Clock
from querybudget.units import SECOND, Micros

TIMES = 3
"""Renewals of an open call before its reservation would expire."""


class Renewals:
    """The open calls, and when each is renewed.

    Args:
        store: Where they are reserved.
        clock: µs since the epoch.
        hold: µs after which a reservation expires.
    """

    def __init__(self, store: ResilientStore, clock: Clock, hold: int) -> None:
        self._store = store
        self._clock = clock
        self._hold = hold
        self._pause = max(1, hold // TIMES)
        self._open: dict[int, Admission] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = 0
        """When the timer must have rung, µs; later, its event loop is gone."""

    def add(self, admission: Admission) -> None:
        """Note an admitted call that begins, and is sure to be settled."""
        admission.renew_at = Micros(admission.at + self._pause)
        self._open[id(admission)] = admission
        if admission.at > self._overdue and self._store.renews:
            self._wait(admission.at)

    def remove(self, admission: Admission) -> None:
        """Note that a call has ended."""
        self._open.pop(id(admission), None)

    def due(self, admission: Admission) -> bool:
        """Return True if it is time to renew a call."""
        return self._clock() >= admission.renew_at

    async def renew(self, admission: Admission) -> None:
        """Renew an open call now. This does not wait for a store that may wait."""
        reserved = admission.reserved
        if reserved is None or reserved.reservation is None or admission.settled:
            return
        work = self._renew(admission)
        if self._store.may_wait(reserved):
            _ = self._store.keep(work)
        else:
            await work

    def stop(self) -> None:
        """Stop the timer. The next call starts another."""
        self._overdue = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _renew(self, admission: Admission) -> None:
        now, reserved = self._clock(), admission.reserved
        admission.renew_at = Micros(now + self._pause)
        if reserved is not None and reserved.reservation is not None:
            admission.lapsed = admission.lapsed or now >= reserved.reservation.expires
            admission.reserved = await self._store.renew(reserved, self._hold)

    def _wait(self, now: int) -> None:
        self.stop()
        self._overdue = now + 2 * self._pause
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._pause / SECOND, self._ring)

    def _ring(self) -> None:
        self.stop()
        now = self._clock()
        for admission in [one for one in self._open.values() if one.renew_at <= now]:
            _ = self._store.keep(self._renew(admission))
        if self._open:
            self._wait(now)
