"""The lease by which one worker is elected: a reservation of one place on an account of its own.

Whoever holds it renews it. A worker that dies holds it until it expires, and then another has it.
"""

from __future__ import annotations

import os

from querybudget.ledger import Charge, Line, Reservation, Standing
from querybudget.stores import Clock, Renews, Store
from querybudget.units import MICRO, Algorithm, Quota, Unit

ACCOUNT = "linking:lease"
"""Key of the account. No identity and no partition of a policy has such a key."""

_PLACE = Quota("linking", Unit.CONCURRENT, MICRO, 0, Algorithm.LEASE, MICRO)


class Lease:
    """One worker's part in the election.

    Args:
        store: Where the accounts are.
        clock: µs since the epoch.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._reservation: Reservation | None = None
        self._expires = 0

    async def take(self, ttl: int) -> bool:
        """Take the lease, or hold it for longer; return whether this worker has it.

        Args:
            ttl: µs from now for which it is held.

        Raises:
            StoreError: The store did not answer.
        """
        held, store = self._reservation, self._store
        # One that has expired could be held again although another worker has it meanwhile.
        if held is not None and self._clock() < self._expires and isinstance(store, Renews):
            self._expires = await store.renew(held, ttl)
            if self._expires:
                return True
        await self.free()
        line = Line(ACCOUNT, _PLACE, MICRO, MICRO, standing=Standing.FIXED)
        decision = await store.reserve(Charge(f"linking-{os.urandom(8).hex()}", (line,), ttl))
        held = self._reservation = decision.reservation
        self._expires = held.expires if held is not None else 0
        return held is not None

    async def free(self) -> None:
        """Let another worker have it.

        Raises:
            StoreError: The store did not answer: it is free when it expires.
        """
        held, self._reservation = self._reservation, None
        if held is not None:
            await self._store.settle(held, (0,))
