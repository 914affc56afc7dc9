"""One account's traffic in three kinds of window, side by side: sliding, GCRA and calendar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from querybudget.ledger.windows import fresh
from querybudget.policy.model import Budget, Policy
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO, Algorithm, Quota, Unit

KINDS = (Algorithm.SLIDING, Algorithm.GCRA, Algorithm.CALENDAR)
SHOWN = 4
"""Windows that are shown: those in which most was used."""

SAMPLES = 400
"""Moments at which use is read, besides those of the calls."""


class WindowUse(msgspec.Struct, frozen=True):
    """What an account's traffic uses of a limit in one kind of window.

    Attributes:
        name: The kind of window.
        limit: In the unit of the budget.
        times: Moments, µs.
        used: What is used then, in the unit of the budget.
        refused: When calls were refused, µs.
    """

    name: str
    limit: float
    times: list[int]
    used: list[float]
    refused: list[int]


def uses(quota: Quota, calls: Sequence[tuple[int, int]]) -> list[WindowUse]:
    """Return what calls use of a quota's limit in each kind of window.

    A call that does not fit is refused and uses nothing, as by the ledger.

    Args:
        quota: The budget's; its own kind of window does not matter.
        calls: When each call was made, µs, and how many µ-units it uses, oldest first.
    """
    begin, end = _busiest(calls, quota.window)
    return [_use(_like(quota, kind), calls, begin, end) for kind in KINDS]


def _like(quota: Quota, kind: Algorithm) -> Quota:
    """Return the same limit in another kind of window; a calendar's begin at whole multiples."""
    window = quota.window

    def bounds(now: int) -> tuple[int, int]:
        begin = now - now % window
        return begin, begin + window

    calendar = kind is Algorithm.CALENDAR
    return Quota(
        quota.name,
        quota.unit,
        quota.limit,
        window,
        kind,
        quota.limit,
        bounds if calendar else None,
    )


def _use(quota: Quota, calls: Sequence[tuple[int, int]], begin: int, end: int) -> WindowUse:
    state, refused = fresh(quota), list[int]()
    pause = max(1, (end - begin) // SAMPLES)
    moments: list[tuple[int, int]] = [(at, 0) for at in range(begin, end, pause)]
    times: list[int] = []
    used: list[float] = []
    for at, amount in sorted([*moments, *((at, n) for at, n in calls if at < end)]):
        room = state.room(quota, at)
        if amount and amount <= room:
            state.charge(quota, amount, at)
            room -= amount
        elif amount and at >= begin:
            refused.append(at)
        if at >= begin:
            times.append(at)
            used.append((quota.limit - room) / MICRO)
    return WindowUse(quota.algorithm.value, quota.limit / MICRO, times, used, refused)


def _busiest(calls: Sequence[tuple[int, int]], window: int) -> tuple[int, int]:
    """Return begin and end of the stretch of `SHOWN` windows in which most was used."""
    length, first, total = SHOWN * window, 0, 0
    best, begin = -1, calls[0][0]
    for at, amount in calls:
        total += amount
        while calls[first][0] <= at - length:
            total -= calls[first][1]
            first += 1
        if total > best:
            best, begin = total, calls[first][0]
    begin -= length // 20
    return begin, begin + length + length // 10


def is_shown(quota: Quota) -> bool:
    """Return True if the three kinds of window can keep a quota."""
    return quota.window > 0 and quota.unit not in {Unit.CONCURRENT, Unit.BUCKETS}


def busiest(
    policy: Policy, calls: Mapping[str, Sequence[TrafficRecord]]
) -> tuple[Budget, str, list[tuple[int, int]]] | None:
    """Return the budget and the account that used the most of it, with its calls."""
    best: tuple[float, Budget, str, list[tuple[int, int]]] | None = None
    for budget in policy.budgets:
        if not is_shown(budget.quota):
            continue
        for account, records in calls.items():
            amounts = [(record.at, _amount(budget, record)) for record in records]
            amounts = [(at, amount) for at, amount in amounts if amount]
            if amounts:
                peak = max(_peaks(amounts, budget.quota.window)) / budget.quota.limit
                if best is None or peak > best[0]:
                    best = peak, budget, account, amounts
    return None if best is None else best[1:]


def _peaks(amounts: Sequence[tuple[int, int]], window: int) -> Iterator[int]:
    first = total = 0
    for at, amount in amounts:
        total += amount
        while amounts[first][0] <= at - window:
            total -= amounts[first][1]
            first += 1
        yield total


def _amount(budget: Budget, record: TrafficRecord) -> int:
    """Return what a call took, or if it was refused would have taken, of a budget in µ-units."""
    if budget.name in record.charged:
        return record.charged[budget.name]
    used = record.usage or record.expected
    match budget.quota.unit:
        case Unit.REQUESTS:
            return MICRO
        case Unit.TOKENS:
            return MICRO * (used.input + used.output)
        case Unit.INPUT_TOKENS:
            return MICRO * used.input
        case Unit.OUTPUT_TOKENS:
            return MICRO * used.output
        case _:
            return 0
