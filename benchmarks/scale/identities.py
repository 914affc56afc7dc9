"""Many identities in the memory of one process: time and bytes of a charge, and stalls.

Run as a process of its own for each size, so that the bytes of one are not those of another:

    python -m benchmarks.scale.identities 100000

prints one line of JSON. Every identity makes one call, settled, with four budgets and one in
buckets; then calls of random identities are timed, while another task of the event loop notes how
long it had to wait for its turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

from benchmarks.rounds import event_loop
from benchmarks.stores.calls import COVERED, Ours, budgets, observations
from querybudget.stores import MemoryStore, system_clock

__all__ = ["measured", "percentile", "resident"]

TIMED = 20_000
SHOWN = 40
"""Callers whose prompts are analysed beforehand; the others show the same."""

Record = dict[str, Any]


async def measured(identities: int, timed: int = TIMED) -> Record:
    """A record: us a call (median), p999_us, stall_ms, bytes an identity."""
    shown = await observations("mixed", SHOWN, 10)
    store = MemoryStore(system_clock(), max_identities=2 * identities + 1000)
    ours = Ours(store, budgets(COVERED), shown, "scale")
    gc.collect()
    before = resident()
    for identity in range(identities):
        await _ask(ours, identity)
    gc.collect()
    grown = resident() - before
    times, longest = await _timed(ours, identities, timed)
    times.sort()
    return {
        "identities": identities,
        "us": round(percentile(times, 0.5) / 1000, 2),
        "p999_us": round(percentile(times, 0.999) / 1000, 2),
        "stall_ms": round(longest / 1e6, 3),
        "bytes": round(grown / identities),
    }


async def _timed(ours: Ours, identities: int, timed: int) -> tuple[list[int], int]:
    draw, ended = random.Random(3), asyncio.Event()
    waiting = asyncio.create_task(_longest_wait(ended))
    await asyncio.sleep(0)
    times = list[int]()
    for _ in range(timed):
        identity = draw.randrange(identities)
        begin = time.thread_time_ns()
        await _ask(ours, identity)
        times.append(time.thread_time_ns() - begin)
        await asyncio.sleep(0)
    ended.set()
    return times, await waiting


async def _longest_wait(ended: asyncio.Event) -> int:
    """The longest time between two turns, ns of this thread's processor time."""
    longest, last = 0, time.thread_time_ns()
    while not ended.is_set():
        await asyncio.sleep(0)
        now = time.thread_time_ns()
        longest, last = max(longest, now - last), now
    return longest


async def _ask(ours: Ours, identity: int) -> None:
    who = blake2b(identity.to_bytes(8), digest_size=16).hexdigest()
    # What the load remembers of callers must not count as what the store does.
    decision = await ours.store.reserve(ours.charged(who, identity % SHOWN))
    assert decision.reservation is not None
    await ours.settle(decision.reservation)


def percentile(ordered: list[int], share: float) -> int:
    """Of values in order: the least that so large a share does not exceed."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("identities", type=int)
    parser.add_argument("--timed", type=int, default=TIMED)
    given = parser.parse_args()
    factory, _ = event_loop()
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(measured(given.identities, given.timed))))


if __name__ == "__main__":
    main()
