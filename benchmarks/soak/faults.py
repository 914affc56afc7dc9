"""What goes wrong during a soak, one thing after the other."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from benchmarks.soak.clients import Observed, tell
from tests.servers.redis import RedisServer

__all__ = ["Faults"]

CALM = (6.0, 12.0)
"""Seconds between two faults."""

JUMP = 20
"""Seconds by which clocks jump, forwards or backwards."""

RECOVERY = 5.0
"""Seconds after a fault's end that still count as its time."""


class Faults:
    """Kills and freezes Redis, and sets the clocks of Redis and of the server.

    Args:
        redis: The store's server.
        port: The port of the server under soak.
        observed: Is told while a fault lasts.
    """

    def __init__(self, redis: RedisServer, port: int, observed: Observed) -> None:
        self.done: Counter[str] = Counter()
        self._redis, self._port, self._observed = redis, port, observed
        self._draw = random.Random(11)

    async def run(self, until: Callable[[], bool]) -> None:
        """Bring about one fault after the other until `until` returns True."""
        faults = (self._kill, self._freeze, self._flush_scripts, self._jump, self._jump_redis)
        while not until():
            for fault in faults:
                await asyncio.sleep(self._draw.uniform(*CALM))
                if until():
                    break
                self._observed.faulty = True
                await fault()
                self.done[fault.__name__.strip("_")] += 1
                await asyncio.sleep(RECOVERY)
                self._observed.faulty = False
        self._redis.set_clock(0)
        await tell(self._port, "/soak/clock?0")

    async def _kill(self) -> None:
        self._redis.kill()
        await asyncio.sleep(self._draw.uniform(0.5, 5))
        await asyncio.to_thread(self._redis.start)

    async def _freeze(self) -> None:
        self._redis.pause()
        await asyncio.sleep(self._draw.uniform(0.1, 5))
        self._redis.resume()

    async def _flush_scripts(self) -> None:
        await asyncio.to_thread(self._redis.call, "SCRIPT", "FLUSH")

    async def _jump(self) -> None:
        seconds = self._draw.choice((-JUMP, JUMP, 0))
        await tell(self._port, f"/soak/clock?{seconds * 1_000_000}")

    async def _jump_redis(self) -> None:
        self._redis.set_clock(self._draw.choice((-JUMP, JUMP, 0)))
