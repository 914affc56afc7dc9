"""What is sent to the store when it answers again.

Two kinds of entries: a settlement that could not be made, and the usage of a call that was admitted
without the store. Either can be sent again without being charged twice: a settlement is idempotent
by itself, and usage is sent as a reservation that holds *nothing* and is then settled at what was
used. If the reply to that reservation is lost, nothing has been charged, so retrying is safe.

All reservations of a round are made before any is settled. So the usage of one call of an outage
does not refuse the next one: all of it is charged, as debt where it does not fit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeAlias

import msgspec

from querybudget.ledger import UNCHARGED, Charge, Decision, Line, Reservation, Settled
from querybudget.stores import Clock
from querybudget.units import Algorithm, Quota, Unit

ENTRIES = 10_000
"""Entries kept; the oldest is dropped first."""

AT_ONCE = 32
"""Entries that are sent at the same time."""

TRIES = 20
"""Attempts for an entry. One that still fails is at fault itself, not the outage."""

Use: TypeAlias = tuple[Line, int]
"""A line and the µ-units used on it, before price."""


class Target(Protocol):
    """The two verbs of a store that an outbox needs."""

    async def reserve(self, charge: Charge, /) -> Decision:
        """Charge all lines or none."""
        ...

    async def settle(self, reservation: Reservation, amounts: Sequence[int], /) -> Settled:
        """Replace what is held by what was used."""
        ...


class Entry(msgspec.Struct, eq=False):
    """One thing to send to the store.

    Attributes:
        uses: What was used, by line.
        at: When, µs.
        charge: What is reserved first, without its lines; None if there is a reservation.
        reservation: What is settled; None before it is made.
        tries: Failed attempts.
        done: Whether nothing is left to do.
    """

    uses: tuple[Use, ...]
    at: int
    charge: Charge | None = None
    reservation: Reservation | None = None
    tries: int = 0
    done: bool = False


class Outbox:
    """A bounded list of what has to be sent to the store.

    Args:
        clock: µs since the epoch.
        limit: Entries kept.

    Attributes:
        dropped: Entries lost because the outbox was full or the store took them at no attempt.
        refused: Lines of calls admitted without the store that it refused to charge, because their
            budgets were in debt already.
        flushing: Sends everything in the background; None if nothing does.
    """

    def __init__(self, clock: Clock, limit: int = ENTRIES) -> None:
        self._clock = clock
        self._limit = limit
        self._entries = deque[Entry]()
        self._named = 0
        self.flushing: asyncio.Task[bool] | None = None
        self.dropped = self.refused = 0

    def __len__(self) -> int:
        return sum(1 for entry in self._entries if not entry.done)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def settle_later(self, reservation: Reservation, amounts: Sequence[int]) -> None:
        """Keep a settlement that could not be made.

        Args:
            reservation: The store's.
            amounts: µ-units used on each line, before price.
        """
        uses = tuple(zip(reservation.lines, amounts, strict=True))
        self._put(Entry(uses, reservation.at, reservation=reservation))

    def charge_later(
        self, charge: Charge, lines: Sequence[Line], made: Reservation, amounts: Sequence[int]
    ) -> None:
        """Keep the usage of a call that was admitted without the store.

        Args:
            charge: What the store had been asked for.
            lines: Those of its lines that were decided without the store.
            made: The reservation that was made for them elsewhere.
            amounts: µ-units used on each, before price.
        """
        uses = tuple(
            (_holding_nothing(line), amount)
            for line, held, amount in zip(lines, made.held, amounts, strict=True)
            if amount and held != UNCHARGED and line.quota.algorithm is not Algorithm.LEASE
        )
        if uses:
            bare = msgspec.structs.replace(
                charge, lines=(), price=made.price, verified=made.verified
            )
            self._put(Entry(uses, made.at, charge=bare))

    def forget(self, partition: str) -> None:
        """Drop what would be charged to an account that is erased.

        Settlements stay: they change nothing of an account that is gone.
        """
        for entry in self._entries:
            if entry.reservation is None:
                entry.uses = tuple(use for use in entry.uses if use[0].partition != partition)
                entry.done = entry.done or not entry.uses

    def flush_soon(self, target: Target) -> None:
        """Send everything in the background, unless that is under way."""
        if self.flushing is None and self._entries:
            self.flushing = asyncio.ensure_future(self.flush_all(target))
            self.flushing.add_done_callback(partial(self._flushed, target))

    def _flushed(self, target: Target, task: asyncio.Task[bool]) -> None:
        self.flushing = None
        if not task.cancelled() and task.result():
            self.flush_soon(target)  # what has come in since

    async def flush_all(self, target: Target) -> bool:
        """Send everything, also what comes in meanwhile; return True if the store took it all."""
        while self._entries:
            if not await self.flush(target):
                return False
        return True

    async def flush(self, target: Target) -> bool:
        """Send what there is now. What the store does not take stays, behind everything else.

        Returns:
            Whether the store took all of it.
        """
        entries = list(self._entries)
        try:
            waiting = [entry for entry in entries if entry.reservation is None]
            reserved = await self._each(self._reserve, target, waiting)
            made = [entry for entry in entries if entry.reservation is not None]
            return await self._each(self._settle, target, made) and reserved
        finally:
            left = (entry for entry in self._entries if not entry.done)
            self._entries = deque(sorted(left, key=_tries))

    def _put(self, entry: Entry) -> None:
        if len(self._entries) >= self._limit:
            oldest = self._entries.popleft()
            self.dropped += not oldest.done
            oldest.done = True
        self._entries.append(entry)

    async def _each(
        self,
        step: Callable[[Target, Entry], Awaitable[None]],
        target: Target,
        entries: Sequence[Entry],
    ) -> bool:
        """Take a step for each entry; give up once none of those sent together gets through."""
        whole = True
        for start in range(0, len(entries), AT_ONCE):
            some = [entry for entry in entries[start : start + AT_ONCE] if not entry.done]
            ends = await asyncio.gather(*(step(target, e) for e in some), return_exceptions=True)
            failed = [e for e, end in zip(some, ends, strict=True) if end is not None]
            for entry in failed:
                entry.tries += 1
                if entry.tries >= TRIES:
                    entry.done = True
                    self.dropped += 1
            whole = whole and not failed
            if failed and len(failed) == len(some):
                return False
        return whole

    async def _reserve(self, target: Target, entry: Entry) -> None:
        if entry.charge is None:
            return
        for _ in range(2):
            now = self._clock()
            entry.uses = tuple(use for use in entry.uses if not _over(use[0].quota, entry.at, now))
            if not entry.uses:
                break
            decision = await target.reserve(self._charge(entry.charge, entry.uses))
            entry.reservation = decision.reservation
            if entry.reservation is not None:
                return
            fits = [not status.verdict or status.line.shadow for status in decision.lines]
            kept = tuple(use for use, fit in zip(entry.uses, fits, strict=True) if fit)
            self.refused += len(entry.uses) - len(kept)
            entry.uses = kept
        self.refused += len(entry.uses)
        entry.done = True

    async def _settle(self, target: Target, entry: Entry) -> None:
        if entry.reservation is not None:
            await target.settle(entry.reservation, [amount for _, amount in entry.uses])
            entry.done = True

    def _charge(self, charge: Charge, uses: Sequence[Use]) -> Charge:
        """Return what is reserved, with a new name: a store may undo by name what it did."""
        self._named += 1
        return charge.with_lines(f"{charge.id}.{self._named:x}", tuple(line for line, _ in uses))


def _holding_nothing(line: Line) -> Line:
    """A line that holds nothing.

    New ground is held, since only the store knows what is new. The price of a call that has ended
    is known, and nothing can be done to it any more: so no response.
    """
    if line.quota.unit is Unit.BUCKETS:
        return msgspec.structs.replace(line, response=None)
    return msgspec.structs.replace(line, amount=0, minimum=0)


def _over(quota: Quota, at: int, now: int) -> bool:
    """Return True if what was used at `at` does not count any more."""
    if quota.bounds is not None:
        return quota.bounds(at)[1] <= now
    return now - at >= quota.window


def _tries(entry: Entry) -> int:
    return entry.tries
