"""What the store has to be told when it answers again.

Two kinds of entries: a settlement that could not be made, and what a call used that was admitted
without the store. Either can be told again without being charged twice: a settlement is idempotent
by itself, and use is told as a reservation that holds *nothing* and is then settled at what was
used. If the answer to that reservation is lost, what is lost with it is nothing.

All reservations of a round are made before any is settled. So what one call of an outage used does
not refuse the next one's: all of it is charged, as debt where it does not fit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from querybudget.ledger import UNCHARGED, Charge, Line, Reservation
from querybudget.stores import Clock, Store
from querybudget.units import Algorithm, Quota

__all__ = ["AT_ONCE", "MOST", "TRIES", "Outbox"]

MOST = 10_000
"""Entries kept; the oldest goes first."""

AT_ONCE = 8
"""Entries that the store is told at the same time."""

TRIES = 20
"""So often an entry is told; one that fails still is not the outage's fault, but its own."""

Take: TypeAlias = tuple[Line, int]
"""A line and the µ-units used on it, before price."""


class Entry(msgspec.Struct, eq=False):
    """Something the store has not been told.

    Attributes:
        takes: What was used, by line.
        at: When, µs.
        charge: What is reserved first, its lines aside; None where there is a reservation.
        reservation: What is settled; None before it was made.
        tries: How often it failed.
        done: Whether nothing is to be done any more.
    """

    takes: tuple[Take, ...]
    at: int
    charge: Charge | None = None
    reservation: Reservation | None = None
    tries: int = 0
    done: bool = False


class Outbox:
    """A bounded list of what the store has not been told.

    Args:
        clock: µs since the epoch.
        most: Entries kept.

    Attributes:
        dropped: Entries that were lost: there was no room, or the store took them at no try.
        refused: Lines of calls admitted without the store that it refused to be charged, since
            their budgets were in debt already.
    """

    def __init__(self, clock: Clock, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._entries = deque[Entry]()
        self._named = 0
        self.dropped = self.refused = 0

    def __len__(self) -> int:
        return sum(1 for entry in self._entries if not entry.done)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def settle_later(self, reservation: Reservation, amounts: Sequence[int]) -> None:
        """Note a settlement that could not be made.

        Args:
            reservation: The store's.
            amounts: µ-units used on each line, before price.
        """
        takes = tuple(zip(reservation.lines, amounts, strict=True))
        self._put(Entry(takes, reservation.at, reservation=reservation))

    def charge_later(
        self, charge: Charge, lines: Sequence[Line], made: Reservation, amounts: Sequence[int]
    ) -> None:
        """Note what a call used that was admitted without the store.

        Args:
            charge: What the store had been asked for.
            lines: Those of its lines that were decided without the store.
            made: The reservation that was made of them elsewhere.
            amounts: µ-units used on each, before price.
        """
        takes = tuple(
            (_telling(line), amount)
            for line, held, amount in zip(lines, made.held, amounts, strict=True)
            if amount and held != UNCHARGED and line.quota.algorithm is not Algorithm.LEASE
        )
        if takes:
            told = msgspec.structs.replace(charge, lines=(), price=made.price)
            self._put(Entry(takes, made.at, charge=told))

    async def flush(self, store: Store) -> bool:
        """Tell the store what there is now. What it does not take stays, behind everything else.

        Returns:
            Whether all of it was told.
        """
        entries = list(self._entries)
        try:
            reserved = await self._each(self._reserve, store, entries)
            made = [entry for entry in entries if entry.reservation is not None]
            return await self._each(self._settle, store, made) and reserved
        finally:
            left = (entry for entry in self._entries if not entry.done)
            self._entries = deque(sorted(left, key=_tries))

    def _put(self, entry: Entry) -> None:
        if len(self._entries) >= self._most:
            oldest = self._entries.popleft()
            self.dropped += not oldest.done
            oldest.done = True
        self._entries.append(entry)

    async def _each(
        self,
        step: Callable[[Store, Entry], Awaitable[None]],
        store: Store,
        entries: Sequence[Entry],
    ) -> bool:
        """Take a step with all entries, a few at a time, until one of them fails."""
        for start in range(0, len(entries), AT_ONCE):
            some = [entry for entry in entries[start : start + AT_ONCE] if not entry.done]
            ends = await asyncio.gather(*(step(store, e) for e in some), return_exceptions=True)
            failed = [e for e, end in zip(some, ends, strict=True) if end is not None]
            for entry in failed:
                entry.tries += 1
                if entry.tries >= TRIES:
                    entry.done = True
                    self.dropped += 1
            if failed:
                return False
        return True

    async def _reserve(self, store: Store, entry: Entry) -> None:
        if entry.charge is None or entry.reservation is not None:
            return
        for _ in range(2):
            now = self._clock()
            entry.takes = tuple(take for take in entry.takes if not _over(take, entry.at, now))
            if not entry.takes:
                break
            decision = await store.reserve(self._charge(entry.charge, entry.takes))
            entry.reservation = decision.reservation
            if entry.reservation is not None:
                return
            fits = [not status.verdict or status.line.shadow for status in decision.lines]
            kept = tuple(take for take, fit in zip(entry.takes, fits, strict=True) if fit)
            self.refused += len(entry.takes) - len(kept)
            entry.takes = kept
        self.refused += len(entry.takes)
        entry.done = True

    async def _settle(self, store: Store, entry: Entry) -> None:
        if entry.reservation is not None:
            await store.settle(entry.reservation, [amount for _, amount in entry.takes])
            entry.done = True

    def _charge(self, charge: Charge, takes: Sequence[Take]) -> Charge:
        """What is reserved. Each time by another name: a store may undo by name what it did."""
        self._named += 1
        lines = tuple(line for line, _ in takes)
        name = f"{charge.id}.{self._named:x}"
        if any(line.quota.algorithm is Algorithm.DISTINCT for line in lines):
            return msgspec.structs.replace(charge, id=name, lines=lines)
        return msgspec.structs.replace(charge, id=name, lines=lines, observation=None, profiled=())


def _telling(line: Line) -> Line:
    """A line that holds nothing.

    Buckets are held, since visiting one twice is visiting it once. The price of a call that is
    over is known, and there is nothing left to do to it: so no response.
    """
    if line.quota.algorithm is Algorithm.DISTINCT:
        return msgspec.structs.replace(line, response=None)
    return msgspec.structs.replace(line, amount=0, minimum=0)


def _over(take: Take, at: int, now: int) -> bool:
    """Whether what was used at `at` counts no longer."""
    quota: Quota = take[0].quota
    if quota.bounds is not None:
        return quota.bounds(at)[1] <= now
    return now - at >= quota.window


def _tries(entry: Entry) -> int:
    return entry.tries
