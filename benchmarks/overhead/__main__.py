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
                    cpu_added (processor time of the event loop's thread), ratio (a number, of
                    processor times); added and ratio are to the bare application
    in_flight_64    the same with 64 requests open at a time
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
from benchmarks.overhead.cases import LONG_STREAM, SHORT_STREAM, Case, application, cases
from benchmarks.overhead.measure import Subject, interleaved
from benchmarks.overhead.report import (
    chunk_figures,
    environment,
    request_figures,
    show,
    subject_name,
)
from benchmarks.rounds import Progress, event_loop

CALLERS = 256
IN_FLIGHT = 64


async def measured(*, rounds: int, batch: float, identities: int) -> dict[str, Any]:
    everything = cases()
    one, many = _subjects(everything, 1), _subjects(everything, IN_FLIGHT)
    titles = ("one at a time", f"{IN_FLIGHT} in flight")
    sequential, concurrent = [
        await interleaved(
            subjects,
            rounds=rounds,
            batch=batch,
            callers=CALLERS,
            tick=Progress(title, rounds * len(subjects)),
        )
        for subjects, title in zip((one, many), titles, strict=True)
    ]
    return {
        "method": {"rounds": rounds, "batch_s": batch, "callers": CALLERS},
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
        if in_flight == 1 or case.request not in streams
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.overhead", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="where the JSON is written")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: under 40 s")
    arguments = parser.parse_args()
    if arguments.quick:
        rounds, batch, identities, imports = 9, 0.01, 1000, 3
    else:
        rounds, batch, identities, imports = 41, 0.03, 5000, 11
    factory, loop = event_loop()
    with asyncio.Runner(loop_factory=factory) as runner:
        figures = runner.run(measured(rounds=rounds, batch=batch, identities=identities))
    result = {"environment": environment(loop), **figures, "import_ms": import_time(imports)}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    show(result)
    print(f"\nwritten to {arguments.out}")


if __name__ == "__main__":
    main()
