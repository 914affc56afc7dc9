"""Report callers that look like a sweep while budgets of buckets only watch.

A hook is called with one event for each call. This one keeps what each caller asks for. It reports
a caller when its strain first gets high, and again when it gets clearly higher. To see it:
python examples/watch_sweeps.py
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import LRUCache

from querybudget import DecisionEvent, QueryBudgetMiddleware
from querybudget.asgi.types import ASGIApp
from querybudget.testing import FakeModel, drive, http_scope, request, sweep

logger = logging.getLogger(__name__)

UNUSUAL, MORE = 400_000, 100_000
"""Strain in millionths: where to report a caller (one is suspect at 0.65), and again."""

POLICY = {
    "secret": "put 16 random bytes or more here",
    "identity": ["api_key"],
    "budgets": [
        {"name": "requests", "limit": "600 requests/minute"},
        # Without `mode: enforce` this budget only watches, and changes no call.
        {"name": "breadth", "limit": "400 buckets/30 days", "then": {"slow": 0.65, "refuse": 1}},
    ],
}


@dataclass
class History:
    """What was seen of one caller."""

    reported: int = 0
    calls: int = 0
    new: int = 0
    capabilities: Counter[str] = field(default_factory=Counter[str])


class Watch:
    """A hook. Events contain keyed hashes and numbers, never a caller's name or a prompt."""

    def __init__(self, report: Callable[[str], object], limit: int = 10_000) -> None:
        self._report = report
        self._callers: LRUCache[str, History] = LRUCache(limit)

    def __call__(self, event: DecisionEvent) -> None:
        """Count a call, and report its caller if its strain is high."""
        if not event.covered:
            return
        history = self._callers.setdefault(event.identity.key, History())
        history.calls += 1
        history.new += event.novelty
        history.capabilities.update(event.capabilities)
        if event.strain >= max(UNUSUAL, history.reported + MORE):
            history.reported = event.strain
            asks = ", ".join(name for name, _ in history.capabilities.most_common(3))
            why = ", ".join(reason.signal for reason in event.reasons if reason.share > 0)
            self._report(
                f"{event.identity.key}: strain {event.strain / 1e6:.2f} after {history.calls} calls"
                f" in {history.new} buckets, mostly {asks or 'nothing known'}; it would be:"
                f" {event.shadow_stage}, at {event.shadow_price / 1e6:.1f} times the price, for its"
                f" {why or 'buckets'}"
            )


def profiled(
    app: ASGIApp, report: Callable[[str], object] = logger.warning
) -> QueryBudgetMiddleware:
    """Return an application whose callers are watched."""
    return QueryBudgetMiddleware(app, policy=POLICY, hooks=[Watch(report)])


async def main() -> None:
    """Sweep a fake model."""
    app = profiled(FakeModel(), print)
    for prompt in sweep(130):
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        await drive(app, http_scope(key="sweeper"), request(body))


if __name__ == "__main__":
    asyncio.run(main())
