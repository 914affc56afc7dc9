"""What is charged: budgets as a policy has them, and calls as the limiter would make them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Any

from benchmarks.stores.prompts import KINDS, PATH, requests
from querybudget.adapters import adapter_for
from querybudget.adapters.base import Target
from querybudget.coverage import Observation
from querybudget.embedding.analyzer import EmbeddingAnalyzer, open_analyzer
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled
from querybudget.policy.model import Budget, Mode, Policy
from querybudget.stores import Store
from querybudget.units import MICRO, ORDINARY_PRICE, SECOND, Unit

__all__ = ["COVERED", "FOUR", "ONE", "SLIDING", "Ours", "budgets", "observations", "partition"]

HOLD = 900 * SECOND

ONE = ({"limit": "1_000_000 requests/minute"},)
FOUR = (
    *ONE,
    {"limit": "1_000_000_000 tokens/day"},
    {"limit": "1_000_000 usd/month", "window": "calendar"},
    {"limit": "10_000 concurrent"},
)
"""The README's kinds of budget, ample: whatever is measured is admitted."""

SLIDING = (*FOUR[:2], {"limit": "1_000_000 usd/30 days"}, {"limit": "1_000_000 requests/hour"})
"""As many for a store that keeps sliding windows only."""

COVERED = (
    *FOUR,
    {
        "limit": "1500 buckets/30 days",
        "price": {"free": 0.5, "cap": 10},
        "then": {"slow": 0.7, "degrade": 0.85, "refuse": 1},
        "mode": "shadow",
    },
)
"""Four budgets, and one in buckets as the shipped preset has it."""

_HELD = {Unit.TOKENS: 620 * MICRO, Unit.USD: 4_550}
_SURE = {Unit.TOKENS: 220 * MICRO, Unit.USD: 550}
_USED = {Unit.TOKENS: 316 * MICRO, Unit.USD: 1_510}


def policy(limits: Sequence[dict[str, Any]]) -> Policy:
    return Policy.load(
        {
            "version": 1,
            "secret": "a benchmark keeps no secrets",
            "identity": ["api_key"],
            "models": {"bench-*": {"input": 2.5, "output": 10}},
            "budgets": [{"name": f"b{n}", **limit} for n, limit in enumerate(limits)],
        }
    )


def budgets(limits: Sequence[dict[str, Any]]) -> tuple[Budget, ...]:
    return policy(limits).budgets


@cache
def partition(caller: int, of: str = "") -> str:
    """The account of a caller, named as the limiter names them."""
    return blake2b(f"{of} {caller}".encode(), digest_size=16).hexdigest()


async def observations(kind: str, callers: int, each: int) -> list[list[Observation]]:
    """What so many calls of so many callers show of themselves, by the shipped embedding.

    Args:
        kind: One of `KINDS`, or `mixed`: half persons, the rest applications but for every tenth.
        callers: How many.
        each: Calls of each.
    """
    adapter, analyzer = adapter_for(PATH, "POST", ()), _analyzer()
    assert adapter is not None
    found = [
        [
            await analyzer.analyze(adapter.parse(Target(PATH), body), str(caller))
            for body in requests(_kind(kind, caller), caller, each)
        ]
        for caller in range(callers)
    ]
    assert analyzer.missed == 0
    return found


@cache
def _analyzer() -> EmbeddingAnalyzer:
    """Of the shipped embedding; it has nothing to be closed."""
    return open_analyzer(policy(COVERED), b"a key of the benchmark")


def _kind(kind: str, caller: int) -> str:
    if kind != "mixed":
        return kind
    return KINDS[2] if caller % 10 == 9 else KINDS[caller % 2]


@dataclass
class Ours:
    """A store of ours under load.

    Attributes:
        store: The store.
        budgets: What each call is charged on.
        shown: Of each caller, what its calls show, in turn; empty where no budget looks.
        name: Of the accounts, apart from those of other loads on the same server.
    """

    store: Store
    budgets: tuple[Budget, ...]
    shown: Sequence[Sequence[Observation]] = ()
    name: str = ""
    _prefix: str = field(default_factory=lambda: os.urandom(8).hex())
    _count: itertools.count[int] = field(default_factory=itertools.count)
    _asked: dict[int, int] = field(default_factory=dict[int, int])

    def __post_init__(self) -> None:
        self._amounts = tuple(_USED.get(one.quota.unit, MICRO) for one in self.budgets)

    def charge(self, caller: int) -> Charge:
        return self.charged(partition(caller, self.name), caller)

    def charged(self, who: str, caller: int) -> Charge:
        """A charge of an account, which shows what this caller shows next."""
        lines = tuple(_line(who, budget) for budget in self.budgets)
        name = f"{self._prefix}{next(self._count):x}"
        if not self.shown:
            return Charge(name, lines, HOLD)
        shown, asked = self.shown[caller % len(self.shown)], self._asked.get(caller, 0)
        self._asked[caller] = asked + 1
        return Charge(name, lines, HOLD, ORDINARY_PRICE, shown[asked % len(shown)], (who,))

    async def reserve(self, caller: int) -> Decision:
        return await self.store.reserve(self.charge(caller))

    async def settle(self, reservation: Reservation) -> None:
        settled = await self.store.settle(reservation, self._amounts)
        assert settled is Settled.DONE, settled

    async def ask(self, caller: int) -> bool:
        """One call, from its reservation to its settlement; whether it was admitted."""
        decision = await self.reserve(caller)
        if decision.reservation is None:
            return False
        await self.settle(decision.reservation)
        return True


def _line(who: str, budget: Budget) -> Line:
    quota, shadow = budget.quota, budget.mode is Mode.SHADOW
    held, sure = _HELD.get(quota.unit, MICRO), _SURE.get(quota.unit, MICRO)
    return Line(who, quota, held, sure, shadow, budget.response)
