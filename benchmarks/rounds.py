"""What every benchmark of costs has in common: rounds, their spread, and where they were run."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Protocol, TypeVar

__all__ = ["Progress", "calibrated", "event_loop", "interleaved", "machine", "spread"]

MOST = 4096
"""Calls in a batch at most."""


class Timed(Protocol):
    """One batch."""

    @property
    def wall(self) -> float:
        """µs a call, by the wall."""
        ...


T = TypeVar("T")
S = TypeVar("S")


class Progress:
    """One line on standard error."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._begun = time.monotonic()

    def __call__(self) -> None:
        self._done += 1
        if self._done % 10 == 0 or self._done == self._total:
            seconds = time.monotonic() - self._begun
            end = "\n" if self._done == self._total else ""
            line = f"\r{self._title}: {self._done}/{self._total}, {seconds:.0f} s"
            print(line, end=end, file=sys.stderr, flush=True)


async def interleaved(
    subjects: Mapping[str, T],
    sample: Callable[[str, T], Awaitable[S]],
    *,
    rounds: int,
    tick: Callable[[], object],
) -> dict[str, list[S]]:
    """Every subject once in each round, in an order shuffled anew: noise falls on all alike.

    Args:
        subjects: What is measured, by name.
        sample: Takes one batch of it.
        rounds: How many samples of each.
        tick: Called after each batch.

    Returns:
        The samples of each subject by name; the n-th of all were taken in the same round.
    """
    order, shuffled = list(subjects), random.Random(1)
    samples: dict[str, list[S]] = {name: [] for name in subjects}
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        shuffled.shuffle(order)
        for name in order:
            gc.collect(0)
            samples[name].append(await sample(name, subjects[name]))
            tick()
    gc.unfreeze()
    return samples


async def calibrated(
    batch: Callable[[int], Awaitable[Timed]], *, seconds: float, callers: int, in_flight: int
) -> int:
    """Calls that take about so many seconds, every caller having been seen once before."""
    await batch(callers)
    cost = (await batch(callers)).wall
    return min(max(int(seconds * 1e6 / cost), in_flight), MOST)


def spread(values: Sequence[float]) -> Mapping[str, float]:
    """Median and quartiles, to three digits behind the point."""
    low, _, high = quantiles(values, n=4)
    return {"median": round(median(values), 3), "p25": round(low, 3), "p75": round(high, 3)}


def event_loop() -> tuple[Callable[[], asyncio.AbstractEventLoop], str]:
    """The fastest event loop that there is here, and its name."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop, "asyncio"
    return uvloop.new_event_loop, "uvloop"


def machine(loop: str) -> dict[str, Any]:
    """What a benchmark was run on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "loop": loop,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
