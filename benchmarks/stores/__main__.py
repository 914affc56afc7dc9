"""Measure the stores: `python -m benchmarks.stores --out result.json`.

Starts a Redis server and memcached, and asks them through our stores and through other limiters.
What is not there is skipped, and said. `--report FILE` prints the tables of a result instead, and
with `--into docs/performance.md` puts them there, between its marks.

Costs are taken as in `benchmarks.overhead`: all cases in one process, one event loop, in rounds
whose order is shuffled; a figure is a median over rounds, a ratio one over same-round ratios.
"Ours" is a call from its reservation to its settlement, two round trips where there is a server;
the others are asked once, and settle nothing. Every measured call is admitted, or the run fails.

The JSON written, all times in µs, spreads as `{"median", "p25", "p75"}`:

    environment     machine, versions, event loop
    method          rounds, seconds a batch, callers
    skipped         what was not measured, and why
    sequential      a record for each case: case, limits ("1", "4", "4 + coverage"), ours, us (by
                    the wall), cpu_us (the event loop's thread), process_us (all threads of this
                    process); ratio and cpu_ratio, to `limits.aio` with as many fixed windows on
                    the same Redis server; null where there is none
    in_flight_64    the same with 64 calls open at a time
    server          time of the Redis server for a call, by its own count, with calls one at a time
                    and all of a batch at once (in_flight): call, reserve and settle, each the best
                    and the median of many batches, and commands sent
    sizes           bytes of all keys of an identity: store, callers (what they ask, for coverage),
                    a_day (how the calls are spread; 0: all in one moment), calls, bytes (median),
                    largest
    sqlite_sizes    bytes of the file for an identity: coverage, calls, bytes
    admission       128 calls at once on a limit of 64: limits (a minute, an hour; 0 for none),
                    admitted, errors by name, phantom (booked on the wider limit, not admitted)
    flood           500 calls at once: admitted, errors, connections
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.rounds import Progress, event_loop
from benchmarks.stores.admission import admissions, floods
from benchmarks.stores.calls import observations
from benchmarks.stores.cases import cases, missing
from benchmarks.stores.report import environment, markdown
from benchmarks.stores.rounds import IN_FLIGHT, figures, interleaved
from benchmarks.stores.server_time import server_times
from benchmarks.stores.servers import Servers, servers
from benchmarks.stores.sizes import redis_sizes, sqlite_sizes
from querybudget.coverage import Observation


@dataclass(frozen=True)
class Method:
    """How much is done.

    Attributes:
        rounds: Samples of each case.
        batch_s: Seconds that a sample should take.
        callers: Who take turns.
        server_rounds: Batches from which the server's time is taken.
        server_callers: Calls in each of them.
        identities: Whose bytes are counted, of each kind in Redis.
        calls: The most that each of those makes.
        rows: Identities in a file.
        row_calls: Calls of each.
    """

    rounds: int = 31
    batch_s: float = 0.03
    callers: int = 256
    server_rounds: int = 60
    server_callers: int = 64
    identities: int = 8
    calls: int = 200
    rows: int = 400
    row_calls: int = 26


BEGIN, END = "<!-- stores: begin -->", "<!-- stores: end -->"
"""Around the tables in a page."""

QUICK = Method(9, 0.01, 64, 12, 32, 4, 200, 100, 26)
TINY = Method(2, 0.0005, 4, 2, 4, 1, 2, 5, 2)
"""Of no worth as figures: it only shows that everything runs."""


async def measured(found: Servers, method: Method) -> dict[str, Any]:
    """All figures."""
    skipped = [*found.skipped, *missing()]
    for what in skipped:
        print(f"SKIPPED: {what}", file=sys.stderr)
    result: dict[str, Any] = {"method": asdict(method), "skipped": skipped}
    result |= await _costs(found, method)
    result["sizes"] = await redis_sizes(found, method.identities, method.calls)
    result["sqlite_sizes"] = await sqlite_sizes(found, method.rows, method.row_calls)
    result["admission"] = await admissions(found)
    result["flood"] = await floods(found)
    return result


async def _costs(found: Servers, method: Method) -> dict[str, Any]:
    result: dict[str, Any] = {}
    shown = await observations("mixed", min(method.callers, 40), 50)
    async with AsyncExitStack() as stack:
        everything = cases(stack, found, shown)
        for key, in_flight in (("sequential", 1), (f"in_flight_{IN_FLIGHT}", IN_FLIGHT)):
            samples = await interleaved(
                everything,
                in_flight=in_flight,
                rounds=method.rounds,
                batch=method.batch_s,
                callers=method.callers,
                tick=Progress(f"{in_flight} in flight", method.rounds * len(everything)),
            )
            result[key] = figures(everything, samples)
    result["server"] = await _server(found, method, shown)
    return result


async def _server(
    found: Servers, method: Method, shown: Sequence[Sequence[Observation]]
) -> list[dict[str, Any]]:
    records = list[dict[str, Any]]()
    if found.redis is None:
        return records
    for together in (False, True):
        found.redis.client.flushall()
        async with AsyncExitStack() as stack:
            records += await server_times(
                found.redis,
                cases(stack, found, shown),
                rounds=method.server_rounds,
                callers=method.server_callers,
                together=together,
            )
    return records


def run(method: Method, out: Path) -> dict[str, Any]:
    """Measure, and write what was found."""
    factory, loop = event_loop()
    with servers() as found, asyncio.Runner(loop_factory=factory) as runner:
        figures_of_all = runner.run(measured(found, method))
        version = found.redis.version if found.redis else ""
    result = {"environment": environment(loop, version), **figures_of_all}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.stores", description=(__doc__ or "").partition("\n")[0]
    )
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--out", type=Path, help="where the JSON is written")
    wanted.add_argument("--report", type=Path, help="a result whose tables are printed")
    parser.add_argument("--into", type=Path, help="a page to put the tables of --report into")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    sizes.add_argument("--tiny", action="store_true", help="only see that everything runs")
    given = parser.parse_args(arguments)
    if given.into and not given.report:
        parser.error("--into goes with --report")
    if given.report:
        _report(json.loads(given.report.read_text()), given.into)
        return
    method = TINY if given.tiny else QUICK if given.quick else Method()
    print(markdown(run(method, given.out)))
    print(f"\nwritten to {given.out}", file=sys.stderr)


def _report(result: dict[str, Any], page: Path | None) -> None:
    if page is None:
        print(markdown(result))
        return
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page}: expected {BEGIN} and {END} around what is to be replaced")
    page.write_text(f"{before}{begin}\n{markdown(result)}\n{end}{after}")


if __name__ == "__main__":
    main()
