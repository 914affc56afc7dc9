"""Every case once in each round, in an order shuffled anew, so that noise falls on all alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from benchmarks.rounds import calibrated, spread
from benchmarks.rounds import interleaved as rounds_of
from benchmarks.stores.cases import Case
from benchmarks.stores.names import LIMITS, case_name

__all__ = ["IN_FLIGHT", "Sample", "figures", "interleaved", "overlapping"]

IN_FLIGHT = 64


@dataclass(frozen=True)
class Sample:
    """One batch, µs a call.

    Attributes:
        wall: By the wall.
        cpu: Processor time of the event loop's thread.
        process: Processor time of all threads of this process.
    """

    wall: float
    cpu: float
    process: float


async def interleaved(
    subjects: Sequence[Case],
    *,
    in_flight: int,
    rounds: int,
    batch: float,
    callers: int,
    tick: Callable[[], object],
) -> dict[str, list[Sample]]:
    """The samples of each case by name; the n-th of all were taken in the same round.

    Args:
        subjects: What is measured.
        in_flight: Calls open at a time.
        rounds: How many samples of each.
        batch: Seconds that one sample should take.
        callers: How many callers take turns.
        tick: Called after each batch.
    """
    counts = {
        case_name(case.name, case.limits): await calibrated(
            partial(_batch, case, callers=callers, in_flight=in_flight),
            seconds=batch,
            callers=callers,
            in_flight=in_flight,
        )
        for case in subjects
    }
    return await rounds_of(
        {case_name(case.name, case.limits): case for case in subjects},
        lambda name, case: _batch(case, counts[name], callers, in_flight),
        rounds=rounds,
        tick=tick,
    )


def figures(
    subjects: Sequence[Case], samples: Mapping[str, Sequence[Sample]]
) -> list[dict[str, Any]]:
    """A record for each case; ratios are to `limits` on Redis with as many limits, same round."""
    return [_record(case, samples) for case in subjects]


def _record(case: Case, samples: Mapping[str, Sequence[Sample]]) -> dict[str, Any]:
    own = samples[case_name(case.name, case.limits)]
    base = samples.get(case_name(LIMITS, case.limits[0]))
    record: dict[str, Any] = {
        "case": case.name,
        "limits": case.limits,
        "ours": case.ours is not None,
        "us": spread([one.wall for one in own]),
        "cpu_us": spread([one.cpu for one in own]),
        "process_us": spread([one.process for one in own]),
        "ratio": None,
        "cpu_ratio": None,
    }
    if base:
        pairs = list(zip(own, base, strict=True))
        record["ratio"] = round(median(a.wall / b.wall for a, b in pairs), 3)
        record["cpu_ratio"] = round(median(a.cpu / b.cpu for a, b in pairs), 3)
    return record


async def overlapping(case: Case, count: int, callers: int, in_flight: int) -> None:
    """So many calls, each of which must be admitted, `in_flight` of them at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for index in numbers:
            if not await case.ask(index % callers):
                name = case_name(case.name, case.limits)
                message = f"{name}: expected every call to be admitted, call {index} was not"
                raise AssertionError(message)

    if in_flight == 1:
        await worker()
    else:
        await asyncio.gather(*(worker() for _ in range(in_flight)))


async def _batch(case: Case, count: int, callers: int, in_flight: int) -> Sample:
    process, cpu, wall = time.process_time_ns(), time.thread_time_ns(), time.perf_counter_ns()
    await overlapping(case, count, callers, in_flight)
    wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
    process = time.process_time_ns() - process
    return Sample(wall / count / 1000, cpu / count / 1000, process / count / 1000)
