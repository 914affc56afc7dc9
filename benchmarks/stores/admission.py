"""Does a store admit what it promised when all ask at once, and on how many connections?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.stores.calls import FOUR, Ours, partition
from benchmarks.stores.cases import AMPLE, opened, others, urls
from benchmarks.stores.names import REDIS, UNIX
from benchmarks.stores.servers import Redis, Servers
from querybudget.units import MICRO

__all__ = ["admissions", "floods"]

NARROW, WIDE = 64, 640
LIMITS = ((NARROW, 0), (NARROW, WIDE), (WIDE, NARROW))
AT_ONCE = 500


@dataclass(frozen=True)
class _Limiter:
    """A limiter, and how to read what it recorded.

    Attributes:
        ask: Whether a caller is admitted.
        used: What a caller is recorded with on each limit.
    """

    ask: Callable[[int], Awaitable[bool]]
    used: Callable[[int], Awaitable[Sequence[int]]]


async def admissions(servers: Servers) -> list[dict[str, Any]]:
    """Twice as many calls at once as the narrower limit allows, by one caller.

    A record for each limiter and pair of limits (requests a minute and an hour; 0 for none):
    admitted, errors by their names, and phantom: booked on the wider limit without having been
    admitted, None where there is one limit.
    """
    records = list[dict[str, Any]]()
    for limited in LIMITS:
        async with AsyncExitStack() as stack:
            for name, limiter in _limiters(stack, servers, limited):
                outcome = await _at_once(limiter.ask, [0] * (2 * NARROW))
                phantom = None
                if WIDE in limited:
                    phantom = (await limiter.used(0))[limited.index(WIDE)] - outcome["admitted"]
                records.append({"case": name, "limits": limited, **outcome, "phantom": phantom})
    return records


async def floods(servers: Servers) -> list[dict[str, Any]]:
    """So many whole calls at once by as many callers: errors, and connections they were made on."""
    if servers.redis is None:
        return []
    records = list[dict[str, Any]]()
    for name in (REDIS, UNIX):
        async with AsyncExitStack() as stack:
            ours = opened(stack, urls(servers)[name], FOUR, f"flood {name}")
            records.append(await _flood(servers.redis, name, ours.ask))
    for name, make in others(servers).items():
        rival = make([AMPLE], f"flood {name}")
        records.append(await _flood(servers.redis, name, rival.ask))
        await rival.aclose()
    return records


async def _flood(redis: Redis, name: str, ask: Callable[[int], Awaitable[bool]]) -> dict[str, Any]:
    others = {client["id"] for client in redis.client.client_list()}
    outcome = await _at_once(ask, range(AT_ONCE))
    own = [client for client in redis.client.client_list() if client["id"] not in others]
    return {"case": name, "at_once": AT_ONCE, **outcome, "connections": len(own)}


async def _at_once(ask: Callable[[int], Awaitable[bool]], callers: Sequence[int]) -> dict[str, Any]:
    answers = await asyncio.gather(*(ask(caller) for caller in callers), return_exceptions=True)
    errors = Counter(type(one).__name__ for one in answers if isinstance(one, BaseException))
    return {"admitted": sum(one is True for one in answers), "errors": dict(errors)}


def _limiters(
    stack: AsyncExitStack, servers: Servers, limited: tuple[int, int]
) -> Iterator[tuple[str, _Limiter]]:
    minute, hour = limited
    words = [f"{minute} requests/minute"] * bool(minute) + [f"{hour} requests/hour"] * bool(hour)
    for name, url in urls(servers).items():
        ours = opened(stack, url, [{"limit": word} for word in words], f"{name} {limited}")
        yield name, _Limiter(_reserving(ours), _booked(ours))
    for name, make in others(servers).items():
        rival = make(limited, f"at once {name} {limited}")
        stack.push_async_callback(rival.aclose)
        yield name, _Limiter(rival.ask, rival.used)


def _reserving(ours: Ours) -> Callable[[int], Awaitable[bool]]:
    async def ask(caller: int) -> bool:
        return (await ours.reserve(caller)).admitted

    return ask


def _booked(ours: Ours) -> Callable[[int], Awaitable[list[int]]]:
    quotas = [budget.quota for budget in ours.budgets]

    async def used(caller: int) -> list[int]:
        states = await ours.store.peek(partition(caller, ours.name), quotas)
        return [(q.limit - left) // MICRO for q, (left, _) in zip(quotas, states, strict=True)]

    return used
