"""A SQLite store, and short methods for what tests do with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from querybudget.coverage import Observation
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled
from querybudget.stores.sqlite.store import SqliteStore
from querybudget.testing import ManualClock
from querybudget.units import MICRO, ORDINARY_PRICE, SECOND, Algorithm, Quota, Unit

HOLD = 600 * SECOND
MINUTE = 60 * SECOND
DAY = 24 * 3_600 * SECOND
RPM = Quota("rpm", Unit.REQUESTS, 10 * MICRO, MINUTE, Algorithm.SLIDING, 10 * MICRO)
SLOTS = Quota("slots", Unit.CONCURRENT, 2 * MICRO, 0, Algorithm.LEASE, 2 * MICRO)
BREADTH = Quota("breadth", Unit.BUCKETS, 40 * MICRO, DAY, Algorithm.SLIDING, 40 * MICRO)


class SqliteFixture:
    def __init__(self, path: Path, max_identities: int = 100, **options: Any) -> None:
        self.path = path
        self.clock = ManualClock()
        self.max_identities = max_identities
        self.options = options
        self.store = self.another()
        self.count = 0

    def another(self) -> SqliteStore:
        return SqliteStore(
            self.path, self.clock, max_identities=self.max_identities, **self.options
        )

    async def reopen(self) -> None:
        await self.store.aclose()
        self.store = self.another()

    async def reserve(
        self,
        *partitions: str,
        quota: Quota = RPM,
        amount: int = MICRO,
        observation: Observation | None = None,
    ) -> Decision:
        self.count += 1
        self.clock.advance(us=1)
        lines = tuple(Line(partition, quota, amount, amount) for partition in partitions)
        profiled = partitions if observation else ()
        charge = Charge(f"r{self.count}", lines, HOLD, ORDINARY_PRICE, observation, profiled)
        return await self.store.reserve(charge)

    async def open(self, *partitions: str, **more: Any) -> Reservation:
        reservation = (await self.reserve(*partitions, **more)).reservation
        assert reservation
        return reservation

    async def settle(self, reservation: Reservation, *amounts: int) -> Settled:
        return await self.store.settle(reservation, amounts)

    async def answered(self, *partitions: str, **more: Any) -> None:
        await self.settle(await self.open(*partitions, **more), *[MICRO] * len(partitions))

    async def unauthorised(self, *partitions: str) -> None:
        await self.settle(await self.open(*partitions), *[0] * len(partitions))

    async def left(self, partition: str, quota: Quota = RPM) -> int:
        return (await self.store.peek(partition, [quota]))[0][0] // MICRO

    def size(self) -> int | None:
        """Bytes of the file; None if there is none."""
        return self.path.stat().st_size if self.path.exists() else None

    def content(self) -> bytes:
        return self.path.read_bytes()

    def rows(self) -> dict[str, tuple[int, int]]:
        """Each account in the file: whether it is known, and µs until it expires."""
        with reading(self.path) as connection:
            found = connection.execute("SELECT key, known, expires FROM accounts").fetchall()
        return {key: (known, expires - self.clock.now) for key, known, expires in found}

    def counted(self) -> list[int]:
        """Counts of newcomers and of known accounts, as the triggers keep them."""
        with reading(self.path) as connection:
            counts = connection.execute("SELECT total FROM counts ORDER BY known").fetchall()
        return [total for (total,) in counts]


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection, which is writing."""
    with reading(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
