"""The fixture of every edge test: a middleware in memory, a manual clock, a view into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import anyio.lowlevel
import pytest

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.types import ASGIApp
from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.limiter import Limiter, PromptAnalyzer
from querybudget.limiter.limiter import Sleep
from querybudget.policy.model import Policy
from querybudget.resilience.guard import Wait
from querybudget.stores import MemoryStore
from querybudget.testing import Decisions, ManualClock
from querybudget.units import MICRO, Micros, Quota


class Suspending:
    """A memory store whose verbs suspend before and after, as those of a remote store do."""

    suspends = True

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner

    async def reserve(self, charge: Charge) -> Decision:
        await anyio.lowlevel.checkpoint()
        decision = await self.inner.reserve(charge)
        await anyio.lowlevel.checkpoint()
        return decision

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        await anyio.lowlevel.checkpoint()
        settled = await self.inner.settle(reservation, amounts)
        await anyio.lowlevel.checkpoint()
        return settled

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        await anyio.lowlevel.checkpoint()
        expires = await self.inner.renew(reservation, ttl)
        await anyio.lowlevel.checkpoint()
        return expires

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        return await self.inner.peek(partition, quotas)

    async def forget(self, partition: str) -> bool:
        return await self.inner.forget(partition)

    async def aclose(self) -> None:
        await self.inner.aclose()


async def patiently(futures: Collection[asyncio.Future[Any]], seconds: float) -> None:
    """Wait for a store without a time-out: on a slow machine it is late without being down."""
    await asyncio.wait(futures)


class Edge:
    """A middleware over an application, and what its limiter holds."""

    def __init__(
        self,
        app: ASGIApp,
        policy: Mapping[str, Any],
        *,
        suspends: bool = False,
        analyzer: PromptAnalyzer | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.sleep: Sleep = asyncio.sleep
        self.wait: Wait = patiently
        self.decisions = Decisions()
        self.policy = Policy.load({"version": 1, "identity": ["api_key"], **policy})
        self.memory = MemoryStore(self.clock)
        self.store: Any = Suspending(self.memory) if suspends else self.memory
        self.limiter = Limiter(
            self.policy,
            store=self.store,
            clock=self.clock,
            sleep=self._sleep,
            wait=self._wait,
            hooks=[self.decisions],
            analyzer=analyzer,
        )
        self.app = QueryBudgetMiddleware(app, limiter=self.limiter)

    async def _sleep(self, seconds: float) -> None:
        await self.sleep(seconds)

    async def _wait(self, futures: Collection[asyncio.Future[Any]], seconds: float) -> None:
        await self.wait(futures, seconds)

    @property
    def accounts(self) -> dict[str, Account]:
        return {**self.memory._newcomers, **self.memory._known}

    @property
    def held(self) -> int:
        """The number of open reservations."""
        return sum(len(account.open) for account in self.accounts.values())

    async def quiet(self) -> None:
        """Wait for settlements in the background."""
        while self.limiter.busy:
            await anyio.lowlevel.checkpoint()

    async def used(self, budget: str) -> int:
        """Return the whole units used of a budget by all its partitions."""
        used = await self.micro_used(budget)
        assert used % MICRO == 0
        return used // MICRO

    async def micro_used(self, budget: str) -> int:
        """Return the µ-units used of a budget: a price may leave no whole number of units."""
        quota = next(b.quota for b in self.policy.budgets if b.name == budget)
        used = 0
        for name in self.accounts:
            ((remaining, _reset),) = await self.store.peek(name, (quota,))
            used += quota.capacity - remaining
        return used


class MakeEdge(Protocol):
    """Puts a middleware with a policy over an application."""

    def __call__(
        self,
        app: ASGIApp,
        policy: Mapping[str, Any],
        *,
        suspends: bool = False,
        analyzer: PromptAnalyzer | None = None,
    ) -> Edge: ...


@pytest.fixture
def make_edge() -> MakeEdge:
    return Edge
