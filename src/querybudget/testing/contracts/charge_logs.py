"""What each kind of window must hold, computed slowly from a log of every charge ever made.

Logs forget, merge and advance nothing: each answer is summed from the whole log, in exact fractions
where rates are concerned. They share only types with the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Protocol

from querybudget.units import MICRO, Algorithm, Quota


class Log(Protocol):
    """Everything that ever happened to one quota of one partition."""

    quota: Quota

    def left(self, now: int) -> int:
        """Return the µ-units that could be granted."""
        ...

    def charge(self, name: str, amount: int, now: int, expires: int, /) -> None:
        """Log what a reservation holds."""
        ...

    def correct(self, name: str, difference: int, now: int, /) -> None:
        """Log how much more, or less, a reservation used than it held."""
        ...

    def renew(self, name: str, expires: int, /) -> None:
        """Log that a reservation is held for longer."""
        ...


@dataclass
class SlidingLog:
    """A charge counts for one window, from the last charge of its slot on.

    Debt counts until the limit has paid, window by window, for all use at the time it arose.
    """

    quota: Quota
    entries: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    back: dict[str, int] = field(default_factory=dict[str, int])
    debts: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def left(self, now: int) -> int:
        slots = {at // self.quota.slot for _, at, _ in self.entries}
        held = sum(self._held(slot, now) for slot in slots)
        return self.quota.limit - held - self._debt(now)

    def _debt(self, now: int) -> int:
        """Return the debt: all of it counts until the last of it is paid."""
        return sum(amount for _, amount in self.debts) if self._due() > now else 0

    def _due(self) -> int:
        return max((due for due, _ in self.debts), default=0)

    def _held(self, slot: int, now: int) -> int:
        inside = [entry for entry in self.entries if entry[1] // self.quota.slot == slot]
        if max(at for _, at, _ in inside) + self.quota.window <= now:
            return 0
        return sum(amount - self.back.get(name, 0) for name, _, amount in inside)

    def charge(self, name: str, amount: int, now: int, _expires: int) -> None:
        if amount:
            self.entries.append((name, now, amount))

    def correct(self, name: str, difference: int, now: int) -> None:
        if difference > 0:
            self._overshoot(name, difference, now)
        else:
            self._give_back(name, -difference, now)

    def _overshoot(self, name: str, amount: int, now: int) -> None:
        if self._due() <= now:
            self.debts.clear()
        fitting = min(amount, max(0, self.left(now)))
        self.charge(f"{name} debt", fitting, now, 0)
        if amount > fitting:
            used = self.quota.limit - self.left(now) + amount - fitting
            due = now + ceil(Fraction(used, self.quota.limit)) * self.quota.window
            self.debts.append((due, amount - fitting))

    def _give_back(self, name: str, amount: int, now: int) -> None:
        at = next((at for entry, at, _ in self.entries if entry == name), None)
        if at is None or not self._held(at // self.quota.slot, now):
            return
        paid = min(amount, self._debt(now))
        if paid:
            self.debts.append((0, -paid))
        self.back[name] = amount
        self.charge(f"{name} pays", paid, now, 0)

    def renew(self, _name: str, _expires: int) -> None:
        """Do nothing: what is used does not depend on how long its call is open."""


@dataclass
class GcraLog:
    """GCRA: a level that leaks at the rate, replayed in fractions from the first charge."""

    quota: Quota
    moves: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def left(self, now: int) -> int:
        return floor(self.quota.burst - self._level(now))

    def _level(self, now: int) -> Fraction:
        level, last = Fraction(0), 0
        for at, amount in [*self.moves, (now, 0)]:
            leaked = Fraction(self.quota.limit * (at - last), self.quota.window)
            level, last = max(Fraction(0), max(Fraction(0), level - leaked) + amount), at
        return level

    def charge(self, _name: str, amount: int, now: int, _expires: int) -> None:
        self.moves.append((now, amount))

    def correct(self, _name: str, difference: int, now: int) -> None:
        self.moves.append((now, difference))

    def renew(self, _name: str, _expires: int) -> None:
        """Do nothing: what is used does not depend on how long its call is open."""


@dataclass
class CalendarLog:
    """Periods are replayed from the first charge on; use above the limit is carried over."""

    quota: Quota
    entries: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    back: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def left(self, now: int) -> int:
        bounds = self.quota.bounds
        assert bounds, "a calendar quota has bounds"
        if not self.entries:
            return self.quota.limit
        moment, carried = self.entries[0][1], 0
        while True:
            start, end = bounds(moment)
            used = carried + sum(
                amount - self._back(name, end)
                for name, at, amount in self.entries
                if start <= at < end
            )
            if now < end:
                return self.quota.limit - used
            moment, carried = end, max(0, used - self.quota.limit)
            if not carried:  # skip to the next charge
                moment = min([now, *(at for _, at, _ in self.entries if at >= end)])

    def _back(self, name: str, end: int) -> int:
        at, amount = self.back.get(name, (0, 0))
        return amount if at < end else 0

    def charge(self, name: str, amount: int, now: int, _expires: int) -> None:
        self.entries.append((name, now, amount))

    def correct(self, name: str, difference: int, now: int) -> None:
        if difference > 0:
            self.entries.append((f"{name} debt", now, difference))
        else:
            self.back[name] = (now, -difference)

    def renew(self, _name: str, _expires: int) -> None:
        """Do nothing: what is used does not depend on how long its call is open."""


@dataclass
class LeaseLog:
    """A call holds its lease until it is settled or expires."""

    quota: Quota
    until: dict[str, int] = field(default_factory=dict[str, int])

    def left(self, now: int) -> int:
        return self.quota.limit - MICRO * sum(until > now for until in self.until.values())

    def charge(self, name: str, _amount: int, _now: int, expires: int) -> None:
        self.until[name] = expires

    def correct(self, name: str, _difference: int, now: int) -> None:
        self.until[name] = now

    def renew(self, name: str, expires: int) -> None:
        self.until[name] = expires


LOGS: dict[Algorithm, Callable[[Quota], Log]] = {
    Algorithm.SLIDING: SlidingLog,
    Algorithm.GCRA: GcraLog,
    Algorithm.CALENDAR: CalendarLog,
    Algorithm.LEASE: LeaseLog,
}
"""The log of each kind of window."""
