"""Renewals: what a call has reserved is held for as long as the call is open.

A reservation expires `hold` after it was made: a process that dies holds nothing for ever. A timer
of the event loop rings each third of that while calls are open, and renews those that were not
renewed since it rang before. So calls that end sooner cost the store nothing, and no message of a
call is looked at.
"""

from __future__ import annotations

import asyncio

from querybudget.limiter.admission import Admission
from querybudget.resilience.store import ResilientStore
from querybudget.stores import Clock
from querybudget.units import SECOND

TIMES = 3
"""Renewals of an open call before its reservation would expire."""


class Renewals:
    """The open calls, and the timer that renews them.

    Args:
        store: Where they are reserved.
        clock: µs since the epoch.
        hold: µs after which a reservation expires.
    """

    def __init__(self, store: ResilientStore, clock: Clock, hold: int) -> None:
        self._store = store
        self._clock = clock
        self._set(hold)
        self._open: dict[int, Admission] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = 0
        """When the timer must have rung, µs; later, its event loop is gone."""

    def __len__(self) -> int:
        return len(self._open)

    def hold_for(self, hold: int) -> None:
        """Hold calls for another time from now on, those that are open too."""
        if hold == self._hold:
            return
        self._set(hold)
        self.stop()
        if self._open and self._store.renews:
            for admission in self._open.values():
                _ = self._store.background.run(self._renew(admission))
            self._wait(self._clock())

    def _set(self, hold: int) -> None:
        self._hold = hold
        self._pause = max(1, hold // TIMES)

    def add(self, admission: Admission) -> None:
        """Note an admitted call that begins, and is sure to be settled."""
        self._open[id(admission)] = admission
        if admission.at > self._overdue and self._store.renews:
            self._wait(admission.at)

    def remove(self, admission: Admission) -> None:
        """Note that a call has ended."""
        self._open.pop(id(admission), None)

    async def renew(self, admission: Admission) -> None:
        """Renew a call now that is not noted here. This does not wait for a store that may wait."""
        reserved = admission.reserved
        if reserved is None or reserved.reservation is None:
            return
        work = self._renew(admission)
        if self._store.may_wait(reserved):
            _ = self._store.background.run(work)
        else:
            await work

    def stop(self) -> None:
        """Stop the timer. The next call starts another."""
        self._overdue = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ring(self) -> None:
        """Renew the calls that are due, in the background; the timer calls this."""
        self.stop()
        now = self._clock()
        for admission in self._open.values():
            if (admission.renewed or admission.at) + self._pause <= now:
                _ = self._store.background.run(self._renew(admission))
        if self._open:
            self._wait(now)

    async def _renew(self, admission: Admission) -> None:
        reserved, now = admission.reserved, self._clock()
        admission.renewed = now
        if reserved is not None and reserved.reservation is not None and not admission.settled:
            admission.lapsed = admission.lapsed or now >= reserved.reservation.expires
            admission.reserved = await self._store.renew(reserved, self._hold)

    def _wait(self, now: int) -> None:
        self.stop()
        self._overdue = now + 2 * self._pause
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._pause / SECOND, self.ring)
