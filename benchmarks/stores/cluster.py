"""What a call costs the masters of a Redis Cluster: `python -m benchmarks.stores.cluster`.

Starts three masters of its own. 64 calls are open at a time, of 256 callers, with the four budgets
of `benchmarks.stores`; then with a budget of the caller's organisation beside them, whose account
is on any master.

Prints for each load the µs that all masters spend on a call by their own count, those of the
busiest, and the scripts run for a call. `--out FILE` writes them as JSON too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from msgspec.structs import replace

from benchmarks.stores.calls import FOUR, Ours, partition
from benchmarks.stores.cases import opened
from querybudget.ledger import Charge
from tests.servers.cluster import ClusterSet

CALLERS, OPEN, ROUNDS = 256, 64, 30
SEEN = 4
"""Calls of every caller before, so that scripts and accounts are there."""

ORGANISATIONS = 32


@dataclass
class Shared(Ours):
    """Callers whose organisation has the last of the budgets."""

    def charge(self, caller: int) -> Charge:
        alone = super().charge(caller)
        theirs = partition(caller % ORGANISATIONS, f"{self.name} organisation")
        *own, shared = alone.lines
        return replace(alone, lines=(*own, replace(shared, partition=theirs)))


async def measured(cluster: ClusterSet, load: str, rounds: int = ROUNDS) -> dict[str, Any]:
    """The figures of one load."""
    async with AsyncExitStack() as stack:
        ours = opened(stack, cluster.url, FOUR, load)
        if load != "4":
            ours = Shared(ours.store, (*ours.budgets, ours.budgets[0]), name=load)
        for _ in range(SEEN):
            await _round(ours)
        batches = list[list[tuple[float, int]]]()
        for _ in range(rounds):
            for node in cluster.nodes:
                node.call("CONFIG", "RESETSTAT")
            await _round(ours)
            batches.append([_spent(node.call("INFO", "commandstats")) for node in cluster.nodes])
    busy = [[us / CALLERS for us, _ in nodes] for nodes in batches]
    busiest = median(max(nodes) for nodes in busy)
    return {
        "limits": load,
        "us": round(median(map(sum, busy)), 1),
        "busiest_us": round(busiest, 1),
        "scripts": round(median(sum(ran for _, ran in nodes) / CALLERS for nodes in batches), 2),
    }


async def _round(ours: Ours) -> None:
    """One call of each caller, so many open at a time."""
    for first in range(0, CALLERS, OPEN):
        callers = range(first, first + OPEN)
        assert all(await asyncio.gather(*(ours.ask(caller) for caller in callers)))


def _spent(stats: str) -> tuple[float, int]:
    """Return the µs that a master has spent in scripts, and how many it has run."""
    us, ran = 0.0, 0
    for line in stats.splitlines():
        name, _, said = line.partition(":")
        if name in {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_fcall"}:
            values = dict(pair.split("=") for pair in said.split(","))
            us, ran = us + float(values["usec"]), ran + int(values["calls"])
    return us, ran


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.stores.cluster")
    parser.add_argument("--out", type=Path, help="where the JSON is written")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    with ClusterSet() as cluster:
        found = [
            asyncio.run(measured(cluster, load, given.rounds)) for load in ("4", "4 + organisation")
        ]
    for one in found:
        print(json.dumps(one))
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
