"""What is measured: our stores and the others, with one limit and with several."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.stores.calls import COVERED, FOUR, ONE, SLIDING, Ours, budgets
from benchmarks.stores.names import ADAPTER, MEMORY, REDIS, SQLITE, UNIX, case_name
from benchmarks.stores.servers import Servers
from querybudget.coverage import Observation
from querybudget.stores import StoreSettings, open_store, system_clock

if TYPE_CHECKING:
    from benchmarks.stores.rivals import Limits, Rival

__all__ = ["AMPLE", "Case", "cases", "missing", "opened", "others", "urls"]

AMPLE = 100_000_000
"""A limit that no run reaches."""

Make = Callable[["Limits", str], "Rival"]


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        name: The store or the limiter.
        limits: How many, in words: ``1``, ``4``, or ``4 + coverage``.
        ask: One call of a caller, to its end; whether it was admitted.
        ours: The load, where the store is ours.
        commands: What a rival sends to Redis.
        on_redis: Whether it does.
    """

    name: str
    limits: str
    ask: Callable[[int], Awaitable[bool]]
    ours: Ours | None
    commands: frozenset[str] = frozenset({"evalsha", "fcall"})
    on_redis: bool = False


def others(servers: Servers) -> dict[str, Make]:
    """The other limiters by name; none where there is no Redis server, or they are not installed.

    Each is made of limits and the name of its load.
    """
    redis = servers.redis
    if redis is None or missing():
        return {}
    from benchmarks.stores.rivals import RIVALS  # noqa: PLC0415 - not everybody has them

    return {name: partial(make, redis.url) for name, make in RIVALS.items()}


def missing() -> list[str]:
    """What is not measured because a package is missing."""
    if all(find_spec(name) for name in ("throttled", "ratelimit")):
        return []
    return ["the other limiters: expected requirements/bench.txt to be installed"]


def urls(servers: Servers) -> dict[str, str]:
    """Our stores by name."""
    stores = {MEMORY: "memory://", SQLITE: f"sqlite:///{servers.directory}/accounts.db"}
    if servers.redis:
        stores |= {REDIS: servers.redis.url, UNIX: servers.redis.unix_url}
    if servers.memcached:
        stores[ADAPTER] = servers.memcached
    return stores


def opened(stack: AsyncExitStack, url: str, limits: Sequence[dict[str, Any]], name: str) -> Ours:
    """A store of ours, closed with `stack`."""
    store = open_store(StoreSettings(url, prefix="qb"), system_clock())
    stack.push_async_callback(store.aclose)
    return Ours(store, budgets(limits), name=name)


def cases(
    stack: AsyncExitStack, servers: Servers, shown: Sequence[Sequence[Observation]]
) -> list[Case]:
    """Every case that can be measured here, closed with `stack`."""
    measured = list[Case]()
    for name, url in urls(servers).items():
        several = SLIDING if name == ADAPTER else FOUR
        loads: dict[str, Sequence[dict[str, Any]]] = {"1": ONE, "4": several}
        if name in {MEMORY, SQLITE, REDIS}:
            loads["4 + coverage"] = COVERED
        for limits, budgeted in loads.items():
            ours = opened(stack, url, budgeted, case_name(name, limits))
            if budgeted is COVERED:
                ours.shown = shown
            measured.append(Case(name, limits, ours.ask, ours, on_redis=name in {REDIS, UNIX}))
    for name, make in others(servers).items():
        for count in (1, 4):
            rival = make([AMPLE] * count, case_name(name, str(count)))
            stack.push_async_callback(rival.aclose)
            measured.append(Case(name, str(count), rival.ask, None, rival.commands, on_redis=True))
    return measured
