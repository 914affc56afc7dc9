"""What goes wrong during a soak, one thing after the other."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.soak.clients import Observed, tell
from tests.servers.redis import RedisServer

__all__ = ["Faults", "PolicyFile"]

CALM = (6.0, 12.0)
"""Seconds between two faults."""

JUMP = 20
"""Seconds by which clocks jump, forwards or backwards."""

RECOVERY = 5.0
"""Seconds after a fault's end that still count as its time."""

NOTICED = 6.0
"""Seconds in which a server under load finds that the policy has changed, and loads it."""


class PolicyFile:
    """The policy under soak, and others that take its place for a while.

    Args:
        path: Where it is written.
        policy: The policy, whose budgets are checked at the end: none of the others changes how
            much of them was used.
    """

    def __init__(self, path: Path, policy: Mapping[str, Any]) -> None:
        self.path, self._policy = path, policy

    def restore(self) -> None:
        """Write the policy as it was in the beginning."""
        self._write(self._policy)

    def limits(self) -> None:
        """Write one with other limits, and without the budget in buckets."""
        other = copy.deepcopy(dict(self._policy))
        other["budgets"] = [one for one in other["budgets"] if one["name"] != "coverage"]
        other["budgets"][0]["limit"] = "200M requests/30 days"
        self._write(other)

    def another(self) -> None:
        """Write one with one more budget, and other prices."""
        other = copy.deepcopy(dict(self._policy))
        other["budgets"].append({"name": "another", "limit": "1M requests/hour"})
        other["models"] = {"*": {"input": 2, "output": 5}}
        self._write(other)

    def wrong(self) -> None:
        """Write one that must be refused."""
        other = copy.deepcopy(dict(self._policy))
        other["budgets"][0]["limit"] = "many"
        self._write(other)

    def _write(self, policy: Mapping[str, Any]) -> None:
        self.path.write_text(json.dumps(policy))  # JSON is YAML


class Faults:
    """Kills and freezes Redis, sets the clocks of Redis and of the server, changes the policy.

    Args:
        redis: The store's server.
        port: The port of the server under soak.
        policy: The policy that this server watches.
    """

    def __init__(self, redis: RedisServer, port: int, policy: PolicyFile) -> None:
        self.done: Counter[str] = Counter()
        self.port = port
        self._redis, self._policy = redis, policy
        self._draw = random.Random(11)

    async def run(self, until: Callable[[], bool], observed: Observed) -> None:
        """Bring about one fault after the other until `until` returns True.

        Args:
            until: Whether to end.
            observed: Is told while a fault lasts.
        """
        faults = (
            *(self._kill, self._freeze, self._flush_scripts),
            *(self._jump, self._jump_redis, self._reload),
        )
        while not until():
            for fault in faults:
                await asyncio.sleep(self._draw.uniform(*CALM))
                if until():
                    break
                observed.faulty = True
                await fault()
                self.done[fault.__name__.strip("_")] += 1
                await asyncio.sleep(RECOVERY)
                observed.faulty = False
        self._redis.set_clock(0)
        self._policy.restore()
        await tell(self.port, "/soak/clock?0")

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
        await tell(self.port, f"/soak/clock?{seconds * 1_000_000}")

    async def _jump_redis(self) -> None:
        self._redis.set_clock(self._draw.choice((-JUMP, JUMP, 0)))

    async def _reload(self) -> None:
        policy = self._policy
        change = self._draw.choice((policy.limits, policy.another, policy.wrong, policy.restore))
        await asyncio.to_thread(change)
        await asyncio.sleep(NOTICED)
