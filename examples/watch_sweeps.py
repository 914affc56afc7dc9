"""Say who looks like a sweep, and what they ask for, while budgets in buckets only watch.

A hook hears one event for each call. This one keeps the most suspect callers, tells of each of them
when it first gets suspect, and again when it gets clearly more so.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import LRUCache

from querybudget import DecisionEvent, QueryBudgetMiddleware
from querybudget.asgi.types import ASGIApp

logger = logging.getLogger(__name__)

SUSPECT, MORE = 650_000, 150_000
"""Strain in millionths: where to tell of a caller, and how much more is worth telling again."""

POLICY = {
    "secret": "put 16 random bytes or more here",
    "identity": ["api_key"],
    "budgets": [
        {"name": "requests", "limit": "600 requests/minute"},
        # Without `mode: enforce` of its own it watches, and changes nothing for anybody.
        {"name": "breadth", "limit": "400 buckets/30 days", "then": ["slow", "degrade", "refuse"]},
    ],
}


@dataclass
class Seen:
    """What was seen of one caller."""

    told: int = 0
    calls: int = 0
    new: int = 0
    asked_for: Counter[str] = field(default_factory=Counter[str])


class Watch:
    """A hook. It is given keyed hashes and numbers, never who a caller is or what was asked."""

    def __init__(self, tell: Callable[[str], object], most: int = 10_000) -> None:
        self._tell = tell
        self._seen: LRUCache[str, Seen] = LRUCache(most)

    def __call__(self, event: DecisionEvent) -> None:
        """Hear of a call."""
        if not event.covered:
            return
        seen = self._seen.setdefault(event.identity.key, Seen())
        seen.calls += 1
        seen.new += event.novelty
        seen.asked_for.update(event.capabilities)
        if event.strain >= max(SUSPECT, seen.told + MORE):
            seen.told = event.strain
            most = ", ".join(name for name, _ in seen.asked_for.most_common(3)) or "nothing known"
            why = ", ".join(reason.signal for reason in event.reasons if reason.share > 0)
            self._tell(
                f"{event.identity.key}: strain {event.strain / 1e6:.2f} after {seen.calls} calls in"
                f" {seen.new} buckets, mostly {most}; it would be: {event.shadow_stage}, at"
                f" {event.shadow_price / 1e6:.1f} times the price, for its {why or 'buckets'}"
            )


def profiled(app: ASGIApp, tell: Callable[[str], object] = logger.warning) -> QueryBudgetMiddleware:
    """An application whose callers are watched."""
    return QueryBudgetMiddleware(app, policy=POLICY, hooks=[Watch(tell)])
