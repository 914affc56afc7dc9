"""Measure growth: `python -m benchmarks.scale --out result.json [--quick]`.

Members of the JSON:

    environment     machine, versions, event loop
    identities      in the memory of one process, four budgets and one in buckets: identities, us a
                    call and p999_us (reserve and settle, processor time), stall_ms (longest time
                    between two turns of another task, processor time), bytes (resident, of each)
    workers         processes on one store, 64 calls open in each, four budgets: store, workers,
                    calls, per_second, client_us (processor time of the workers, a call), p50_ms,
                    p999_ms, stall_ms (by the wall); on Redis also, for a call, server_us (of its
                    process), script_us (by its own count), commands, bytes_in and bytes_out
    growth          us added to a request by a policy: kind (budgets that all apply; rules: budgets
                    whose match holds for none; tiers: whose `when` holds for none), count
    not_measured    stores that are not here
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.overhead.report import environment
from benchmarks.rounds import Progress, event_loop
from benchmarks.scale.growth import growth
from benchmarks.scale.workers import together
from benchmarks.stores.servers import Servers, servers

WORKERS = (1, 2, 4)


@dataclass(frozen=True)
class Method:
    """How much is done.

    Attributes:
        identities: Sizes of the table in memory.
        timed: Calls timed with each.
        seconds: How long workers ask.
        rounds: Of growth.
        calls: In each of them.
    """

    identities: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    timed: int = 20_000
    seconds: float = 4
    rounds: int = 7
    calls: int = 400


QUICK = Method((1_000, 10_000), 3_000, 1, 3, 100)


def measured(found: Servers, method: Method) -> dict[str, Any]:
    tick = Progress("processes", len(method.identities) + 2 * len(WORKERS))
    identities = list[dict[str, Any]]()
    for size in method.identities:
        identities.append(_table(size, method.timed))
        tick()
    workers = list[dict[str, Any]]()
    urls = {"SQLite": f"sqlite:///{found.directory}/scale.db"}
    if found.redis:
        urls["Redis"] = found.redis.url
    for name, url in urls.items():
        redis = found.redis if name == "Redis" else None
        for count in WORKERS:
            workers.append(together(name, url, count, method.seconds, redis))
            tick()
    return {
        "identities": identities,
        "workers": workers,
        "not_measured": list(found.skipped),
    }


def _table(identities: int, timed: int) -> dict[str, Any]:
    words = [sys.executable, "-m", "benchmarks.scale.identities", str(identities)]
    run = subprocess.run([*words, "--timed", str(timed)], stdout=subprocess.PIPE, check=True)
    record: dict[str, Any] = json.loads(run.stdout)
    return record


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.scale", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="where the JSON is written")
    parser.add_argument("--quick", action="store_true", help="no more than 10,000 identities")
    given = parser.parse_args(arguments)
    method = QUICK if given.quick else Method()
    factory, loop = event_loop()
    with servers() as found:
        figures = measured(found, method)
    with asyncio.Runner(loop_factory=factory) as runner:
        figures["growth"] = runner.run(growth(method.rounds, method.calls))
    result = {"environment": environment(loop), **figures}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    for kind in ("identities", "workers", "growth"):
        for record in result[kind]:
            print(", ".join(f"{name} {value}" for name, value in record.items()))
    print(f"written to {given.out}")


if __name__ == "__main__":
    main()
