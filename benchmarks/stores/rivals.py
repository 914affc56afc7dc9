"""The other limiters on the same Redis server, asked directly: no middleware, nothing to settle.

Each is set up as its own documentation says, with its own default pool of connections. Several
limits are asked one after the other until one refuses, as one has to where a limiter takes one at
a time; asgi-ratelimit takes several at once, and first asks whether the caller is blocked.
throttled-py has no months: its fourth limit is a week's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import limits
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter
from ratelimit import Rule
from ratelimit.backends.redis import RedisBackend
from redis.asyncio import StrictRedis
from throttled.asyncio import RedisStore, Throttled, rate_limiter

from benchmarks.stores.names import LIMITS

__all__ = ["RIVALS", "Limits", "Rival"]

Limits = Sequence[int]
"""Requests a minute, an hour, a day and a month, as many of these as there are; 0 for none."""


@dataclass(frozen=True)
class Rival:
    """A limiter under load.

    Attributes:
        ask: Ask for a caller once; whether it was admitted.
        used: What a caller is recorded with on each limit.
        aclose: Disconnects.
        commands: What it sends, as the server names it; scripts send more, which is in theirs.
    """

    ask: Callable[[int], Awaitable[bool]]
    used: Callable[[int], Awaitable[list[int]]]
    aclose: Callable[[], Awaitable[object]]
    commands: frozenset[str] = frozenset({"evalsha"})


def limits_fixed(url: str, limited: Limits, name: str) -> Rival:
    return _limits(FixedWindowRateLimiter, url, limited, name)


def limits_counter(url: str, limited: Limits, name: str) -> Rival:
    return _limits(SlidingWindowCounterRateLimiter, url, limited, name)


def _limits(make: Callable[[RedisStorage], Any], url: str, limited: Limits, name: str) -> Rival:
    storage = RedisStorage(f"async+{url}", implementation="redispy")
    limiter = make(storage)
    kinds = (
        limits.RateLimitItemPerMinute,
        limits.RateLimitItemPerHour,
        limits.RateLimitItemPerDay,
        limits.RateLimitItemPerMonth,
    )
    items = [kind(limit) for kind, limit in zip(kinds, limited, strict=False) if limit]

    async def ask(caller: int) -> bool:
        for item in items:
            if not await limiter.hit(item, name, str(caller)):
                return False
        return True

    async def used(caller: int) -> list[int]:
        stats = [await limiter.get_window_stats(item, name, str(caller)) for item in items]
        return [item.amount - one.remaining for item, one in zip(items, stats, strict=True)]

    bridge: Any = storage.bridge
    return Rival(ask, used, _closing(bridge.get_connection()))


def throttled_bucket(url: str, limited: Limits, name: str) -> Rival:
    store: Any = RedisStore(server=url)
    rates = (
        rate_limiter.per_min,
        rate_limiter.per_hour,
        rate_limiter.per_day,
        rate_limiter.per_week,
    )
    throttles = [
        Throttled(
            using="token_bucket", quota=rate(limit), store=store, key_prefix=f"{name}:{number}"
        )
        for number, (rate, limit) in enumerate(zip(rates, limited, strict=False))
        if limit
    ]

    async def ask(caller: int) -> bool:
        for throttle in throttles:
            if (await throttle.limit(str(caller))).limited:
                return False
        return True

    async def used(caller: int) -> list[int]:
        states = [await throttle.peek(str(caller)) for throttle in throttles]
        return [state.limit - state.remaining for state in states]

    client = store._backend.get_client()  # noqa: SLF001 - it has no way to be closed
    return Rival(ask, used, _closing(client))


def asgi_ratelimit(url: str, limited: Limits, name: str) -> Rival:
    client: Any = StrictRedis.from_url(url)
    backend: Any = RedisBackend(client)
    minute, hour, day, month = [*(limit or None for limit in limited), None, None, None][:4]
    rule: Any = Rule(minute=minute, hour=hour, day=day, month=month)

    async def ask(caller: int) -> bool:
        return int(await backend.retry_after(name, str(caller), rule)) == 0

    async def used(caller: int) -> list[int]:
        ruleset = rule.ruleset(name, str(caller))
        left = [await client.get(key) for key in ruleset]
        return [
            limit - int(value if value is not None else limit)
            for (limit, _), value in zip(ruleset.values(), left, strict=True)
        ]

    return Rival(ask, used, _closing(client), frozenset({"evalsha", "ttl"}))


def _closing(client: StrictRedis) -> Callable[[], Awaitable[object]]:
    async def aclose() -> None:
        await client.aclose()
        await client.connection_pool.disconnect()

    return aclose


RIVALS: dict[str, Callable[[str, Limits, str], Rival]] = {
    LIMITS: limits_fixed,
    "limits.aio, sliding counter": limits_counter,
    "throttled-py, token bucket": throttled_bucket,
    "asgi-ratelimit": asgi_ratelimit,
}
