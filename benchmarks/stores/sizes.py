"""What an identity takes, in Redis and in a SQLite file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.stores.calls import COVERED, FOUR, Ours, budgets, observations, partition
from benchmarks.stores.cases import AMPLE, others
from benchmarks.stores.prompts import KINDS
from benchmarks.stores.servers import Redis, Servers
from querybudget.backends import StoreSettings
from querybudget.coverage import Observation
from querybudget.stores import Store, system_clock
from querybudget.units import SECOND, Micros

__all__ = ["AFTER", "redis_sizes", "sqlite_sizes"]

AFTER = (1, 26, 200)
"""Settled calls after which it is measured."""

A_DAY = 26
"""Calls a day: what the accounts of the largest reported copy asked on average."""

DAY = 86_400 * SECOND
_NONE = "no coverage"
_FIRST = 735_001
"""Number of the first caller of others. Keys are found by it, so no limit may contain it."""


class Clock:
    """A clock that is set by hand, in µs."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> Micros:
        return Micros(self.now)


async def redis_sizes(servers: Servers, identities: int, most: int) -> list[dict[str, Any]]:
    """Bytes of all keys of an identity, by the server's own account, after so many calls.

    Args:
        servers: With a Redis server.
        identities: How many of each kind; the median over them and the largest are told.
        most: Calls of each.
    """
    redis = servers.redis
    if redis is None:
        return []
    from querybudget.stores.redis import RedisStore  # noqa: PLC0415 - loads its client

    records = list[dict[str, Any]]()
    for kind in (_NONE, *KINDS):
        shown = [] if kind == _NONE else await observations(kind, identities, most)
        for apart in (DAY // A_DAY, 0):
            prefix = f"size:{kind}:{apart}".replace(" ", "-")
            clock = Clock(system_clock()() - most * apart)
            store = RedisStore(StoreSettings(redis.url, prefix=prefix), clock=clock)
            after = [count for count in AFTER if count <= most]
            sizes = await _grown(
                store, shown, clock, apart, after, identities, _weigh(redis, prefix)
            )
            await store.aclose()
            records += [
                {
                    "store": "Redis",
                    "callers": kind,
                    "a_day": A_DAY if apart else 0,
                    "calls": count,
                    "bytes": round(median(found)),
                    "largest": max(found),
                }
                for count, found in zip(after, sizes, strict=True)
            ]
    return [*records, *await _others(servers, redis, identities)]


async def _grown(
    store: Store,
    shown: Sequence[Sequence[Observation]],
    clock: Clock,
    apart: int,
    after: Sequence[int],
    identities: int,
    weigh: Callable[[int], int],
) -> list[list[int]]:
    """What every identity weighs after so many calls, `apart` µs from each other."""
    ours = Ours(store, budgets(COVERED if shown else FOUR), shown, "size")
    sizes = list[list[int]]()
    for done in range(1, max(after) + 1):
        clock.now += apart
        for caller in range(identities):
            assert await ours.ask(caller)
        if done in after:
            sizes.append([weigh(caller) for caller in range(identities)])
    return sizes


def _weigh(redis: Redis, prefix: str) -> Callable[[int], int]:
    def weigh(caller: int) -> int:
        return _bytes(redis, f"{prefix}:*{partition(caller, 'size')}*")

    return weigh


def _bytes(redis: Redis, pattern: str) -> int:
    keys = list(redis.client.scan_iter(match=pattern, count=10_000))
    assert keys, f"expected keys like {pattern}, found none"
    return sum(redis.client.memory_usage(key, samples=0) for key in keys)


async def _others(servers: Servers, redis: Redis, identities: int) -> list[dict[str, Any]]:
    """The same of the others, with four limits. Their windows are those of the present moment."""
    records = list[dict[str, Any]]()
    for name, make in others(servers).items():
        own = f"size{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
        rival = make([AMPLE] * 4, own)
        for _ in range(A_DAY):
            for caller in range(identities):
                assert await rival.ask(_FIRST + caller)
        await rival.aclose()
        found = [_bytes(redis, f"*{own}*{_FIRST + caller}*") for caller in range(identities)]
        records.append(
            {
                "store": name,
                "callers": _NONE,
                "a_day": 0,
                "calls": A_DAY,
                "bytes": round(median(found)),
                "largest": max(found),
            }
        )
    return records


async def sqlite_sizes(servers: Servers, identities: int, calls: int) -> list[dict[str, Any]]:
    """Bytes of the file for each identity, after so many calls of each over a day or so."""
    from querybudget.stores.sqlite.store import SqliteStore  # noqa: PLC0415 - loads sqlite3

    records = list[dict[str, Any]]()
    for covered in (False, True):
        for count in (1, calls):
            path = servers.directory / f"size-{covered}-{count}.db"
            shown = await observations("mixed", min(identities, 20), count) if covered else []
            clock = Clock(system_clock()())
            async with AsyncExitStack() as stack:
                store = SqliteStore(path, clock, max_identities=10 * identities)
                stack.push_async_callback(store.aclose)
                await store.start()
                ours = Ours(store, budgets(COVERED if covered else FOUR), shown, "size")
                for _ in range(count):
                    clock.now += DAY // A_DAY
                    for caller in range(identities):
                        assert await ours.ask(caller)
            records.append(
                {"coverage": covered, "calls": count, "bytes": _file(path) // identities}
            )
    return records


def _file(path: Path) -> int:
    """The file, and what lies beside it."""
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))
