"""Calendar periods in a time zone: the minute, hour, day, week, month or year of a moment.

A day begins at the first midnight of its date or, if a clock change skips midnight, at that change.
It is 23 or 25 hours long when clocks change. Weeks begin on Monday. Hours and minutes are counted
from the beginning of the day, so an hour that a clock change repeats is two hours, not a long one.
Periods touch, and every moment is in exactly one.
"""

from __future__ import annotations

import datetime as dt

from querybudget.units import SECOND, Period

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_DAY = dt.timedelta(days=1)
_STEPS = {Period.MINUTE: 60 * SECOND, Period.HOUR: 3_600 * SECOND}


class Calendar:
    """The periods of one kind in one time zone; callable as `Bounds`.

    It caches the last period, which is no part of its value: a call in the same period costs two
    comparisons.

    Args:
        period: Any but seconds.
        zone: The time zone.
    """

    __slots__ = ("_last", "period", "zone")

    def __init__(self, period: Period, zone: dt.tzinfo) -> None:
        self.period = period
        self.zone = zone
        self._last = (0, 0)

    def __repr__(self) -> str:
        """Return its value: what a hash of a policy takes of it."""
        return f"Calendar({self.period.value}, {self.zone})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Calendar):
            return NotImplemented
        return self.period is other.period and self.zone == other.zone

    def __hash__(self) -> int:
        return hash((self.period, self.zone))

    def __call__(self, now: int, /) -> tuple[int, int]:
        """Return start and end, in µs, of the period that contains `now`; the end is exclusive."""
        last = self._last
        if last[0] <= now < last[1]:
            return last
        last = self._within_day(now) if self.period in _STEPS else self._dates(now)
        self._last = last
        return last

    def _dates(self, now: int) -> tuple[int, int]:
        first = _first(self.period, (_EPOCH + now * _MICROSECOND).astimezone(self.zone).date())
        start, after = self._midnight(first), _following(self.period, first)
        end = self._midnight(after)
        while end <= now:  # clocks went back over midnight: the date is yesterday's again
            start, after = end, _following(self.period, after)
            end = self._midnight(after)
        return start, end

    def _within_day(self, now: int) -> tuple[int, int]:
        step = _STEPS[self.period]
        day, tomorrow = Calendar(Period.DAY, self.zone)(now)
        start = now - (now - day) % step
        return start, min(start + step, tomorrow)

    def _midnight(self, date: dt.date) -> int:
        local = dt.datetime.combine(date, dt.time(), self.zone)
        return (local.astimezone(dt.UTC) - _EPOCH) // _MICROSECOND


def _first(period: Period, date: dt.date) -> dt.date:
    match period:
        case Period.WEEK:
            return date - date.weekday() * _DAY
        case Period.MONTH:
            return date.replace(day=1)
        case Period.YEAR:
            return date.replace(month=1, day=1)
        case _:
            return date


def _following(period: Period, first: dt.date) -> dt.date:
    match period:
        case Period.WEEK:
            return first + 7 * _DAY
        case Period.MONTH:
            return (first + 31 * _DAY).replace(day=1)
        case Period.YEAR:
            return first.replace(year=first.year + 1)
        case _:
            return first + _DAY
