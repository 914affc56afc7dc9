"""A real server on a real socket, the official clients, and their sleeps moved onto our clock."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import anthropic
import anyio
import openai
import pytest

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.limiter.limiter import Sleep
from querybudget.testing import (
    Decisions,
    FakeAnalyzer,
    FakeModel,
    ManualClock,
    memory_limiter,
    serving,
)
from querybudget.units import MICRO


@dataclass
class Service:
    """A model server behind budgets, and what a test may ask of it.

    The clients' sleeps advance `clock`, and are noted in `sleeps`, in seconds.
    """

    url: str
    model: FakeModel
    clock: ManualClock
    decisions: Decisions
    sleeps: list[float]
    settled: threading.Semaphore
    limiter: Any
    delay: Sleep = asyncio.sleep

    def openai(self, *, key: str = "alice", retries: int = 0) -> openai.OpenAI:
        return openai.OpenAI(api_key=key, base_url=f"{self.url}/v1", max_retries=retries)

    def anthropic(self, *, key: str = "alice", retries: int = 0) -> anthropic.Anthropic:
        return anthropic.Anthropic(api_key=key, base_url=self.url, max_retries=retries)

    @property
    def held(self) -> int:
        store = self.limiter.store
        accounts = [*store._newcomers.values(), *store._known.values()]
        return sum(len(account.open) for account in accounts)

    def remaining(self, budget: str) -> int:
        """What the last caller has left of a budget, in whole units."""
        # A call is settled before its last message, but its event may come after that.
        if not self.decisions.events and self.settled.acquire(timeout=300):
            self.settled.release()
        quota = next(b.quota for b in self.limiter.policy.budgets if b.name == budget)
        key = self.decisions.last.identity.key
        ((left, _reset),) = anyio.run(self.limiter.store.peek, key, (quota,))
        return int(left) // MICRO


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Service]]:
    """Serve a policy; every client of this test then sleeps on that server's clock."""
    running = ExitStack()

    def start(
        *budgets: dict[str, Any], analyzer: FakeAnalyzer | None = None, **policy: Any
    ) -> Service:
        clock, decisions, settled = ManualClock(), Decisions(), threading.Semaphore(0)

        async def delay(seconds: float) -> None:
            await service.delay(seconds)

        limiter = memory_limiter(
            {"version": 1, "identity": ["api_key"], "budgets": list(budgets), **policy},
            clock=clock,
            hooks=[decisions, lambda event: settled.release()],
            analyzer=analyzer,
            sleep=delay,
        )
        model = FakeModel()
        app = QueryBudgetMiddleware(model, limiter=limiter)
        options = {"log_level": "critical", "lifespan": "on", "ws": "none"}
        url = running.enter_context(serving(app, **options))
        sleeps: list[float] = []
        _sleep_on(clock, sleeps, monkeypatch)
        service = Service(url, model, clock, decisions, sleeps, settled, limiter)
        return service

    with running:
        yield start


def _sleep_on(clock: ManualClock, sleeps: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        clock.advance(seconds)

    ours = SimpleNamespace(**{**vars(time), "sleep": sleep})
    for client in (openai, anthropic):
        monkeypatch.setattr(f"{client.__name__}._base_client.time", ours)
