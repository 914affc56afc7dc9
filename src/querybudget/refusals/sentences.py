"""Amounts, waits and sentences, for people and for the headers that people read."""

from __future__ import annotations

from querybudget.ledger import LineStatus, Verdict
from querybudget.text import duration, in_units, moment, period, unit_name, whole_down, whole_up
from querybudget.units import MICRO, SECOND, Algorithm, Unit

__all__ = ["refusal", "short_refusal"]

_SAID_BY_DATE = 60 * SECOND
"""From this wait on, the moment of its end is said as well."""

_SMALLER = {
    Unit.TOKENS: "Shorten the input or lower max_tokens.",
    Unit.INPUT_TOKENS: "Shorten the input.",
    Unit.OUTPUT_TOKENS: "Lower max_tokens.",
    Unit.USD: "Shorten the input, lower max_tokens or choose a cheaper model.",
    Unit.REQUESTS: "Split it: each prompt and each choice may count as a request.",
    Unit.CONCURRENT: "Ask the operator to raise the limit.",
}


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
        f": limit {_amount(quota.limit, unit)} {unit_name(unit)} per {period(quota)}{burst},"
        f" used {used}, requested {_amount(asked, unit, up=True)}"
    )


def _amount(amount: int, unit: Unit, *, up: bool = False) -> str:
    if unit is Unit.USD:
        return in_units(max(0, amount))
    return str(whole_up(amount) if up else whole_down(amount))
