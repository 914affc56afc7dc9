"""How a request grows with the budgets of a policy, and with the rules that do not apply to it."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from benchmarks.overhead.cases import application, policy, querybudget
from benchmarks.overhead.measure import ASGIApp, Request, answer

__all__ = ["BUDGETS", "RULES", "budgeted", "growth", "ruled"]

BUDGETS = (1, 2, 4, 8, 16, 32, 64)
"""Budgets of a policy, all of which apply."""

RULES = (1, 10, 100, 1_000)
"""Budgets with a `match` of which none applies, beside one that does; and as many tiers."""

CALLERS = 64
PLAIN = Request("GET", "/items")

Record = dict[str, Any]


def budgeted(count: int) -> dict[str, Any]:
    return policy(*(f"{1_000_000 + n} requests/{n + 1} hours" for n in range(count)))


def ruled(count: int) -> dict[str, Any]:
    found = policy("1_000_000 requests/minute")
    others = [
        {"name": f"rule{n}", "limit": "10 requests/hour", "match": {"path": f"/never/{n}"}}
        for n in range(count)
    ]
    return found | {"budgets": [*found["budgets"], *others]}


def tiered(count: int) -> dict[str, Any]:
    tiers = {
        f"tier{n}": {"when": {"claim": {"plan": f"p{n}"}}, "scale": {"requests": 2}}
        for n in range(count)
    }
    return policy("1_000_000 requests/minute") | {"tiers": tiers}


async def growth(rounds: int, calls: int) -> list[Record]:
    """A record of each policy: kind, count, and us of processor time added to a request."""
    made: dict[tuple[str, int], ASGIApp] = {("none", 0): application()}
    for kind, counts, settings in (
        ("budgets", BUDGETS, budgeted),
        ("rules", RULES, ruled),
        ("tiers", RULES, tiered),
    ):
        for count in counts:
            made[kind, count] = querybudget(settings(count), application())
    samples: dict[tuple[str, int], list[float]] = {key: [] for key in made}
    for at in range(rounds + 1):
        for key, app in made.items():
            begin = time.thread_time_ns()
            statuses = {await answer(app, PLAIN, caller % CALLERS) for caller in range(calls)}
            taken = time.thread_time_ns() - begin
            assert statuses == {200}, key
            if at:  # the first round warms them
                samples[key].append(taken / calls / 1000)
    bare = samples.pop(("none", 0))
    return [
        {
            "kind": kind,
            "count": count,
            "us": round(median(a - b for a, b in zip(own, bare, strict=True)), 2),
        }
        for (kind, count), own in samples.items()
    ]
