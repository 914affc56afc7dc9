"""A sliding window as two counters, in the storages of the `limits` package.

Time is cut into windows of a quota's length. The current window has a counter, and so has the one
before, which counts in proportion to how much of it the last window's length still covers. That
assumes even use: a stretch of a window's length can be granted more than the limit, and a wait is
an estimate. There are two ways to keep the counters:

- *Numbered* (memory, memcached). A counter's name contains the number of its window, so a refund
  can go to the window that was charged even after the next one has started. Neither storage can
  check and count in one step: a charge is counted first, and taken back if it was too much. Two
  charges at the same moment may both be taken back.
- *Rolling* (Redis, MongoDB). A window starts with a charge, and becomes the previous one when it
  has ended. The storage checks and counts in one step. It can refund only the current window, by a
  charge below zero. What was charged in a window that has ended, or is about to, stays until it
  expires.
"""

from __future__ import annotations

import asyncio

from limits.aio.storage import MemcachedStorage, MemoryStorage, MongoDBStorage, RedisStorage
from msgspec import Struct
from msgspec.structs import replace

from querybudget.stores.clock import Clock
from querybudget.units import SECOND

ROUNDING = SECOND // 1000
"""µs to which Redis and MongoDB round what is left of a window."""

MAX_MEMCACHED_TTL = 30 * 86_400
"""Seconds. memcached takes a longer time to live for a date."""

UNLIMITED = 2**62
"""A limit that nothing reaches, and that fits into 64 bits."""


class CounterWindow(Struct, frozen=True):
    """The current window of a quota.

    Attributes:
        key: Names the quota's counters.
        seconds: The window's length.
        end: When it ends, µs; 0 if unknown, and then nothing is refunded.
    """

    key: str
    seconds: int
    end: int

    @property
    def length(self) -> int:
        """Its length, µs."""
        return self.seconds * SECOND


class Counts(Struct, frozen=True):
    """What the two counters of a quota said.

    Attributes:
        window: The current window.
        now: When they were read, µs.
        current: µ-units counted in the current window.
        previous: µ-units counted in the one before.
        running: Whether the current window has started; if not, the next charge starts it.
    """

    window: CounterWindow
    now: int
    current: int
    previous: int
    running: bool = True

    @property
    def used(self) -> int:
        """µ-units that count now, rounded up."""
        left = min(self.window.end - self.now, self.window.length)
        return self.current + -(-self.previous * left // self.window.length)

    @property
    def reset(self) -> int:
        """µs until nothing counts, if nothing more is used."""
        if self.current:
            return self.window.end + self.window.length - self.now
        return self.window.end - self.now if self.previous else 0

    def charged(self, amount: int) -> Counts:
        return replace(self, current=self.current + amount)

    def wait(self, limit: int) -> int:
        """Return the µs until no more than `limit` counts, if nothing more is used."""
        if self.used <= limit:
            return 0
        length, end = self.window.length, self.window.end
        if self.current <= limit:
            return end - (limit - self.current) * length // self.previous - self.now
        return end + length - limit * length // self.current - self.now


class NumberedCounters:
    """Counters named by the number of their window.

    Args:
        storage: Keeps the counters.
        clock: µs since the epoch. Says which window is current: all processes' clocks must agree.
    """

    def __init__(self, storage: MemoryStorage | MemcachedStorage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def read(self, key: str, seconds: int) -> Counts:
        """Return what a quota's counters say."""
        now = self._clock()
        number = now // (seconds * SECOND)
        window = CounterWindow(key, seconds, (number + 1) * seconds * SECOND)
        current, previous = await asyncio.gather(
            self._storage.get(_numbered(key, number)), self._storage.get(_numbered(key, number - 1))
        )
        return Counts(window, now, current, previous)

    async def charge(self, counts: Counts, amount: int, limit: int) -> CounterWindow | None:
        """Charge unless more than `limit` would count. Return the window charged, or None."""
        window = counts.window
        name = _name(window)
        counted = await self._increase(name, window.seconds, amount)
        if replace(counts, current=counted).used <= limit:
            return window
        await self._decrease(name, amount)
        return None

    async def charge_debt(self, key: str, seconds: int, amount: int) -> None:
        """Charge without a limit."""
        number = self._clock() // (seconds * SECOND)
        await self._increase(_numbered(key, number), seconds, amount)

    async def refund(self, window: CounterWindow, amount: int) -> None:
        """Refund the window that was charged, while it counts; never below zero."""
        if self._clock() < window.end + window.length:
            await self._decrease(_name(window), amount)

    async def clear(self, key: str, seconds: int) -> bool:
        """Remove a quota's counters, and return whether anything was counted."""
        counts = await self.read(key, seconds)
        number = counts.window.end // counts.window.length
        await asyncio.gather(
            self._storage.clear(_numbered(key, number - 1)),
            self._storage.clear(_numbered(key, number - 2)),
        )
        return bool(counts.current or counts.previous)

    async def _increase(self, name: str, seconds: int, amount: int) -> int:
        storage, kept = self._storage, 2 * seconds
        if isinstance(storage, MemoryStorage):
            return await storage.incr(name, kept, amount)
        if kept > MAX_MEMCACHED_TTL:
            kept += self._clock() // SECOND
        return await storage.incr(name, kept, amount, set_expiration_key=False)

    async def _decrease(self, name: str, amount: int) -> None:
        storage = self._storage
        if isinstance(storage, MemoryStorage):
            await storage.decr(name, amount)
        else:  # the storage has no method for it, but its client has
            await storage.bridge.decr(name, amount)


class RollingCounters:
    """Counters whose windows start with a charge.

    Args:
        storage: Keeps the counters, and has its own clock.
        clock: µs since the epoch. Says how long ago a charge was made.
    """

    def __init__(self, storage: RedisStorage | MongoDBStorage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def read(self, key: str, seconds: int) -> Counts:
        counters = await self._storage.get_sliding_window(key, seconds)
        previous, previous_left, current, current_left = counters
        now, length = self._clock(), seconds * SECOND
        if current_left <= 0:
            return Counts(CounterWindow(key, seconds, now + length), now, 0, 0, running=False)
        end = now + round(current_left * SECOND) - length + ROUNDING
        before = previous if previous_left > 0 else 0
        return Counts(
            CounterWindow(key, seconds, max(end, now)), now, max(0, current), max(0, before)
        )

    async def charge(self, counts: Counts, amount: int, limit: int) -> CounterWindow | None:
        window = counts.window
        if not await self._acquire(window, limit, amount):
            return None
        now = self._clock()
        if not counts.running:
            return replace(window, end=now + window.length)
        return window if now < window.end - _margin(window) else replace(window, end=0)

    async def charge_debt(self, key: str, seconds: int, amount: int) -> None:
        await self._acquire(CounterWindow(key, seconds, 0), UNLIMITED, amount)

    async def refund(self, window: CounterWindow, amount: int) -> None:
        """Refund the current window if it is the one that was charged."""
        margin = _margin(window)
        if self._clock() >= window.end - margin:
            return
        counts = await self.read(window.key, window.seconds)
        same = counts.running and abs(counts.window.end - window.end) <= margin
        amount = min(amount, counts.current)
        if not same or not amount or self._clock() >= window.end - margin:
            return
        await self._acquire(window, UNLIMITED, -amount)
        # If another refund emptied the counter just now, the same amount would be granted twice.
        _, _, left, _ = await self._storage.get_sliding_window(window.key, window.seconds)
        if left < 0:
            await self._acquire(window, UNLIMITED, -left)

    async def clear(self, key: str, seconds: int) -> bool:
        counts = await self.read(key, seconds)
        await self._storage.clear_sliding_window(key, seconds)
        return bool(counts.current or counts.previous)

    async def _acquire(self, window: CounterWindow, limit: int, amount: int) -> bool:
        return await self._storage.acquire_sliding_window_entry(
            window.key, limit, window.seconds, amount
        )


SlidingCounters = NumberedCounters | RollingCounters
"""A way to keep counters. Every method may raise what the storage raises."""


def _numbered(key: str, number: int) -> str:
    """Return the name that `limits` itself gives a window's counter."""
    return f"{key}/{number}"


def _name(window: CounterWindow) -> str:
    return _numbered(window.key, window.end // window.length - 1)


def _margin(window: CounterWindow) -> int:
    """Return the µs before a window's end in which a command may arrive after it."""
    return min(SECOND, window.length // 4)
