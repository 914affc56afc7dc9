"""The result as tables, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.sweep.figures import median_of

__all__ = ["Table", "show", "tables"]

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """One table."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(result: Result) -> list[Table]:
    """Return all tables, the goals first."""
    return [
        _goals(result),
        _honest(result),
        _slowed(result),
        _sweeps(result),
        _baselines(result),
        _ablations(result),
        _dilution(result),
        _pools(result),
    ]


def show(result: Result) -> None:
    """Print all tables."""
    for table in tables(result):
        print(f"\n{table.title}")
        grid = [list(table.head), *[list(row) for row in table.rows]]
        widths = [max(len(row[n]) for row in grid) for n in range(len(table.head))]
        for number, row in enumerate(grid):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            print("  " + "  ".join(cells).rstrip())
            if not number:
                print("  " + "  ".join("-" * width for width in widths))


def _goals(result: Result) -> Table:
    verdict = {True: "met", False: "not met", None: "not measured"}
    rows = [
        [
            row["goal"],
            row["wanted"],
            "-" if row["measured"] is None else _text(row["measured"]),
            verdict[row["met"]],
        ]
        for row in result["goals"]
    ]
    return Table("Goals", ["goal", "wanted", "measured", ""], rows)


def _honest(result: Result) -> Table:
    head = ["class", "identities", "disturbed", "refused", "priced over 2", "p99 price", "where"]
    rows = [
        [
            kind,
            str(one["identities"]),
            *(_share(one, name) for name in ("disturbed", "refused", "priced_over_2")),
            _text(one["p99_price"]),
            ", ".join(f"{name}: {count}" for name, count in one["corpora_disturbed"].items()),
        ]
        for kind, one in result["honest"].items()
    ]
    return Table("Honest identities, over their whole streams (95 % interval)", head, rows)


_BOUNDS = ("50", "100", "200", "500", "1000")


def _slowed(result: Result) -> Table:
    slowed = result["slowed"]
    named = [
        (f"{kind}, {split}", slowed[kind][split])
        for kind in ("broad", "narrow")
        for split in ("all", "tuned", "held_out")
    ]
    named += [
        (f"{kind}, {language}", one)
        for kind in ("broad", "narrow")
        for language, one in slowed[f"{kind}_by_language"].items()
    ]
    rows = [
        [name, str(one["sweeps"]), *(_text(one["within"][b]) for b in _BOUNDS)]
        for name, one in named
        if one["sweeps"]
    ]
    head = ["sweeps", "number", *(f"by {bound}" for bound in _BOUNDS)]
    return Table("Share of draws slowed within so many queries", head, rows)


def _sweeps(result: Result) -> Table:
    accounts = _accounts(result)
    head = ["sweep", "class", "language", "to slow: median", "p90", "wanted"]
    head += [f"obtained by {n}" for n in accounts] + ["cost", "tokens"]
    rows = [
        [
            name,
            one["class"],
            one["language"],
            _text(one["queries_to_slow"]["median"]),
            _text(one["queries_to_slow"]["p90"]),
            str(one["wanted"]),
            *(str(one["obtained"]["random"][n]) for n in accounts),
            _text(one["cost_multiplier"]),
            _text(one["token_multiplier"]),
        ]
        for name, one in result["sweeps"].items()
    ]
    return Table("Sweeps, shared out at random", head, rows)


def _baselines(result: Result) -> Table:
    head = ["", "persons and apps disturbed", "gateways"]
    head += ["broad by 200", "narrow by 1000", "broad: median obtained by 1", "cost"]
    ours = _standing("this policy", result["honest"], result["sweeps"])
    rows = [
        _standing(name, one["honest"], one["sweeps"]) for name, one in result["baselines"].items()
    ]
    return Table("Baselines at equal honest disturbance", head, [ours, *rows])


def _standing(name: str, honest: Result, sweeps: Result) -> list[str]:
    strict = [honest[kind] for kind in ("person", "app")]
    of = sum(one["identities"] for one in strict)
    hits = sum(one["disturbed"] * one["identities"] for one in strict)
    broad = [one for one in sweeps.values() if one["class"] == "broad"]
    narrow = [one for one in sweeps.values() if one["class"] == "narrow"]
    return [
        name,
        _text(round(hits / of, 4) if of else None),
        _text(honest["gateway"]["disturbed"]),
        _text(_mean(broad, "200")),
        _text(_mean(narrow, "1000")),
        _text(median_of([one["obtained"]["random"]["1"] for one in broad])),
        _text(median_of([one["cost_multiplier"] for one in broad])),
    ]


def _mean(sweeps: Sequence[Result], bound: str) -> float | None:
    shares = [one["slowed_within"][bound] for one in sweeps]
    return round(sum(shares) / len(shares), 3) if shares else None


def _ablations(result: Result) -> Table:
    head = ["without", "persons disturbed", "apps", "gateways"]
    head += ["broad by 50", "by 200", "narrow by 200", "by 1000"]
    rows = [
        [
            name,
            *(_text(one["honest"][kind]["disturbed"]) for kind in ("person", "app", "gateway")),
            *(_text(one["broad"]["within"][bound]) for bound in ("50", "200")),
            *(_text(one["narrow"]["within"][bound]) for bound in ("200", "1000")),
        ]
        for name, one in result["ablations"].items()
    ]
    return Table("Ablations: one signal left out at a time", head, rows)


def _dilution(result: Result) -> Table:
    found = result["dilution"]
    shares = list(next(iter(found.values()))["own_template"]) if found else []
    head = ["sweep", "class", "template of the cover", *(f"{share} %" for share in shares)]
    rows = [
        [name, one["class"], mode, *(_text(one[mode][share]["median"]) for share in shares)]
        for name, one in found.items()
        for mode in ("own_template", "same_template")
    ]
    return Table("Own queries to slow under cover traffic, median", head, rows)


def _pools(result: Result) -> Table:
    pools = result["pools"]
    rows = [
        [f"{name} ({one['class']})", *(_text(one[way]["median"]) for way in ("random", "topic"))]
        for name, one in pools["sweeps"].items()
    ]
    for kind, one in pools["honest"].items():
        slowed = ", ".join(f"{size}: {count}" for size, count in one["slowed"].items())
        rows.append([f"honest groups, {kind}: slowed by size", slowed, ""])
    head = ["accounts with 26 queries each until their pool is slowed", "random", "by topic"]
    return Table("Pools", head, rows)


def _accounts(result: Result) -> list[str]:
    return list(next(iter(result["sweeps"].values()))["obtained"]["random"])


def _share(one: Result, name: str) -> str:
    low, high = one[f"{name}_95"]
    return f"{one[name]} ({low} - {high})"


def _text(value: Any) -> str:  # noqa: ANN401 - a figure of any kind
    if value is None:
        return "never"
    return f"{value:g}" if isinstance(value, float) else str(value)
