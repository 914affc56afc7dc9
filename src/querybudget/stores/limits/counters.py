"""A sliding window as two counters, in the storages of the `limits` package.

A window is cut into stretches of its own length. The stretch that runs has a counter and so has the
one before it, which counts by as much of it as the window still reaches. That takes use to have
been even: what is granted in one stretch of a window's length can exceed the limit, and a wait is
an estimate. There are two ways to keep the counters:

- *Numbered* (memory, memcached). The number of the stretch is a part of its counter's name, so
  something can be given back to the very stretch that it was taken from, also when the next one
  has begun. Neither storage can check and count in one step: a charge is counted first, and taken
  back where it was too much. Two charges at the same moment may both be taken back.
- *Rolling* (Redis, MongoDB). A stretch begins with a charge, and is moved to the place before when
  it has ended. The storage checks and counts in one step. It can take something off the stretch
  that runs, by a charge below zero, and off no other; so what was charged in a stretch that has
  ended, or is about to, stays until it has expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from limits.aio.storage import MemcachedStorage, MemoryStorage, MongoDBStorage, RedisStorage

from querybudget.units import SECOND

__all__ = ["Counters", "Numbered", "Rolling", "Window", "Windows"]


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of one window.

    Attributes:
        key: Names the window.
        seconds: Its length.
        end: When the stretch ends, µs; 0 where nobody knows, and then nothing is given back.
    """

    key: str
    seconds: int
    end: int

    @property
    def length(self) -> int:
        """Its length, µs."""
        return self.seconds * SECOND


@dataclass(frozen=True, slots=True)
class Counters:
    """How a window was found.

    Attributes:
        window: The stretch that runs.
        now: When it was found so, µs.
        current: µ-units counted in the stretch that runs.
        previous: µ-units counted in the one before.
        begun: Whether the stretch runs already, and does not only begin with the next charge.
    """

    window: Window
    now: int
    current: int
    previous: int
    begun: bool = True

    @property
    def used(self) -> int:
        """µ-units that count, rounded up."""
        left = min(self.window.end - self.now, self.window.length)
        return self.current + -(-self.previous * left // self.window.length)

    @property
    def reset(self) -> int:
        """µs until nothing counts, if nobody uses anything more."""
        if self.current:
            return self.window.end + self.window.length - self.now
        return self.window.end - self.now if self.previous else 0

    def charged(self, amount: int) -> Counters:
        """As it is after a charge of `amount`."""
        return replace(self, current=self.current + amount)

    def wait(self, most: int) -> int:
        """µs until no more than `most` counts, if nobody uses anything more."""
        if self.used <= most:
            return 0
        length, end = self.window.length, self.window.end
        if self.current <= most:
            return end - (most - self.current) * length // self.previous - self.now
        return end + length - most * length // self.current - self.now


class Windows(Protocol):
    """What the store asks of a way to keep counters. All may raise what the storage raises."""

    async def look(self, key: str, seconds: int) -> Counters:
        """How a window stands."""
        ...

    async def take(self, seen: Counters, amount: int, limit: int) -> Window | None:
        """Charge where no more than `limit` counts then. None where it would, and nothing is."""
        ...

    async def owe(self, key: str, seconds: int, amount: int) -> None:
        """Charge whatever the limit is."""
        ...

    async def give(self, window: Window, amount: int) -> None:
        """Take off what was charged, where that can be done without touching what was not."""
        ...

    async def clear(self, key: str, seconds: int) -> bool:
        """Forget a window. Whether anything was counted in it."""
        ...


class Numbered:
    """Counters named by the number of their stretch.

    Args:
        storage: Where they are.
        clock: Says which stretch it is, so all processes' clocks have to agree.
    """

    def __init__(self, storage: MemoryStorage | MemcachedStorage, clock: Callable[[], int]) -> None:
        self._storage = storage
        self._clock = clock

    async def look(self, key: str, seconds: int) -> Counters:
        """How a window stands."""
        now = self._clock()
        number = now // (seconds * SECOND)
        window = Window(key, seconds, (number + 1) * seconds * SECOND)
        current, previous = await asyncio.gather(
            self._storage.get(_numbered(key, number)), self._storage.get(_numbered(key, number - 1))
        )
        return Counters(window, now, current, previous)

    async def take(self, seen: Counters, amount: int, limit: int) -> Window | None:
        """Count, and take it back where it was too much."""
        window = seen.window
        name = _name(window)
        counted = await self._increase(name, window.seconds, amount)
        if replace(seen, current=counted).used <= limit:
            return window
        await self._decrease(name, amount)
        return None

    async def owe(self, key: str, seconds: int, amount: int) -> None:
        """Charge the stretch that runs."""
        number = self._clock() // (seconds * SECOND)
        await self._increase(_numbered(key, number), seconds, amount)

    async def give(self, window: Window, amount: int) -> None:
        """Take off the stretch that was charged, while it counts; never below zero."""
        if self._clock() < window.end + window.length:
            await self._decrease(_name(window), amount)

    async def clear(self, key: str, seconds: int) -> bool:
        """Remove the counters of the stretch that runs, and of the one before."""
        seen = await self.look(key, seconds)
        number = seen.window.end // seen.window.length
        await asyncio.gather(
            self._storage.clear(_numbered(key, number - 1)),
            self._storage.clear(_numbered(key, number - 2)),
        )
        return bool(seen.current or seen.previous)

    async def _increase(self, name: str, seconds: int, amount: int) -> int:
        storage, kept = self._storage, 2 * seconds
        if isinstance(storage, MemoryStorage):
            return await storage.incr(name, kept, amount)
        if kept > _MEMCACHED_LONGEST:
            kept += self._clock() // SECOND
        return await storage.incr(name, kept, amount, set_expiration_key=False)

    async def _decrease(self, name: str, amount: int) -> None:
        storage = self._storage
        if isinstance(storage, MemoryStorage):
            await storage.decr(name, amount)
        else:  # the storage has no verb for it, but what it speaks through has
            await storage.bridge.decr(name, amount)


class Rolling:
    """Counters that begin with a charge, and are moved when their stretch has ended.

    Args:
        storage: Where they are. It has a clock of its own.
        clock: Says how long ago something was charged.
    """

    def __init__(self, storage: RedisStorage | MongoDBStorage, clock: Callable[[], int]) -> None:
        self._storage = storage
        self._clock = clock

    async def look(self, key: str, seconds: int) -> Counters:
        """How a window stands."""
        found = await self._storage.get_sliding_window(key, seconds)
        previous, previous_left, current, current_left = found
        now, length = self._clock(), seconds * SECOND
        if current_left <= 0:
            return Counters(Window(key, seconds, now + length), now, 0, 0, begun=False)
        end = now + round(current_left * SECOND) - length + _MILLISECOND
        before = previous if previous_left > 0 else 0
        return Counters(Window(key, seconds, max(end, now)), now, max(0, current), max(0, before))

    async def take(self, seen: Counters, amount: int, limit: int) -> Window | None:
        """Let the storage check and charge."""
        window = seen.window
        if not await self._acquire(window, limit, amount):
            return None
        now = self._clock()
        if not seen.begun:
            return replace(window, end=now + window.length)
        return window if now < window.end - _margin(window) else replace(window, end=0)

    async def owe(self, key: str, seconds: int, amount: int) -> None:
        """Charge the stretch that runs, or begin one."""
        await self._acquire(Window(key, seconds, 0), _ANYTHING, amount)

    async def give(self, window: Window, amount: int) -> None:
        """Take off the stretch that runs, if it is the one that was charged."""
        margin = _margin(window)
        if self._clock() >= window.end - margin:
            return
        seen = await self.look(window.key, window.seconds)
        same = seen.begun and abs(seen.window.end - window.end) <= margin
        amount = min(amount, seen.current)
        if not same or not amount or self._clock() >= window.end - margin:
            return
        await self._acquire(window, _ANYTHING, -amount)
        # Whoever emptied the counter just now would else have granted what was given back twice.
        _, _, left, _ = await self._storage.get_sliding_window(window.key, window.seconds)
        if left < 0:
            await self._acquire(window, _ANYTHING, -left)

    async def clear(self, key: str, seconds: int) -> bool:
        """Remove both counters."""
        seen = await self.look(key, seconds)
        await self._storage.clear_sliding_window(key, seconds)
        return bool(seen.current or seen.previous)

    async def _acquire(self, window: Window, limit: int, amount: int) -> bool:
        return await self._storage.acquire_sliding_window_entry(
            window.key, limit, window.seconds, amount
        )


def _numbered(key: str, number: int) -> str:
    """The counter of a stretch, named as `limits` itself does."""
    return f"{key}/{number}"


def _name(window: Window) -> str:
    return _numbered(window.key, window.end // window.length - 1)


def _margin(window: Window) -> int:
    """µs before the end of a stretch in which a command may arrive after it."""
    return min(SECOND, window.length // 4)


_MILLISECOND = SECOND // 1000
"""By how much Redis and MongoDB round what is left of a stretch."""

_MEMCACHED_LONGEST = 30 * 86_400
"""Seconds; what is longer, memcached takes for a date."""

_ANYTHING = 2**62
"""A limit that nothing reaches, and that 64 bits hold."""
