"""Shared by the benchmarks of costs: rounds, their spread, and the environment."""

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
"""Maximum of calls in a batch."""


class Timed(Protocol):
    """One batch."""

    @property
    def wall(self) -> float:
        """µs per call, of wall time."""
        ...


T = TypeVar("T")
S = TypeVar("S")


class Progress:
    """One progress line on standard error."""

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
    """Measure every subject once per round, in random order, so that noise affects all alike.

    Args:
        subjects: The subjects to measure, by name.
        sample: Measures one batch of a subject.
        rounds: Number of samples of each.
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
    """Return the number of calls that take about this many seconds, once all callers are known."""
    await batch(callers)
    cost = (await batch(callers)).wall
    return min(max(int(seconds * 1e6 / cost), in_flight), MOST)


def spread(values: Sequence[float]) -> Mapping[str, float]:
    """Return median and quartiles, to three decimals."""
    low, _, high = quantiles(values, n=4)
    return {"median": round(median(values), 3), "p25": round(low, 3), "p75": round(high, 3)}


def event_loop() -> tuple[Callable[[], asyncio.AbstractEventLoop], str]:
    """Return the fastest event loop available, and its name."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop, "asyncio"
    return uvloop.new_event_loop, "uvloop"


def machine(loop: str) -> dict[str, Any]:
    """Return the environment of a benchmark."""
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
