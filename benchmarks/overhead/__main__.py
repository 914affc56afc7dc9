"""Measure what limiters add to a request: `python -m benchmarks.overhead --out result.json`.

All cases run in one process on one event loop, interleaved in rounds of random order, so that slow
moments of the machine affect all cases alike. A figure is a median over rounds; "added" and "ratio"
compare a case with the bare application of the same round. 256 callers take turns; every measured
request is admitted, and each batch asserts that all its answers were 200. The tables show processor
time, which other load on the machine hardly changes; nothing waits, so on an idle machine wall time
is the same.

Members of the JSON, all times in µs unless stated otherwise, each `{"median", "p25", "p75"}`:

    environment     machine, versions, event loop
    method          rounds, seconds a batch, callers
    sequential      a record for each case: case, path, us and added (by the wall), cpu_us and
                    cpu_added (processor time of the event loop's thread), process_us and
                    process_added (that of all threads), ratio (a number, of the thread's); added
                    and ratio are to the bare application, `base`
    in_flight_64    the same with 64 requests open at a time; not of bodies from 100 KB on
    not_measured    other limiters and stores that are not installed here
    chunks          case, us and added for each server-sent event of a stream, processor time
    admission       by limiter, 100 requests at once on 50: limits (a minute, an hour; 0 for none),
                    admitted, over, phantom (charged to the wider limit but not admitted)
    import_ms       milliseconds to import, in a new interpreter
    identity_bytes  bytes per additional caller
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from benchmarks.overhead.admission import admissions, bytes_per_identity, import_time
from benchmarks.overhead.cases import LONG_STREAM, SHORT_STREAM, Case, application, cases, stored
from benchmarks.overhead.frameworks import missing
from benchmarks.overhead.measure import Subject, interleaved
from benchmarks.overhead.report import (
    chunk_figures,
    environment,
    request_figures,
    show,
    subject_name,
)
from benchmarks.rounds import Progress, event_loop
from benchmarks.stores.servers import Servers, servers
from querybudget.asgi import QueryBudgetMiddleware

IN_FLIGHT = 64

LARGE = 64 * 1024
"""Bytes of a body above which it is not sent 64 times at once."""


async def measured(
    servers: Servers, *, rounds: int, batch: float, callers: int, identities: int
) -> dict[str, Any]:
    everything = [*cases(), *stored(servers)]
    one, many = _subjects(everything, 1), _subjects(everything, IN_FLIGHT)
    try:
        return await _figures(
            everything,
            (one, many),
            rounds=rounds,
            batch=batch,
            callers=callers,
            identities=identities,
            absent=[*missing(), *servers.skipped],
        )
    finally:
        for subject in (*one, *many):
            if isinstance(subject.app, QueryBudgetMiddleware):
                await subject.app.limiter.aclose()


async def _figures(
    everything: list[Case],
    subjects: tuple[list[Subject], list[Subject]],
    *,
    rounds: int,
    batch: float,
    callers: int,
    identities: int,
    absent: list[str],
) -> dict[str, Any]:
    titles = ("one at a time", f"{IN_FLIGHT} in flight")
    sequential, concurrent = [
        await interleaved(
            of,
            rounds=rounds,
            batch=batch,
            callers=callers,
            tick=Progress(title, rounds * len(of)),
        )
        for of, title in zip(subjects, titles, strict=True)
    ]
    return {
        "method": {"rounds": rounds, "batch_s": batch, "callers": callers},
        "not_measured": absent,
        "sequential": request_figures(everything, sequential),
        "in_flight_64": request_figures(everything, concurrent),
        "chunks": chunk_figures(everything, sequential),
        "admission": await admissions(),
        "identity_bytes": await bytes_per_identity(identities),
    }


def _subjects(everything: list[Case], in_flight: int) -> list[Subject]:
    streams = {SHORT_STREAM, LONG_STREAM}
    return [
        Subject(
            subject_name(case),
            case.around(application()),
            case.request,
            in_flight,
        )
        for case in everything
        if in_flight == 1 or not (case.request in streams or len(case.request.body) > LARGE)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.overhead", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="where the JSON is written")
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter rounds: under a minute"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        rounds, batch, callers, identities, imports = 3, 0.01, 16, 500, 3
    else:
        rounds, batch, callers, identities, imports = 31, 0.03, 256, 5000, 11
    factory, loop = event_loop()
    with servers() as found, asyncio.Runner(loop_factory=factory) as runner:
        figures = runner.run(
            measured(found, rounds=rounds, batch=batch, callers=callers, identities=identities)
        )
    result = {"environment": environment(loop), **figures, "import_ms": import_time(imports)}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    show(result)
    print(f"\nwritten to {arguments.out}")


if __name__ == "__main__":
    main()
