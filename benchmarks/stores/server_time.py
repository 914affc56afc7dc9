"""How long the Redis server is busy with a call, as it says itself.

The server adds up, for each command, how often it ran and for how many µs. These sums are reset
before a batch of reservations and read after it, then the same for their settlements. What a script
runs is in the script's own time, and counted there only.

A server runs one command at a time, so this is what bounds how many calls it can take in a second.
It is less for calls that come together: one that comes alone finds the caches cold.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

from benchmarks.stores.cases import Case
from benchmarks.stores.names import REDIS, case_name
from benchmarks.stores.rounds import overlapping
from benchmarks.stores.servers import Redis

__all__ = ["server_times"]

A = TypeVar("A")
B = TypeVar("B")

SEEN = 26
"""Calls that every caller has made before."""


@dataclass
class _Busy:
    """µs and commands for a call, of each batch."""

    us: list[float] = field(default_factory=list[float])
    commands: list[float] = field(default_factory=list[float])

    def figures(self) -> dict[str, float]:
        return {
            "best": round(min(self.us), 2),
            "median": round(median(self.us), 2),
            "commands": round(median(self.commands), 3),
        }


async def server_times(
    redis: Redis,
    subjects: Sequence[Case],
    *,
    rounds: int,
    callers: int,
    together: bool,
) -> list[dict[str, Any]]:
    """A record for each case on Redis: best and median of `rounds` batches of `callers` calls.

    Args:
        redis: The server.
        subjects: Of which those are measured that are on it over TCP.
        rounds: Batches.
        callers: Calls in each, one of each caller.
        together: Whether they are all made at once.
    """
    chosen = [case for case in subjects if case.on_redis and (not case.ours or case.name == REDIS)]
    for case in chosen:
        await overlapping(case, SEEN * callers, callers, min(16, callers))
    measured = {id(case): (_Busy(), _Busy(), _Busy()) for case in chosen}
    order, shuffled = list(chosen), random.Random(2)
    for _ in range(rounds):
        shuffled.shuffle(order)
        for case in order:
            await _batch(redis, case, callers, measured[id(case)], together=together)
    at_once = callers if together else 1
    return [{"in_flight": at_once, **_record(case, *measured[id(case)])} for case in chosen]


async def _batch(
    redis: Redis,
    case: Case,
    callers: int,
    into: tuple[_Busy, _Busy, _Busy],
    *,
    together: bool,
) -> None:
    both, reserving, settling = into
    ours = case.ours
    redis.client.config_resetstat()
    if ours is None:
        assert all(await _each(case.ask, range(callers), together=together)), case.name
        _note(redis, case, callers, both)
        return
    decisions = await _each(ours.reserve, range(callers), together=together)
    first = _note(redis, case, callers, reserving)
    held = [decision.reservation for decision in decisions if decision.reservation]
    assert len(held) == callers, case_name(case.name, case.limits)
    redis.client.config_resetstat()
    await _each(ours.settle, held, together=together)
    second = _note(redis, case, callers, settling)
    both.us.append(first[0] + second[0])
    both.commands.append(first[1] + second[1])


async def _each(do: Callable[[A], Awaitable[B]], given: Iterable[A], *, together: bool) -> list[B]:
    if together:
        return list(await asyncio.gather(*(do(one) for one in given)))
    return [await do(one) for one in given]


def _note(redis: Redis, case: Case, callers: int, into: _Busy) -> tuple[float, float]:
    stats = redis.client.info("commandstats")
    own = [stats[f"cmdstat_{name}"] for name in case.commands if f"cmdstat_{name}" in stats]
    ran = sum(one["calls"] for one in own)
    fewest = 1 if case.ours else callers  # ours puts calls that come together into one command
    assert ran >= fewest, f"{case_name(case.name, case.limits)}: {ran} commands for {callers}"
    found = sum(one["usec"] for one in own) / callers, ran / callers
    into.us.append(found[0])
    into.commands.append(found[1])
    return found


def _record(case: Case, both: _Busy, reserving: _Busy, settling: _Busy) -> dict[str, Any]:
    return {
        "case": case.name,
        "limits": case.limits,
        "ours": case.ours is not None,
        "call": both.figures(),
        "reserve": reserving.figures() if reserving.us else None,
        "settle": settling.figures() if settling.us else None,
    }
