"""What one partition has used of one quota: a state for each algorithm.

The states are small, O(1) in the number of calls, and have the members of `Window`, so that the
ledger need not know which one it has.

Every amount is an integer in µ-units, every time an integer in µs. Nothing is rounded in a caller's
favour or against it, except where a docstring says so. No clock is read. A `now` earlier than the
last charge counts as no time having passed.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Protocol, final

import msgspec

from querybudget.units import MICRO, SECOND, Algorithm, Bounds, Quota

__all__ = [
    "LARGEST_USE",
    "LAST_MOMENT",
    "LEASE_RETRY",
    "LONGEST_DEBT",
    "LONGEST_WAIT",
    "STATES",
    "CalendarState",
    "GcraState",
    "LeaseState",
    "SlidingState",
    "State",
    "Window",
    "fresh",
]

LEASE_RETRY = SECOND
"""The wait proposed when all leases are taken. It promises nothing: a lease ends with its call."""

LONGEST_DEBT = 4_096
"""Windows that a debt can last, so that a single absurd answer does not close a budget for ever."""

LONGEST_WAIT = 2**53 - 1
"""The longest time that a wait or reset says, in µs: 285 years. Doubles, in which Redis and most
readers of JSON calculate, are exact up to here."""

LAST_MOMENT = 2**53 - 1
"""The latest time at which a debt is paid, in µs since the epoch: in the year 2255."""

LARGEST_USE = 2**53 - 1
"""The most µ-units that a window counts as used, debt included. A limit is at most as large."""


class Window(Protocol):
    """One partition's use of one quota.

    `room` brings it up to date: call it with the same `now` before any other member.
    """

    def room(self, quota: Quota, now: int, /) -> int:
        """Drop what has expired; return the µ-units that are left, negative while in debt."""
        ...

    def charge(self, quota: Quota, amount: int, now: int, /) -> int:
        """Use `amount` now, and return `reset`."""
        ...

    def adjust(self, quota: Quota, amount: int, at: int, now: int, /) -> None:
        """Correct a charge made at `at`: a negative amount is refunded, a positive one is debt."""
        ...

    def wait(self, quota: Quota, amount: int, now: int, /) -> int:
        """Return the µs until `amount` fits if nothing else is charged: not before, and then.

        It must be at most the quota's capacity.
        """
        ...

    def reset(self, quota: Quota, now: int, /) -> int:
        """Return the µs until nothing is used any more."""
        ...

    @property
    def blank(self) -> bool:
        """Whether nothing is used, so that the state need not be kept."""
        ...


def fresh(quota: Quota) -> State:
    """Return the state of a partition that has used nothing of `quota`."""
    return STATES[quota.algorithm]()


class GcraState(msgspec.Struct, array_like=True, tag="l"):
    """GCRA in its continuous form (ITU-T I.371): a level that leaks at the quota's rate.

    The level is ``level + part / rate[1]`` µ-units as of `at`: the fraction keeps the leak exact.

    A refund was held before, and leaked meanwhile like any other charge. So the promise is: from
    the first charge on, use never exceeds burst + rate x time.
    """

    level: int = 0
    part: int = 0
    at: int = 0

    def room(self, quota: Quota, now: int) -> int:
        level, part = self.level, self.part
        if now > self.at:
            if level > 0 or part:
                units, time = quota.rate
                part = min(part, time)  # a changed policy may have a coarser fraction
                left = level * time + part - (now - self.at) * units
                level, part = divmod(left, time) if left > 0 else (0, 0)
                self.level, self.part = level, part
            self.at = now
        return quota.burst - level - 1 if part else quota.burst - level

    def charge(self, quota: Quota, amount: int, now: int) -> int:
        self.level += amount
        return self.reset(quota, now)

    def adjust(self, quota: Quota, amount: int, at: int, now: int) -> None:
        """Move the level, never below empty."""
        del quota, at, now
        self.level = min(self.level + amount, LARGEST_USE)
        if self.level < 0:
            self.level = self.part = 0

    def wait(self, quota: Quota, amount: int, now: int) -> int:
        """µs until the level has leaked far enough, at most `LONGEST_WAIT`."""
        units, time = quota.rate
        over = (self.level + amount - quota.burst) * time + self.part
        return min(self.at - now - (-over // units), LONGEST_WAIT) if over > 0 else 0

    def reset(self, quota: Quota, now: int) -> int:
        """µs until the level is empty, at most `LONGEST_WAIT`."""
        units, time = quota.rate
        left = self.level * time + self.part
        return min(self.at - now - (-left // units), LONGEST_WAIT) if left > 0 else 0

    @property
    def blank(self) -> bool:
        return not self.level and not self.part


class SlidingState(msgspec.Struct, array_like=True, tag="s"):
    """A strict sliding window: no stretch of one window's length ever holds more than the limit.

    Amounts are kept exactly. Charges of one slot (a 60th of the window) are kept together and
    expire with the last of them: never early, and less than one slot late. There are at most 61
    pairs, however many calls.

    What a call uses above the limit is debt: it stays for as many windows as the limit needs to pay
    for all that is used, rounded up to whole windows.
    """

    total: int = 0
    marks: list[int] = msgspec.field(default_factory=list[int])
    """Pairs, oldest first: when the last charge of a slot was made, and the slot's amount."""
    debt: int = 0
    due: int = 0
    """When the debt is paid, µs."""

    def room(self, quota: Quota, now: int) -> int:
        marks = self.marks
        if marks and marks[0] + quota.window <= now:
            gone = 2
            while gone < len(marks) and marks[gone] + quota.window <= now:
                gone += 2
            self.total -= sum(marks[1:gone:2])
            del marks[:gone]
        if not self.debt:
            return quota.limit - self.total
        if self.due <= now:
            self.debt = 0
        return quota.limit - self.total - self.debt

    def charge(self, quota: Quota, amount: int, now: int) -> int:
        if not amount:
            return self.reset(quota, now)
        marks, slot = self.marks, quota.slot
        newest = marks[-2] if marks else -slot
        if now < newest + slot - newest % slot:
            marks[-1] += amount
            if now > newest:
                marks[-2] = now
        else:
            marks += (now, amount)
        self.total += amount
        if self.debt or now < newest:
            return self.reset(quota, now)
        return quota.window

    def adjust(self, quota: Quota, amount: int, at: int, now: int) -> None:
        """Refund the slot that was charged if it is still live; carry any excess as debt."""
        if amount > 0:
            self._overshoot(quota, amount, now)
            return
        marks = self.marks
        begin, mark = at - at % quota.slot, len(marks) - 2
        end = begin + quota.slot
        while mark > 0 and marks[mark] >= end:
            mark -= 2
        if mark < 0 or not begin <= marks[mark] < end:
            return
        back = min(-amount, marks[mark + 1])
        self.total -= back
        marks[mark + 1] -= back
        if not marks[mark + 1]:
            del marks[mark : mark + 2]
        if self.debt:
            paid = min(back, self.debt)  # debt that fits now becomes ordinary use
            self.debt -= paid
            self.charge(quota, paid, now)

    def _overshoot(self, quota: Quota, amount: int, now: int) -> None:
        fitting = min(amount, max(0, quota.limit - self.total - self.debt))
        self.charge(quota, fitting, now)
        if amount > fitting:
            self.debt = min(self.debt + amount - fitting, LARGEST_USE - self.total)
            windows = min(-(-(self.total + self.debt) // quota.limit), LONGEST_DEBT)
            self.due = max(self.due, min(now + windows * quota.window, LAST_MOMENT))

    def wait(self, quota: Quota, amount: int, now: int) -> int:
        schedule = self.decay(quota, now)
        fits = (moment for moment, used in schedule if used + amount <= quota.limit)
        return next(fits, schedule[-1][0]) - now

    def decay(self, quota: Quota, now: int) -> list[tuple[int, int]]:
        """Return a moment in µs and the µ-units used from then on, from now, if no more is used."""
        marks, used = self.marks, self.total + self.debt
        leaving = [(marks[at] + quota.window, marks[at + 1]) for at in range(0, len(marks), 2)]
        if self.debt:
            leaving.append((self.due, self.debt))
        schedule = [(now, used)]
        for moment, left in sorted(leaving):
            used -= left
            schedule.append((moment, used))
        return schedule

    def reset(self, quota: Quota, now: int) -> int:
        """µs until the newest slot has expired, and all debt is paid."""
        end = self.marks[-2] + quota.window if self.marks else now
        if self.debt and self.due > end:
            end = self.due
        return end - now if end > now else 0

    @property
    def blank(self) -> bool:
        return not self.marks and not self.debt


class CalendarState(msgspec.Struct, array_like=True, tag="p"):
    """A calendar window: fresh at the start of each period, but for debt.

    Of debt, each new period pays at most its limit.
    """

    start: int = 0
    used: int = 0

    def room(self, quota: Quota, now: int) -> int:
        start = _bounds(quota)(now)[0]
        if start > self.start:
            self.used = self._debt_at(quota, start)
            self.start = start
        return quota.limit - self.used

    def charge(self, quota: Quota, amount: int, now: int) -> int:
        self.used += amount
        return self.reset(quota, now)

    def adjust(self, quota: Quota, amount: int, at: int, now: int) -> None:
        """Refund if the charged period is still the current one; debt is always the current's."""
        del now
        if amount > 0 or at >= self.start:
            most = min(LONGEST_DEBT * quota.limit, LARGEST_USE)
            self.used = max(0, min(self.used + amount, most))

    def wait(self, quota: Quota, amount: int, now: int) -> int:
        """µs until the first period with enough room begins."""
        missing = amount + self.used - quota.limit
        if missing <= 0:
            return 0
        bounds = _bounds(quota)
        moment = bounds(max(now, self.start))[1]
        while missing > quota.limit:
            missing -= quota.limit
            moment = bounds(moment)[1]
        return moment - now

    def reset(self, quota: Quota, now: int) -> int:
        """µs until the period ends, or with debt, the period that pays the last of it."""
        return self.wait(quota, quota.limit, now)

    @property
    def blank(self) -> bool:
        return not self.used

    def _debt_at(self, quota: Quota, start: int) -> int:
        bounds, moment, debt = _bounds(quota), self.start, self.used
        while debt > 0 and moment < start:
            moment = bounds(moment)[1]
            debt -= quota.limit
        return max(0, debt)


@final
class LeaseState(msgspec.Struct, array_like=True, tag="c"):
    """The open calls. A lease ends when its call is settled, or at its expiry."""

    open: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """Expiry by reservation id, the next to expire first."""

    def room(self, quota: Quota, now: int) -> int:
        leases = self.open
        while leases:
            oldest = next(iter(leases))
            if leases[oldest] > now:
                break
            del leases[oldest]
        return quota.limit - len(leases) * MICRO

    def charge(self, quota: Quota, amount: int, now: int) -> int:
        """Do nothing but return `reset`: leases are taken by `take`."""
        del amount
        return self.reset(quota, now)

    def adjust(self, quota: Quota, amount: int, at: int, now: int) -> None:
        """Do nothing: leases are given back by `free`."""

    def wait(self, quota: Quota, amount: int, now: int) -> int:
        """`LEASE_RETRY` while none is free, which promises nothing."""
        del now
        return LEASE_RETRY if quota.limit - len(self.open) * MICRO < amount else 0

    def reset(self, quota: Quota, now: int) -> int:
        del quota, now
        return LEASE_RETRY if self.open else 0

    @property
    def blank(self) -> bool:
        return not self.open

    def take(self, reservation: str, expires: int) -> None:
        leases = self.open
        early = bool(leases) and leases[next(reversed(leases))] > expires
        leases[reservation] = expires
        if early:
            self.open = dict(sorted(leases.items(), key=itemgetter(1)))

    def renew(self, reservation: str, expires: int) -> None:
        """Hold a lease until `expires`, even if it had expired: its call is still open."""
        self.open.pop(reservation, None)
        self.take(reservation, expires)

    def free(self, reservation: str) -> None:
        self.open.pop(reservation, None)


def _bounds(quota: Quota) -> Bounds:
    if quota.bounds is None:
        message = f"budget {quota.name!r} has a calendar window but no calendar"
        raise ValueError(message)
    return quota.bounds


State = GcraState | SlidingState | CalendarState | LeaseState
"""Any of the states."""

STATES: dict[Algorithm, type[State]] = {
    Algorithm.GCRA: GcraState,
    Algorithm.SLIDING: SlidingState,
    Algorithm.CALENDAR: CalendarState,
    Algorithm.LEASE: LeaseState,
}
