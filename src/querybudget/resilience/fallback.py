"""Decisions about calls that the store could not decide: each budget's ``on_store_error``.

A budget that says ``deny`` refuses the call. One that says ``allow`` is ignored. One that says
``local`` is decided by this worker alone, in a memory store, against the worker's share of the
limit. That store keeps what was used as long as the budget's window lasts, from one outage to the
next: a store that fails once a second does not grant a fresh share each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from querybudget.backends import STORE_RETRY
from querybudget.events import DecidedBy
from querybudget.ledger import (
    Charge,
    Decision,
    Line,
    LineStatus,
    Reservation,
    Settled,
    Verdict,
    refusal,
)
from querybudget.policy.model import OnStoreError
from querybudget.stores import Clock, MemoryStore
from querybudget.stores.memory import MIN_IDENTITIES
from querybudget.units import Micros, Quota, Unit

_DENY, _LOCAL = OnStoreError.DENY, OnStoreError.LOCAL


class Reserved(msgspec.Struct, frozen=True):
    """Where and how a charge was decided; settling it needs this again.

    Attributes:
        charge: What the store was asked for.
        by: Where it was decided.
        decision: The decision; None if no line was decided. A local one covers `places` only.
        reservation: What is held; None if nothing is.
        denied: Whether the call is refused because a budget denies calls while the store is down.
        places: Which of the charge's lines were decided by this worker alone.
    """

    charge: Charge
    by: DecidedBy
    decision: Decision | None = None
    reservation: Reservation | None = None
    denied: bool = False
    places: tuple[int, ...] = ()

    def of_verified(self) -> Reserved:
        """Return this for a caller who was verified since."""
        reservation = self.reservation
        if reservation is None or reservation.verified:
            return self
        return replace(self, reservation=replace(reservation, verified=True))


class Fallback:
    """Decides calls while the store does not answer.

    Args:
        workers: Processes that share each limit.
        clock: µs since the epoch.
        max_identities: Accounts kept.

    Attributes:
        decided: Calls decided by this worker's share.
    """

    def __init__(self, workers: int, clock: Clock, *, max_identities: int) -> None:
        self._workers = workers
        limit = max(MIN_IDENTITIES, max_identities)
        self.store = MemoryStore(clock, max_identities=limit)
        self.decided = 0

    async def reserve(self, charge: Charge, on_error: Sequence[OnStoreError]) -> Reserved:
        """Decide a charge that the store could not decide.

        Args:
            charge: What the store was asked for.
            on_error: What the budget of each of its lines says.
        """
        lines = zip(charge.lines, on_error, strict=True)
        if any(word is _DENY and not line.shadow for line, word in lines):
            return Reserved(charge, DecidedBy.NONE, denied=True)
        places = tuple(index for index, word in enumerate(on_error) if word is _LOCAL)
        if not places:
            return Reserved(charge, DecidedBy.NONE)
        self.decided += 1
        whole = [charge.lines[index] for index in places]
        decision = await self.store.reserve(charge.with_lines(charge.id, self._shares(whole)))
        if not decision.admitted:
            decision = _patient(decision, whole)
        return Reserved(charge, DecidedBy.LOCAL, decision, decision.reservation, places=places)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Settle what was admitted here; it never waits.

        Args:
            reservation: As decided here.
            amounts: µ-units used on the lines decided here, before price.
        """
        return await self.store.settle(reservation, amounts)

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        """Hold for longer what was admitted here; it never waits."""
        return await self.store.renew(reservation, ttl)

    def _shares(self, lines: Sequence[Line]) -> tuple[Line, ...]:
        return tuple(
            msgspec.structs.replace(line, quota=share(line.quota, self._workers)) for line in lines
        )


@lru_cache(maxsize=1_024)
def share(quota: Quota, workers: int) -> Quota:
    """Return what one of several workers may grant: at least one request, lease or bucket."""
    return quota.scaled(1, workers)


def _patient(decision: Decision, whole: Sequence[Line]) -> Decision:
    """A refusal that does not say "never" to what exceeds only this worker's share."""
    statuses = tuple(
        _later(status) if status.verdict is Verdict.NEVER and _fits(status, line.quota) else status
        for status, line in zip(decision.lines, whole, strict=True)
    )
    verdict, wait = refusal(statuses)
    return msgspec.structs.replace(decision, lines=statuses, verdict=verdict, wait=wait)


def _fits(status: LineStatus, whole: Quota) -> bool:
    return status.line.quota.unit is Unit.BUCKETS or status.line.minimum <= whole.capacity


def _later(status: LineStatus) -> LineStatus:
    """Return what exceeds only the share as something that may fit when the store is back."""
    return msgspec.structs.replace(status, verdict=Verdict.WAIT, wait=STORE_RETRY)
