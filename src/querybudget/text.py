"""Limits, amounts and times, for people."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from querybudget.coverage.response import BucketResponse, Curve, Stage
from querybudget.policy.model import Budget
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

__all__ = ["amount", "limit", "number", "pooled", "responding", "share", "span"]

_SPANS = (
    (86_400 * SECOND, "day"),
    (3_600 * SECOND, "hour"),
    (60 * SECOND, "minute"),
    (SECOND, "second"),
)
_STAGES = {Stage.SLOW: "slowed", Stage.DEGRADE: "degraded", Stage.REFUSE: "refused"}
_CALENDAR = {1: "day", 7: "week", 30: "month", 365: "year"}


def number(micro: int) -> int | float:
    """µ-units in units: whole where they are whole."""
    return micro // MICRO if micro % MICRO == 0 else micro / MICRO


def amount(micro: int, unit: Unit) -> str:
    """An amount with its unit: ``1,200 tokens``, ``$0.0042``, ``1 call at once``."""
    value = Decimal(micro) / MICRO
    if unit is Unit.USD:
        return f"-${-value:,f}" if value < 0 else f"${value:,f}"
    word = "calls at once" if unit is Unit.CONCURRENT else unit.value.replace("_", " ")
    if value == 1:
        word = word.replace("calls", "call").removesuffix("s")
    return f"{value:,f} {word}"


def limit(quota: Quota) -> str:
    """A quota: ``60 requests in any minute``."""
    text = amount(quota.limit, quota.unit)
    match quota.algorithm:
        case Algorithm.LEASE:
            return text
        case Algorithm.CALENDAR:
            days = round(quota.window / (86_400 * SECOND))
            return f"{text} per calendar {_CALENDAR.get(days, span(quota.window))}"
        case Algorithm.GCRA:
            return f"{text} per {_one(quota.window)}, {amount(quota.burst, quota.unit)} at once"
        case Algorithm.SLIDING | Algorithm.DISTINCT:
            return f"{text} in any {_one(quota.window)}"


def pooled(budget: Budget) -> str:
    """What a budget is pooled over: ``each identity and model``."""
    if budget.per == ("everyone",):
        return "everyone together"
    return "each " + " and ".join(budget.per)


def responding(response: BucketResponse) -> Iterator[str]:
    """What follows as a budget in buckets is spent, a sentence for each thing."""
    if response.cap == MICRO:
        yield "a call never costs more"
    else:
        rise = "in a line" if response.curve is Curve.LINEAR else f"{response.curve}"
        most = number(response.price(MICRO))
        yield f"a call costs more from {share(response.free)} of it on, up to {most} times ({rise})"
    begins = [f"{_STAGES[stage]} from {share(begin)} on" for stage, begin in response.stages]
    if begins and response.stages[0][0] is Stage.SLOW:
        begins[0] += f" by up to {span(response.delay)}"
    if Stage.REFUSE not in dict(response.stages):
        begins.append("refused where they need more than is left")
    yield f"calls are {', '.join(begins)}"
    yield f"a sweep score {'counts like a share spent' if response.scored else 'does not count'}"


def share(millionths: int) -> str:
    """A share: ``70 %``."""
    return f"{number(millionths * 100)} %"


def span(time: int) -> str:
    """A time in µs in the largest unit that it fills: ``90 seconds``, ``1.5 hours``."""
    for length, word in _SPANS:
        if time >= length:
            count = Decimal(time) / length
            text = f"{count:.1f}".removesuffix(".0")
            return f"{text} {word}{'' if text == '1' else 's'}"
    return f"{-(-time // 1_000)} ms"


def _one(time: int) -> str:
    return span(time).removeprefix("1 ")
