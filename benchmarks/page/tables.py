"""Markdown of each result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

from benchmarks.page.goals import goals

__all__ = ["SECTIONS", "described", "remarks", "table"]

Results = Mapping[str, Mapping[str, Any]]


def table(head: Sequence[str], rows: Sequence[Sequence[object]], words: int = 1) -> str:
    """A table whose first columns, as many as `words`, hold words."""
    marks = ["---" if at < words else "---:" for at in range(len(head))]
    lines = (head, marks, *rows)
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def number(value: float | None) -> str:
    """A figure, to three places at most; a dash for none."""
    if value is None:
        return "-"
    if value >= 1_000:
        return f"{value:,.0f}"
    if value == round(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def middle(spread: Mapping[str, float]) -> str:
    return number(spread["median"])


def described(environment: Mapping[str, Any]) -> str:
    """The machine and the packages."""
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    return fill(
        f"{environment['processor']}, {environment['cores']} cores, {environment['system']},"
        f" Python {environment['python']}, {environment['loop']}; {packages}.",
        110,
    )


def _not_measured(result: Mapping[str, Any]) -> Iterator[str]:
    absent = result.get("not_measured", ())
    if absent:
        yield f"Not measured, since not installed: {', '.join(absent)}."


def overhead(results: Results) -> Iterator[str]:
    result = results["overhead"]
    together = {(row["case"], row["path"]): row for row in result["in_flight_64"]}
    rows = list[Sequence[object]]()
    for row in result["sequential"]:
        many = together.get((row["case"], row["path"]))
        added, process = row["cpu_added"], row["process_added"]
        rows.append(
            (
                row["case"],
                row["path"],
                middle(row["cpu_us"]),
                middle(added),
                f"{number(added['p25'])} to {number(added['p75'])}",
                middle(process),
                f"{row['ratio']:.2f}",
                middle(many["cpu_added"]) if many else "-",
            )
        )
    yield "### Each request"
    yield (
        "µs of processor time. `added` is that of the event loop's thread beside the bare"
        " application in"
        " the same\nround, with quartiles; `all threads` counts those that a limiter starts, too."
    )
    head = (
        "case",
        "path or body",
        "µs",
        "added",
        "quartiles",
        "all threads",
        "ratio",
        "added, 64 in flight",
    )
    yield table(head, rows, 2)
    yield "### Each streamed chunk"
    chunks = [(row["case"], middle(row["us"]), middle(row["added"])) for row in result["chunks"]]
    yield table(("case", "µs", "added"), chunks)
    yield "### Admitted and charged"
    yield (
        "100 requests at once of one caller on a limit of 50: most admitted beyond it; and"
        " requests charged"
        " to a\nwider limit (500) although the narrower one refused them."
    )
    yield table(
        ("limiter", "over", "charged, narrow minute", "charged, narrow hour"),
        [
            (name, max(one["over"] for one in rows), rows[1]["phantom"], rows[2]["phantom"])
            for name, rows in result["admission"].items()
        ],
    )
    yield "### Import and memory"
    imports = [(name, number(ms)) for name, ms in result["import_ms"].items()]
    yield table(("import, in a new interpreter", "ms"), imports)
    sizes = [(name, number(size)) for name, size in result["identity_bytes"].items()]
    yield table(("each further caller", "bytes"), sizes)
    yield from _not_measured(result)
    yield described(result["environment"])


def http(results: Results) -> Iterator[str]:
    result = results["http"]
    method = result["method"]
    yield (
        f"uvicorn with one worker, {method['connections']} connections, load by {method['load']};"
        f" the median of\n{method['rounds']} rounds of {method['seconds']:g} s each."
    )
    rows = [
        (
            row["case"],
            row["path"],
            middle(row["per_second"]),
            f"{row['ratio']:.2f}",
            middle(row["p50_ms"]),
            middle(row["p99_ms"]),
            row["errors"],
        )
        for row in result["servers"]
    ]
    yield table(("case", "path", "requests/s", "of bare", "p50, ms", "p99, ms", "errors"), rows, 2)
    yield from _not_measured(result)


def scale(results: Results) -> Iterator[str]:
    result = results["scale"]
    yield "### Identities, in memory"
    yield "A call is a reservation and its settlement, with four budgets and one in buckets."
    yield table(
        ("identities", "µs a call", "p99.9, µs", "longest stall, ms", "bytes each"),
        [
            (
                f"{row['identities']:,}",
                number(row["us"]),
                number(row["p999_us"]),
                number(row["stall_ms"]),
                number(row["bytes"]),
            )
            for row in result["identities"]
        ],
        0,
    )
    yield "### Workers on one store"
    yield "64 calls open in each process, four budgets. The server's columns are for a call."
    yield table(
        (
            "store",
            "workers",
            "calls/s",
            "worker, µs",
            "p50, ms",
            "p99.9, ms",
            "stall, ms",
            "Redis, µs",
            "bytes in",
            "bytes out",
        ),
        [
            (
                row["store"],
                row["workers"],
                number(row["per_second"]),
                number(row["client_us"]),
                number(row["p50_ms"]),
                number(row["p999_ms"]),
                number(row["stall_ms"]),
                *(number(row.get(name)) for name in ("server_us", "bytes_in", "bytes_out")),
            )
            for row in result["workers"]
        ],
    )
    yield "### Budgets and rules"
    yield (
        "µs that a policy adds to a request: `budgets` all apply; of `rules`, budgets with a"
        " `match`, and"
        " `tiers`\nnone does, beside one budget that does."
    )
    yield table(
        ("policy", "count", "added, µs"),
        [(row["kind"], f"{row['count']:,}", number(row["us"])) for row in result["growth"]],
    )


def simulate(results: Results) -> Iterator[str]:
    result = results["simulate"]
    fleet, loads = result["fleet"], result["needs"]
    yield (
        f"What {fleet['per_second']:,.0f} calls a second of {fleet['identities']:,} identities"
        f" need of"
        f" Redis Cluster, with the costs\nabove. Assumed: callers by Zipf's law with exponent"
        f" {fleet['skew']:g}, shards at most {fleet['busy']:.0%} busy, with\n"
        f"{fleet['shard_bytes'] / 2**30:.0f} GiB and {fleet['shard_network'] / 1e9:g} Gbit/s"
        f" each, and"
        f" {fleet['spare']:g} times the memory that data takes."
    )
    words = {
        "shards": "shards",
        "by_processor": "by processor",
        "by_memory": "by memory",
        "by_network": "by network",
        "busiest": "busiest shard, times the mean",
        "wait_us": "mean wait for it, µs",
        "memory_gib": "memory, GiB",
        "network_mbit": "network, Mbit/s",
        "worker_cores": "cores of workers, for the store",
    }
    rows = [(said, *(number(one[name]) for one in loads.values())) for name, said in words.items()]
    yield table(("", *loads), rows)
    yield "Where it bends: calls a second at which a part of these shards is as busy as allowed."
    parts = next(iter(loads.values()))["bend"]
    yield table(
        ("part", *loads),
        [(part, *(number(one["bend"][part]) for one in loads.values())) for part in parts],
    )
    yield "Shards for other rates:"
    rates = next(iter(result["rates"].values()))
    yield table(
        ("calls/s", *result["rates"]),
        [(f"{int(rate):,}", *(one[rate] for one in result["rates"].values())) for rate in rates],
        0,
    )
    yield (
        "Held to this machine: costs are taken from one worker, and several workers beside one"
        " Redis are"
        " predicted."
    )
    yield table(
        ("workers", "predicted, calls/s", "measured", "measured / predicted"),
        [
            (
                row["workers"],
                number(row["predicted"]),
                number(row["measured"]),
                f"{row['measured'] / row['predicted']:.2f}",
            )
            for row in result["held_to"]
        ],
        0,
    )


def aims(results: Results) -> Iterator[str]:
    rows = [
        (goal.what, number(goal.found), f"{number(goal.most)} {goal.unit}".strip(), goal.verdict)
        for goal in goals(results)
    ]
    yield table(("goal (µs: processor time added)", "found", "at most", ""), rows)
    yield from remarks(results)


def remarks(results: Results) -> Iterator[str]:
    """Which peers add less than one budget of ours does, and why."""
    rows = list(results.get("overhead", {}).get("sequential", ()))
    own = [r for r in rows if (r["case"], r["path"]) == ("querybudget, 1 budget", "/items")]
    if not own:
        return
    ours = own[0]["cpu_added"]["median"]
    none = ("bare", "pure ASGI", "querybudget", "BaseHTTP")
    cheaper = sorted(
        (row["cpu_added"]["median"], row["case"])
        for row in rows
        if row["path"] == "/items" and not row["case"].startswith(none)
        if row["cpu_added"]["median"] < ours
    )
    if not cheaper:
        yield f"No peer adds less than one budget of ours does ({number(ours)} µs)."
        return
    names = ", ".join(f"{name} ({number(added)} µs)" for added, name in cheaper)
    yield fill(
        f"Less than one budget of ours ({number(ours)} µs) is added by {names}. These count a"
        f" request"
        " under a key that they are given. Ours also finds who calls and hashes the name, so"
        " that no"
        " key is stored, reserves and settles, so that a request that fails is not charged,"
        " decides all"
        " limits at once, and puts figures into the answer's headers.",
        110,
    )


SECTIONS = {
    "goals": (aims, ("overhead",)),
    "overhead": (overhead, ("overhead",)),
    "http": (http, ("http",)),
    "scale": (scale, ("scale",)),
    "simulate": (simulate, ("simulate",)),
}
"""By the name of their marks: how they are written, and of which results."""
