"""From a result to the tables of docs/performance.md."""

from __future__ import annotations

import importlib.metadata
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.rounds import machine
from benchmarks.stores.server_time import SEEN

__all__ = ["environment", "markdown"]

PACKAGES = (
    "asgi-ratelimit",
    "limits",
    "memcachio",
    "msgspec",
    "querybudget",
    "redis",
    "throttled-py",
    "uvloop",
)
SERVER_GOAL = 12
"""µs of the server's time for a charge that were aimed for."""

BYTES_GOAL = 600
"""Bytes of an identity with coverage that were aimed for."""

Record = Mapping[str, Any]


def environment(loop: str, redis: str) -> dict[str, Any]:
    """Machine and versions; of packages, those that are there."""
    return {
        **machine(loop),
        "redis_server": redis,
        "packages": dict(_versions()),
    }


def markdown(result: Record) -> str:
    """All tables, how they were made, and what the goals came to."""
    parts = [
        INTRODUCTION,
        *(f"Not measured: {what}." for what in result["skipped"]),
        *_costs(result),
        *(_server(result["server"]) if result["server"] else ()),
        *(_sizes(result["sizes"]) if result["sizes"] else ()),
        *_sqlite(result["sqlite_sizes"]),
        *_admission(result["admission"]),
        *(_flood(result["flood"]) if result["flood"] else ()),
        _method(result),
    ]
    return "\n\n".join(map(_wrapped, parts))


INTRODUCTION = """\
`python -m benchmarks.stores --out result.json` (some minutes) starts a Redis server and memcached
of its own, and asks them through our stores and through other limiters, in one run;
`benchmarks/results/stores.json` is the run that is shown here. A call of ours is a reservation and
its settlement: two round trips where there is a server, three with coverage. The others are asked
once for each limit and settle nothing. Four budgets are requests a minute, tokens a day, money a
month and open calls; for memcached, four sliding windows. Ratios compare with `limits.aio` asked
for as many limits, on the same server in the same round."""


def _costs(result: Record) -> Iterator[str]:
    overlapped = {(r["case"], r["limits"]): r for r in result["in_flight_64"]}
    rows = [
        (
            record["case"],
            record["limits"],
            *_overlapped(record),
            *_overlapped(overlapped[record["case"], record["limits"]]),
        )
        for record in result["sequential"]
    ]
    head = ("store or limiter", "limits", "µs", "ratio", "CPU µs", "ratio")
    more = ("64: µs", "ratio", "64: CPU µs", "ratio")
    yield "### What a call costs"
    yield (
        "µs by the wall, and of processor time of the event loop's thread: one call at a time, and"
        " with 64 open."
    )
    yield _table((*head, *more), rows)
    four = _one(result["sequential"], case="SQLite", limits="4")
    if four:
        yield (
            "SQLite works in a thread of its own beside the event loop: all threads together spend"
            f" {_middle(four['process_us'])} µs on a call with four budgets."
        )


def _overlapped(record: Record) -> tuple[str, ...]:
    return (
        _middle(record["us"]),
        _ratio(record["ratio"]),
        _middle(record["cpu_us"]),
        _ratio(record["cpu_ratio"]),
    )


def _server(records: Sequence[Record]) -> Iterator[str]:
    alone = [record for record in records if record["in_flight"] == 1]
    together = {(r["case"], r["limits"]): r for r in records if r["in_flight"] > 1}
    at_once = max(record["in_flight"] for record in records)
    steps = ("reserve", "settle", "call")
    rows = [
        (
            record["case"],
            record["limits"],
            f"{record['call']['commands']:.1f}",
            *(_best(record[step]) for step in steps),
            *(_best(together[record["case"], record["limits"]][step]) for step in steps),
        )
        for record in alone
    ]
    head = ("store or limiter", "limits", "commands", "reserve", "settle", "whole call")
    more = (f"{at_once}: reserve", "settle", "whole call")
    yield "### How long the Redis server is busy with a call"
    yield (
        "µs by the server's own count, the median batch and in brackets the best one. Every caller"
        f" has made {SEEN} calls before. With coverage, the server keeps profiles of made-up"
        " prompts as the shipped embedding sees them."
    )
    yield _table((*head, *more), rows)
    one, many = (
        _one(alone, case="Redis", limits="4"),
        together.get(("Redis", "4")),
    )
    if one and many:
        slow, fast = one["reserve"]["median"], many["reserve"]["median"]
        yield (
            f"Aimed for: at most {SERVER_GOAL} µs for a charge. Charging four budgets takes"
            f" {slow:.1f} µs for a call alone ({_met(slow, SERVER_GOAL)}), {fast:.1f} µs with"
            f" {at_once} at once ({_met(fast, SERVER_GOAL)})."
        )


def _sizes(records: Sequence[Record]) -> Iterator[str]:
    rows = [
        (
            record["store"],
            record["callers"],
            f"{record['a_day']} a day" if record["a_day"] else "at once",
            record["calls"],
            record["bytes"],
            record["largest"],
        )
        for record in records
    ]
    head = ("store or limiter", "coverage of", "calls come", "calls", "bytes", "largest")
    yield "### What an identity takes in Redis"
    yield (
        "Bytes of all its keys (`MEMORY USAGE`), the median identity and the largest, after so many"
        " settled calls that come over days or all in one moment."
    )
    yield _table(head, rows, words=3)
    covered = [r for r in records if r["store"] == "Redis" and r["callers"] != "no coverage"]
    found = [r["bytes"] for r in covered]
    kept = sum(size <= BYTES_GOAL for size in found)
    yield (
        f"Aimed for: at most {BYTES_GOAL} bytes with coverage. {kept} of the {len(found)} medians"
        f" above are within, the largest is {max(found)}: {_met(max(found), BYTES_GOAL)}."
    )


def _sqlite(records: Sequence[Record]) -> Iterator[str]:
    rows = [("yes" if r["coverage"] else "no", r["calls"], r["bytes"]) for r in records]
    head = ("coverage", "calls of each", "bytes of the file an identity")
    yield "### What an identity takes in SQLite"
    yield _table(head, rows, words=1)


def _admission(records: Sequence[Record]) -> Iterator[str]:
    by_name: dict[str, list[Record]] = {}
    for record in records:
        by_name.setdefault(record["case"], []).append(record)
    rows = [
        (
            name,
            *(record["admitted"] for record in own),
            *(record["phantom"] for record in own if record["phantom"] is not None),
            _errors(own),
        )
        for name, own in by_name.items()
    ]
    head = (
        "store or limiter",
        "64 a minute",
        "64 a minute, 640 an hour",
        "640 a minute, 64 an hour",
        "booked, narrow minute",
        "booked, narrow hour",
        "errors",
    )
    yield "### 128 calls at once on a limit of 64"
    yield (
        "How many were admitted with one limit, and with two in either order; and how many the"
        " wider of the two, 640, has booked that were not admitted."
    )
    yield _table(head, rows, words=1)


def _flood(records: Sequence[Record]) -> Iterator[str]:
    rows = [(r["case"], r["admitted"], _errors([r]), r["connections"]) for r in records]
    yield f"### {records[0]['at_once']} calls at once"
    yield _table(("store or limiter", "admitted", "errors", "connections"), rows, words=1)


def _method(result: Record) -> str:
    where, method = result["environment"], result["method"]
    packages = ", ".join(f"{name} {version}" for name, version in where["packages"].items())
    return (
        f"{where['processor']}, {where['cores']} cores, {where['system']}, Python"
        f" {where['python']}, {where['loop']}, Redis {where['redis_server'] or 'not there'};"
        f" {packages}. {method['rounds']} rounds of {method['batch_s'] * 1000:g} ms a case,"
        f" {method['callers']} callers; the server's time from {method['server_rounds']} batches"
        f" of {method['server_callers']} calls."
    )


def _wrapped(part: str) -> str:
    """A paragraph in lines as the pages have them; tables and headings as they are."""
    if part.startswith(("|", "#")):
        return part
    return textwrap.fill(part, 100, break_long_words=False, break_on_hyphens=False)


def _errors(records: Iterable[Record]) -> str:
    found: dict[str, list[int]] = {}
    for record in records:
        for name, count in record["errors"].items():
            found.setdefault(name, []).append(count)
    return "; ".join(f"{', '.join(map(str, n))} {name}" for name, n in found.items()) or "none"


def _one(records: Iterable[Record], **wanted: str) -> Record | None:
    return next((r for r in records if all(r[k] == v for k, v in wanted.items())), None)


def _met(found: float, goal: float) -> str:
    return "met" if found <= goal else "**not** met"


def _middle(figures: Mapping[str, float]) -> str:
    return f"{figures['median']:.0f}"


def _best(figures: Mapping[str, float] | None) -> str:
    return f"{figures['median']:.1f} ({figures['best']:.1f})" if figures else "-"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], *, words: int = 2) -> str:
    """A table whose first columns hold words, and all others numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (head, rule, *rows))


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
