"""Turns samples into figures, and figures into a table."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.overhead.cases import BARE, CHUNKS, LONG_STREAM, SHORT_STREAM, Case
from benchmarks.overhead.measure import Sample
from benchmarks.rounds import machine, spread

__all__ = ["chunk_figures", "environment", "request_figures", "show"]

PACKAGES = (
    "asgi-ratelimit",
    "cachetools",
    "fastapi",
    "fastapi-limiter",
    "hiredis",
    "limits",
    "litestar",
    "msgspec",
    "numpy",
    "pyrate-limiter",
    "querybudget",
    "redis",
    "slowapi",
    "starlette",
    "throttled-py",
    "uvloop",
)


def request_figures(
    cases: Sequence[Case], samples: Mapping[str, list[Sample]]
) -> list[dict[str, Any]]:
    """Return one record per case, relative to the bare application in the same round."""
    return [
        _record(case, samples[subject_name(case)], samples[subject_name(case, case.base)])
        for case in cases
        if subject_name(case) in samples and case.request not in {SHORT_STREAM, LONG_STREAM}
    ]


def subject_name(case: Case, name: str | None = None) -> str:
    return f"{name or case.name} @ {case.request.title}"


def chunk_figures(
    cases: Sequence[Case], samples: Mapping[str, list[Sample]]
) -> list[dict[str, Any]]:
    """Return the cost of a chunk: long minus short stream, and that minus the bare application."""

    def chunks(name: str) -> list[float]:
        long, short = (
            samples[f"{name} @ {request.title}"] for request in (LONG_STREAM, SHORT_STREAM)
        )
        return [(a.cpu - b.cpu) / CHUNKS for a, b in zip(long, short, strict=True)]

    bare = chunks(BARE)
    records = list[dict[str, Any]]()
    for name in [case.name for case in cases if case.request is LONG_STREAM]:
        own = chunks(name)
        added = [a - b for a, b in zip(own, bare, strict=True)]
        records.append({"case": name, "us": spread(own), "added": spread(added)})
    return records


def environment(loop: str) -> dict[str, Any]:
    """Return machine and versions."""
    return {
        **machine(loop),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def show(result: Mapping[str, Any]) -> None:
    """Print the result, with `rich` if it is installed."""
    concurrent = {(r["case"], r["path"]): r for r in result["in_flight_64"]}
    rows = [
        (
            r["case"],
            r["path"],
            *_columns(r),
            *_columns(concurrent.get((r["case"], r["path"]))),
        )
        for r in result["sequential"]
    ]
    _table(
        "Per request, us of processor time",
        ("case", "path", "us", "added", "ratio", "64: us", "64: added", "64: ratio"),
        rows,
    )
    _table(
        "Per SSE chunk, us of processor time",
        ("case", "us", "added"),
        [(r["case"], _number(r["us"]), _number(r["added"])) for r in result["chunks"]],
    )
    _table(
        "Admission, 100 at once on a limit of 50",
        ("case", "limits", "admitted", "over", "phantom"),
        [
            (name, "{}/min {}/h".format(*r["limits"]), r["admitted"], r["over"], r["phantom"])
            for name, records in result["admission"].items()
            for r in records
        ],
    )
    _table("Import, ms", ("package", "ms"), list(result["import_ms"].items()))
    _table("Memory, bytes an identity", ("case", "bytes"), list(result["identity_bytes"].items()))


def _record(case: Case, own: Sequence[Sample], bare: Sequence[Sample]) -> dict[str, Any]:
    pairs = list(zip(own, bare, strict=True))
    return {
        "case": case.name,
        "path": case.request.title,
        "us": spread([a.wall for a in own]),
        "cpu_us": spread([a.cpu for a in own]),
        "process_us": spread([a.process for a in own]),
        "base": case.base,
        "added": spread([a.wall - b.wall for a, b in pairs]),
        "process_added": spread([a.process - b.process for a, b in pairs]),
        "cpu_added": spread([a.cpu - b.cpu for a, b in pairs]),
        "ratio": round(median(a.cpu / b.cpu for a, b in pairs), 3),
    }


def _columns(record: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if record is None:
        return "-", "-", "-"
    return _number(record["cpu_us"]), _number(record["cpu_added"]), f"{record['ratio']:.2f}"


def _number(figures: Mapping[str, float]) -> str:
    return f"{figures['median']:.2f}"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    cells = [[str(cell) if cell is not None else "-" for cell in row] for row in rows]
    try:
        from rich.console import Console  # noqa: PLC0415 - not everybody has it
        from rich.table import Table  # noqa: PLC0415
    except ImportError:
        print(f"\n{title}\n" + " | ".join(head))
        print("\n".join(" | ".join(row) for row in cells))
        return
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(head):
        table.add_column(name, justify="right" if index and name != "path" else "left")
    for row in cells:
        table.add_row(*row)
    Console(width=140).print(table)
