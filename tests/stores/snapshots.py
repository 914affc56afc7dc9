"""Stores in memory that come one after the other, over one file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from querybudget.ledger import Charge, Line, Reservation
from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

HOLD = 600 * SECOND
DAY = Quota("day", Unit.REQUESTS, 9 * MICRO, 86_400 * SECOND, Algorithm.SLIDING, 9 * MICRO)
SLOTS = Quota("slots", Unit.CONCURRENT, 9 * MICRO, 0, Algorithm.LEASE, 9 * MICRO)
SOON = 1
LATER = 3_600 * SECOND


class Bench:
    """One of them at a time."""

    def __init__(self, path: Path, *, every: int = LATER, most: int = 100) -> None:
        self.path, self.every, self.most = path, every, most
        self.clock = ManualClock()
        self.count = 0
        self.seen: asyncio.Task[None] | None = None
        self.store = self.made()

    def made(self) -> MemoryStore:
        return MemoryStore(
            self.clock,
            max_identities=self.most,
            snapshot=str(self.path),
            snapshot_every=self.every,
        )

    async def restart(self) -> None:
        await self.store.aclose()
        self.store = self.made()

    async def open(self, who: str, quota: Quota = DAY) -> Reservation:
        self.count += 1
        charge = Charge(f"r{self.count}", (Line(who, quota, MICRO, MICRO),), HOLD)
        reservation = (await self.store.reserve(charge)).reservation
        assert reservation
        return reservation

    async def answered(self, *people: str) -> None:
        for who in people:
            await self.store.settle(await self.open(who), [MICRO])

    async def left(self, *people: str) -> list[int]:
        return [(await self.store.peek(who, [DAY]))[0][0] // MICRO for who in people]

    async def saved(self) -> None:
        """Wait for the snapshot that is due."""
        assert self.store._saver
        for _ in range(10_000):
            task = self.store._saver._saving
            if task is not None and task is not self.seen:
                self.seen = task
                await task
                return
            await asyncio.sleep(0)
        raise AssertionError("nothing was saved")

    def timer(self) -> bool:
        assert self.store._saver
        return self.store._saver._timer is not None

    def logged(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        return [record.getMessage() for record in caplog.records]
