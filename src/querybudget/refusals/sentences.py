"""Amounts, waits and sentences, for people and for the headers that people read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from querybudget.ledger import LineStatus, Verdict
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

__all__ = ["duration", "moment", "refusal", "short_refusal", "whole_down", "whole_up"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253_402_300_799
"""The last second of the year 9999, after which RFC 3339 has no words."""

_SAID_BY_DATE = 60 * SECOND
"""From this wait on, the moment of its end is said as well."""

_PERIODS = {
    1: "second",
    60: "minute",
    3_600: "hour",
    86_400: "day",
    604_800: "week",
}
_DAY = 86_400
_MONTH_DAYS = range(28, 32)
_YEAR_DAYS = range(365, 367)

_SMALLER = {
    Unit.TOKENS: "Shorten the input or lower max_tokens.",
    Unit.INPUT_TOKENS: "Shorten the input.",
    Unit.OUTPUT_TOKENS: "Lower max_tokens.",
    Unit.USD: "Shorten the input, lower max_tokens or choose a cheaper model.",
    Unit.REQUESTS: "Split it: each prompt and each choice may count as a request.",
    Unit.CONCURRENT: "Ask the operator to raise the limit.",
}


def whole_down(amount: int) -> int:
    """Whole units in an amount of µ-units, rounded down; 0 for debt."""
    return amount // MICRO if amount > 0 else 0


def whole_up(amount: int) -> int:
    """Whole units (or seconds) in an amount of µ-units (or µs), rounded up."""
    return -(-amount // MICRO)


def duration(time: int) -> str:
    """A time in µs as Go writes durations, rounded up to the ms: ``12ms``, ``1.5s``, ``6m0s``."""
    milliseconds = -(-time // 1_000) if time > 0 else 0
    if not milliseconds:
        return "0s"
    if milliseconds < 1_000:  # noqa: PLR2004  the milliseconds in a second
        return f"{milliseconds}ms"
    seconds, milliseconds = divmod(milliseconds, 1_000)
    text = f".{milliseconds:03}".rstrip("0") if milliseconds else ""
    minutes, seconds = divmod(seconds, 60)
    if not minutes:
        return f"{seconds}{text}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}{text}s" if hours else f"{minutes}m{seconds}{text}s"


def moment(time: int) -> str:
    """A moment in µs as RFC 3339 has it, in UTC, rounded up to the second."""
    return _second(min(whole_up(time), _LAST))


def refusal(status: LineStatus, now: int, price: int, *, figures: bool, own: bool) -> str:
    """Why a line refuses, and what to do.

    Args:
        status: A line that refuses.
        now: The decision's moment, µs.
        price: The factor charged, in millionths.
        figures: Whether limit, use and request may be told.
        own: Whether only the caller itself is charged on the line.
    """
    quota = status.line.quota
    if quota.algorithm is Algorithm.LEASE:
        return _too_many(status, figures=figures, own=own)
    asked = status.line.minimum * price
    numbers = _numbers(status, -(-asked // MICRO)) if figures else ""
    if status.verdict is Verdict.NEVER:
        return (
            f"Request too large for budget {quota.name!r}{numbers}. It can never fit, however"
            f" long you wait. {_SMALLER[quota.unit]}"
        )
    return f"Rate limit reached for budget {quota.name!r}{numbers}. {_again(status.wait, now)}"


def short_refusal(status: LineStatus) -> str:
    """The same in a few words, without figures."""
    quota = status.line.quota
    if status.verdict is Verdict.NEVER:
        return f"request too large for budget {quota.name!r}"
    return f"budget {quota.name!r}: try again in {duration(status.wait)}"


@lru_cache(maxsize=256)  # calls of the same second mostly have resets of the same second
def _second(seconds: int) -> str:
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]}Z"


def _too_many(status: LineStatus, *, figures: bool, own: bool) -> str:
    quota = status.line.quota
    numbers = ""
    if figures:
        open_now = whole_up(quota.limit - status.remaining)
        numbers = f": limit {whole_down(quota.limit)} at once, {open_now} open"
    whose = "one of your calls" if own else "another call"
    return (
        f"Too many calls at once for budget {quota.name!r}{numbers}. Wait for {whose} to end, then"
        f" try again; please try again in {duration(status.wait)}."
    )


def _again(wait: int, now: int) -> str:
    at = f", at {moment(now + wait)}" if wait >= _SAID_BY_DATE else ""
    return f"Please try again in {duration(wait)}{at}."


def _numbers(status: LineStatus, asked: int) -> str:
    quota = status.line.quota
    unit = quota.unit
    burst = "" if quota.capacity == quota.limit else f", {_amount(quota.capacity, unit)} at once"
    used = _amount(quota.capacity - status.remaining, unit, up=True)
    return (
        f": limit {_amount(quota.limit, unit)} {_named(unit)} per {_period(quota)}{burst},"
        f" used {used}, requested {_amount(asked, unit, up=True)}"
    )


def _amount(amount: int, unit: Unit, *, up: bool = False) -> str:
    if unit is not Unit.USD:
        return str(whole_up(amount) if up else whole_down(amount))
    units, rest = divmod(max(0, amount), MICRO)
    return f"{units}.{rest:06}".rstrip("0") if rest else str(units)


def _named(unit: Unit) -> str:
    return "USD" if unit is Unit.USD else unit.value.replace("_", " ")


def _period(quota: Quota) -> str:
    seconds = max(1, quota.window // SECOND)
    if seconds in _PERIODS:
        return _PERIODS[seconds]
    days, rest = divmod(seconds, _DAY)
    if quota.algorithm is Algorithm.CALENDAR and days in _MONTH_DAYS:
        return "month"
    if quota.algorithm is Algorithm.CALENDAR and days in _YEAR_DAYS:
        return "year"
    return f"{seconds} seconds" if rest else f"{days} days"
