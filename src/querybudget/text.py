"""Amounts, times and words, written for people.

Amounts are integers in µ-units (millionths of a unit) and times integers in µs. What is left is
rounded down and what must be waited for is rounded up, so that what a person reads holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

_DAY = 86_400
_SPANS = (
    (7 * _DAY * SECOND, "week"),
    (_DAY * SECOND, "day"),
    (3_600 * SECOND, "hour"),
    (60 * SECOND, "minute"),
    (SECOND, "second"),
)
_HOUR = 3_600 * SECOND
_MANY_DAYS = 2
_MONTH_DAYS = range(28, 32)
_YEAR_DAYS = range(365, 367)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999, the last moment that RFC 3339 can express."""


def whole_down(amount: int) -> int:
    """Whole units in an amount of µ-units, rounded down; 0 for debt."""
    return amount // MICRO if amount > 0 else 0


def whole_up(amount: int) -> int:
    """Whole units (or seconds) in an amount of µ-units (or µs), rounded up."""
    return -(-amount // MICRO)


def number(amount: int) -> int | float:
    """An amount in units, as an integer if it is whole."""
    return amount // MICRO if amount % MICRO == 0 else amount / MICRO


def in_units(amount: int) -> str:
    """An amount of at least 0 as an exact decimal number of units: ``49.99``."""
    whole, rest = divmod(amount, MICRO)
    return f"{whole}.{rest:06}".rstrip("0") if rest else str(whole)


def amount(amount: int, unit: Unit) -> str:
    """An amount with its unit: ``1,200 tokens``, ``$0.0042``, ``1 call at once``."""
    if unit is Unit.USD:
        return dollars(amount)
    value = Decimal(amount) / MICRO
    name = "calls at once" if unit is Unit.CONCURRENT else unit_name(unit)
    if value == 1:
        name = name.replace("calls", "call").removesuffix("s")
    return f"{value:,f} {name}"


def dollars(amount: int, places: int | None = None) -> str:
    """An amount of money: ``$1,234.5``, or with a fixed number of decimal places."""
    value = Decimal(amount) / MICRO
    digits = f"{abs(value):,f}" if places is None else f"{abs(value):,.{places}f}"
    return f"-${digits}" if value < 0 else f"${digits}"


def unit_name(unit: Unit) -> str:
    """A unit's name in a sentence: ``input tokens``, ``USD``."""
    return "USD" if unit is Unit.USD else unit.value.replace("_", " ")


def share(millionths: int) -> str:
    """A share in percent: ``70 %``."""
    return f"{number(millionths * 100)} %"


def limit(quota: Quota) -> str:
    """A quota's limit: ``60 requests in any minute``, ``$5 per calendar month``."""
    text = amount(quota.limit, quota.unit)
    match quota.algorithm:
        case Algorithm.LEASE:
            return text
        case Algorithm.CALENDAR:
            return f"{text} per calendar {period(quota)}"
        case Algorithm.GCRA:
            return f"{text} per {period(quota)}, {amount(quota.burst, quota.unit)} at once"
        case Algorithm.SLIDING:
            return f"{text} in any {period(quota)}"


def period(quota: Quota) -> str:
    """A quota's window, to be read after "per": ``minute``, ``90 seconds``, ``month``."""
    if quota.algorithm is Algorithm.CALENDAR:
        days = round(quota.window / (_DAY * SECOND))
        if days in _MONTH_DAYS:
            return "month"
        if days in _YEAR_DAYS:
            return "year"
    return span(quota.window).removeprefix("1 ")


def span(time: int) -> str:
    """A time in words, rounded up to the ms: ``2 minutes``, ``90 seconds``, ``250 ms``.

    The unit is the largest one that the time is a whole number of.
    """
    milliseconds = -(-time // 1_000)
    if milliseconds < 1_000:  # noqa: PLR2004  the milliseconds in a second
        return f"{milliseconds} ms"
    for length, word in _SPANS:
        count, rest = divmod(milliseconds * 1_000, length)
        if not rest:
            return f"{count} {word}{'' if count == 1 else 's'}"
    return f"{Decimal(milliseconds) / 1_000:f} seconds"


def duration(time: int) -> str:
    """A time as Go writes durations, rounded up to the ms: ``12ms``, ``1.5s``, ``6m0s``."""
    milliseconds = -(-time // 1_000) if time > 0 else 0
    if not milliseconds:
        return "0s"
    if milliseconds < 1_000:  # noqa: PLR2004  the milliseconds in a second
        return f"{milliseconds}ms"
    seconds, milliseconds = divmod(milliseconds, 1_000)
    text = _fraction(milliseconds)
    if seconds < 60:  # noqa: PLR2004  the seconds in a minute
        return f"{seconds}{text}s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}{text}s" if hours else f"{minutes}m{seconds}{text}s"


def wait(time: int) -> str:
    """A time to wait, rounded up: as `duration` up to two days, then ``29 days 23 hours``."""
    hours = -(-time // _HOUR)
    days, hours = divmod(hours, 24)
    if days < _MANY_DAYS:
        return duration(time)
    rest = f" {hours} hour{'' if hours == 1 else 's'}" if hours else ""
    return f"{days} days{rest}"


@lru_cache(maxsize=1_000)  # there are no more
def _fraction(milliseconds: int) -> str:
    return f".{milliseconds:03}".rstrip("0") if milliseconds else ""


def moment(time: int) -> str:
    """A time since the epoch as RFC 3339 writes it, in UTC, rounded up to the second."""
    return _second(min(whole_up(time), _LAST_SECOND))


@lru_cache(maxsize=256)  # calls of the same second mostly have resets of the same second
def _second(seconds: int) -> str:
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]}Z"


def nearest(word: str, known: Collection[str]) -> str:
    """A hint to append after an unknown word: `` (did you mean `limit`?)``; empty if none is near.

    Case does not matter; the hint has the known spelling.
    """
    import difflib  # noqa: PLC0415 - only when something is wrong

    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f" (did you mean `{by_lower[near[0]]}`?)" if near else ""


def listed(words: Iterable[str]) -> str:
    """At least one word, as a sentence lists them: `` `a`, `b` or `c` ``."""
    *others, last = (f"`{word}`" for word in words)
    return f"{', '.join(others)} or {last}" if others else last
