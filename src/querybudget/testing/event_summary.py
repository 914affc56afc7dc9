"""What became of calls, for the message of an assertion that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from querybudget.adapters.base import UNREADABLE
from querybudget.events import DecisionEvent
from querybudget.text import wait
from querybudget.units import MICRO, SECOND

MOST_CALLERS = 5
"""Callers whose calls are shown one kind after the other."""

MOST_KINDS = 6
"""Kinds of calls that are shown of a caller."""

UNREAD = "with a body that cannot be read"

_STAGED = {"slow": "slowed", "degrade": "degraded", "refuse": "refused"}


def summary(
    events: Iterable[DecisionEvent], name_of: Callable[[DecisionEvent], str], first: str = ""
) -> str:
    """Return what became of calls: a new line for each caller, calls alike counted together.

    Args:
        events: In order of arrival.
        name_of: What the test calls an event's caller.
        first: The caller to begin with.
    """
    callers: dict[str, list[DecisionEvent]] = {}
    for event in events:
        callers.setdefault(name_of(event), []).append(event)
    if not callers:
        return " no calls at all"
    names = sorted(callers, key=lambda name: name != first)
    lines = [f"{name}: {_kinds(callers[name])}" for name in names[:MOST_CALLERS]]
    if others := names[MOST_CALLERS:]:
        count = sum(len(callers[name]) for name in others)
        lines.append(f"and {counted(count, 'call')} of {counted(len(others), 'other')}")
    return "".join(f"\n  {line}" for line in lines)


def between(values: Iterable[int], written: Callable[[int], str]) -> str:
    """Return the range of some amounts, or the one that they all are."""
    words = [written(value) for value in sorted(set(values))]
    return words[0] if words[0] == words[-1] else f"{words[0]} to {words[-1]}"


def counted(count: int, word: str) -> str:
    """Return a number of things: ``1 call``, ``3 calls``."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def in_shadow(event: DecisionEvent) -> str:
    """Return what budgets in shadow would have done to a call, in words; empty for nothing."""
    if event.shadowed:
        return f" (in shadow: refused by {', '.join(event.shadowed)})"
    if event.shadow_stage in {"none", event.stage}:
        return ""
    return f" (in shadow: {_STAGED[event.shadow_stage]})"


def _kinds(events: Sequence[DecisionEvent]) -> str:
    kinds: dict[str, list[DecisionEvent]] = {}
    for event in events:
        kinds.setdefault(_kind(event), []).append(event)
    shown = list(kinds.items())[:MOST_KINDS]
    parts = [f"{len(alike)} {kind}{_ranges(alike)}" for kind, alike in shown]
    rest = len(events) - sum(len(alike) for _, alike in shown)
    return "; ".join([*parts, f"and {counted(rest, 'other')}"] if rest else parts)


def _kind(event: DecisionEvent) -> str:
    call = f"{event.method} {event.path}"
    if event.operation == UNREADABLE:
        call += f" {UNREAD}"
    if event.settlement:
        stage = f" ({event.stage})" if event.stage != "none" else ""
        return f"{call} admitted{stage}, answered {event.status}{in_shadow(event)}"
    by = f" by {', '.join(event.violated)}" if event.violated else ""
    return f"{call} refused ({event.verdict}){by}"


def _ranges(events: Sequence[DecisionEvent]) -> str:
    """Return the prices, delays and waits of calls that are otherwise alike."""
    if not events[0].settlement:
        waits = {event.wait for event in events}
        return f" for {between(waits, wait)}" if any(waits) else ""
    prices, delays = {event.price for event in events}, {event.delay for event in events}
    price = f", at price {between(prices, _price)}" if max(prices) > MICRO else ""
    return price + (f", after {between(delays, _seconds)}" if any(delays) else "")


def _price(price: int) -> str:
    return f"{price / MICRO:.2f}"


def _seconds(time: int) -> str:
    return f"{time / SECOND:.2f} s"
