"""Several processes on one store: what they get through, and what it costs them and the server.

    python -m benchmarks.scale.workers URL --begin T --seconds 2

is one of them: it begins at T of `time.time()` and prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

from benchmarks.rounds import event_loop
from benchmarks.scale.identities import percentile
from benchmarks.stores.calls import FOUR
from benchmarks.stores.cases import opened
from benchmarks.stores.servers import Redis
from querybudget.stores import Starts

__all__ = ["OPEN", "together"]

OPEN = 64
"""Calls open at a time, in each process."""

IDENTITIES = 10_000

STARTING = 4.0
"""Seconds for a process to load before all begin at once."""

Record = dict[str, Any]


def together(store: str, url: str, workers: int, seconds: float, redis: Redis | None) -> Record:
    """What so many processes get through at once.

    Args:
        store: Its name.
        url: Of the store.
        workers: Processes.
        seconds: How long each of them asks.
        redis: The server to look at before and after; None for another store.
    """
    begin = time.time() + STARTING + workers / 2
    words = [sys.executable, "-m", "benchmarks.scale.workers", url, "--begin", str(begin)]
    words += ["--seconds", str(seconds)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    before = dict[str, float]()
    if redis is not None:
        time.sleep(max(begin - 0.1 - time.time(), 0))
        before = _server(redis)
    found = list[Record]()
    for process in running:
        printed, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"a worker on {store} ended with {process.returncode}")
        found.append(json.loads(printed))
    record = summary(store, found)
    if redis is not None:
        after = _server(redis)
        calls = sum(one["calls"] for one in found)
        record |= {name: round((after[name] - before[name]) / calls, 3) for name in after}
    return record


def summary(store: str, found: list[Record]) -> Record:
    """All workers as one record."""
    calls = sum(one["calls"] for one in found)
    return {
        "store": store,
        "workers": len(found),
        "calls": calls,
        "per_second": round(sum(one["calls"] / one["seconds"] for one in found), 1),
        "client_us": round(sum(one["cpu_s"] for one in found) / calls * 1e6, 2),
        "p50_ms": round(median(one["p50_ms"] for one in found), 3),
        "p999_ms": max(one["p999_ms"] for one in found),
        "stall_ms": max(one["stall_ms"] for one in found),
    }


def _server(redis: Redis) -> dict[str, float]:
    """What the server has spent so far: µs in all and in scripts, bytes and commands."""
    info = redis.client.info("everything")
    stats = {name[8:]: one for name, one in info.items() if name.startswith("cmdstat_")}
    scripts = [one for name, one in stats.items() if name in {"evalsha", "fcall"}]
    return {
        "server_us": 1e6 * (info["used_cpu_user"] + info["used_cpu_sys"]),
        "script_us": float(sum(one["usec"] for one in scripts)),
        "commands": float(sum(one["calls"] for one in scripts)),
        "bytes_in": float(info["total_net_input_bytes"]),
        "bytes_out": float(info["total_net_output_bytes"]),
    }


async def _worker(url: str, begin: float, seconds: float) -> Record:
    draw, times = random.Random(), list[int]()
    async with AsyncExitStack() as stack:
        ours = opened(stack, url, FOUR, "workers")
        if isinstance(ours.store, Starts):
            await ours.store.start()
        await asyncio.sleep(max(begin - time.time(), 0))
        started, cpu, stalled = time.monotonic(), time.process_time(), [0.0]
        until = started + seconds

        async def calls() -> None:
            while time.monotonic() < until:
                at = time.perf_counter_ns()
                assert await ours.ask(draw.randrange(IDENTITIES))
                times.append(time.perf_counter_ns() - at)

        async def watch() -> None:
            while time.monotonic() < until:
                at = time.monotonic()
                await asyncio.sleep(0)
                stalled[0] = max(stalled[0], time.monotonic() - at)
                await asyncio.sleep(0.001)

        await asyncio.gather(watch(), *(calls() for _ in range(OPEN)))
        taken, cpu = time.monotonic() - started, time.process_time() - cpu
    times.sort()
    return {
        "calls": len(times),
        "seconds": taken,
        "cpu_s": cpu,
        "p50_ms": percentile(times, 0.5) / 1e6,
        "p999_ms": round(percentile(times, 0.999) / 1e6, 3),
        "stall_ms": round(1000 * stalled[0], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--begin", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    factory, _ = event_loop()
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(_worker(given.url, given.begin, given.seconds))))


if __name__ == "__main__":
    main()
