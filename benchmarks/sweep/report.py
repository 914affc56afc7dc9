"""The result as tables, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.sweep.figures import median_of
from benchmarks.sweep.tricks import TRICKS

__all__ = ["Table", "show", "tables"]

Result = Mapping[str, Any]

_BOUNDS = ("50", "100", "200", "500", "1000")
WORST = 25
"""Sources that are listed: those with anybody disturbed, the worst first."""


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
        _sources(result),
        _applications(result),
        _groups(result),
        _ways(result),
        _deployment(result),
        _thin(result),
        _slowed(result),
        _tricks(result),
        _sweeps(result),
        _crowds(result),
        _baselines(result),
        _ablations(result),
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
            "-" if row["met"] is None else _text(row["measured"]),
            verdict[row["met"]],
        ]
        for row in result["goals"]
    ]
    return Table("Goals", ["goal", "wanted", "measured", ""], rows)


def _honest(result: Result) -> Table:
    head = ["class", "identities", "disturbed", "refused", "priced over 2", "p99 price"]
    head.append("disturbed, in-sample")
    rows = [
        [
            {"strict": "persons and apps"}.get(kind, kind),
            str(one["identities"]),
            *(_share(one, name) for name in ("disturbed", "refused", "priced_over_2")),
            _text(one["p99_price"]),
            _share(one, "disturbed_in_sample"),
        ]
        for kind, one in result["honest"].items()
    ]
    return Table("Honest identities, over their whole streams (95 % interval)", head, rows)


def _sources(result: Result) -> Table:
    named = [(name, one) for name, one in result["sources"].items() if one["disturbed"]]
    rows = [
        [
            name,
            ", ".join(one["languages"]),
            str(one["identities"]),
            _share(one, "disturbed"),
            _text(one["refused"]),
            _share(one, "disturbed_in_sample"),
        ]
        for name, one in named[:WORST]
    ]
    head = ["source", "languages", "identities", "disturbed", "refused", "in-sample"]
    of = len(result["sources"])
    return Table(f"Honest sources with anybody disturbed: {len(named)} of {of}", head, rows)


def _applications(result: Result) -> Table:
    rows = [
        [*name.split(), str(one["keys"]), _share(one, "disturbed")]
        for name, one in result["applications"].items()
    ]
    head = ["applications", "system prompts", "keys", "disturbed"]
    return Table("Several honest applications behind one key", head, rows)


def _groups(result: Result) -> Table:
    rows = [
        [kind, size, str(one["groups"]), str(one["slowed"]), str(one["members_slowed"])]
        for kind, sizes in result["groups"].items()
        for size, one in sizes.items()
    ]
    head = ["honest group", "members", "groups", "slowed", "members slowed in all"]
    return Table("Honest groups judged as pools", head, rows)


def _ways(result: Result) -> Table:
    rows = [
        [name, str(one["callers"]), _share(one, "disturbed"), ", ".join(one["where"])]
        for name, one in result["ways"].items()
    ]
    return Table("Honest ways of working", ["way", "callers", "disturbed", "where"], rows)


def _deployment(result: Result) -> Table:
    kinds = ("broad", "narrow")
    rows = [
        [
            name,
            str(one["honest"]["accounts"]),
            _share(one["honest"], "disturbed"),
            _text(one["honest"]["refused"]),
            *(_text(one[kind]["slowed_within"][b]) for kind in kinds for b in ("50", "200")),
        ]
        for name, one in result["deployment"].items()
    ]
    head = ["threshold", "honest callers", "disturbed", "refused"]
    head += [f"{kind} by {bound}" for kind in kinds for bound in ("50", "200")]
    return Table("One deployment of callers of all sources, and sweeps that join it", head, rows)


def _thin(result: Result) -> Table:
    kinds = ("person", "app", "broad", "narrow")
    rows = [
        [calls, *(_share(of[kind], "disturbed") for kind in kinds)]
        for calls, of in result["thin"].items()
    ]
    head = ["calls", *(f"{kind}, disturbed" for kind in kinds)]
    return Table("Thin accounts, each by itself", head, rows)


def _slowed(result: Result) -> Table:
    slowed = result["slowed"]
    named = [
        (f"{kind}, {split.replace('_', '-')}", slowed[kind][split])
        for kind in ("broad", "narrow")
        for split in ("unseen", "in_sample")
    ]
    named += [
        (f"{kind}, {language}", one)
        for kind in ("broad", "narrow")
        for language, one in slowed[kind]["by_language"].items()
    ]
    rows = [
        [name, str(one["sweeps"]), *(_text(one["within"][b]) for b in _BOUNDS)]
        for name, one in named
        if one["sweeps"]
    ]
    head = ["sweeps", "number", *(f"by {bound}" for bound in _BOUNDS)]
    return Table("Share of draws slowed within so many queries", head, rows)


def _tricks(result: Result) -> Table:
    rows: list[list[str]] = []
    for name, one in result["tricks"].items():
        of = {sweep: n for sweep, n in one.items() if not sweep.startswith("median")}
        worst = max(of, key=lambda sweep: of[sweep])
        goal = "300" if TRICKS[name].covers else "150"
        figures = (one["median"], one["median_broad"])
        rows.append([name, goal, *map(_text, figures), f"{_text(of[worst])} of {worst}"])
    head = ["trick", "goal", "obtained, median", "broad", "most"]
    return Table("What one account obtains by a trick, in one pass", head, rows)


def _sweeps(result: Result) -> Table:
    accounts = _accounts(result)
    head = ["sweep", "class", "language", "to slow: median", "p90", "by 50", "by 200", "by 1000"]
    head += ["wanted", *(f"obtained by {n}" for n in accounts), "cost", "tokens"]
    rows = [
        [
            name,
            one["class"],
            one["language"],
            _text(one["queries_to_slow"]["median"]),
            _text(one["queries_to_slow"]["p90"]),
            *(_text(one["slowed_within"][bound]) for bound in ("50", "200", "1000")),
            str(one["wanted"]),
            *(str(one["obtained"]["random"][n]) for n in accounts),
            _text(one["cost_multiplier"]),
            _text(one["token_multiplier"]),
        ]
        for name, one in result["sweeps"].items()
    ]
    return Table("Sweeps, shared out at random", head, rows)


def _crowds(result: Result) -> Table:
    rows = [
        [way.replace("_", " "), _text(one["obtained"]), str(one["honest_disturbed"])]
        for way, one in result["crowds"]["median_broad"].items()
    ]
    head = ["system prompts, order", "obtained, median broad sweep", "most honest disturbed"]
    return Table("What accounts of 15 calls obtain together", head, rows)


def _baselines(result: Result) -> Table:
    head = ["", "persons and apps disturbed"]
    head += ["broad by 200", "narrow by 1000", "broad: median obtained by 1", "cost"]
    ours = _standing("this policy", result["honest"], result["sweeps"])
    rows = [
        _standing(name, one["honest"], one["sweeps"]) for name, one in result["baselines"].items()
    ]
    return Table("Baselines at equal honest disturbance", head, [ours, *rows])


def _standing(name: str, honest: Result, sweeps: Result) -> list[str]:
    strict = [honest[kind] for kind in ("person", "app")]
    of = sum(one["identities"] for one in strict)
    hits = sum((one["disturbed"] or 0) * one["identities"] for one in strict)
    broad = [one for one in sweeps.values() if one["class"] == "broad"]
    narrow = [one for one in sweeps.values() if one["class"] == "narrow"]
    taken = [one["obtained"]["random"]["1"] for one in broad]
    return [
        name,
        f"{hits / of:.4f}" if of else "-",
        _text(_mean([one["slowed_within"]["200"] for one in broad])),
        _text(_mean([one["slowed_within"]["1000"] for one in narrow])),
        _text(median_of(taken)),
        _text(median_of([one["cost_multiplier"] for one in broad])),
    ]


def _mean(shares: Sequence[float]) -> float | None:
    return round(sum(shares) / len(shares), 3) if shares else None


def _ablations(result: Result) -> Table:
    head = ["without", "persons and apps disturbed", "broad by 50", "by 200"]
    head += ["narrow by 200", "by 1000"]
    rows = [
        [
            name,
            _text(one["honest"]["disturbed"]),
            *(_text(one["broad"]["within"][bound]) for bound in ("50", "200")),
            *(_text(one["narrow"]["within"][bound]) for bound in ("200", "1000")),
        ]
        for name, one in result["ablations"].items()
    ]
    return Table("Ablations: one view left out at a time", head, rows)


def _accounts(result: Result) -> list[str]:
    first = next(iter(result["sweeps"].values()), None)
    return list(first["obtained"]["random"]) if first else []


def _share(one: Result, name: str) -> str:
    if one[name] is None:
        return "-"
    low, high = one[f"{name}_95"]
    return f"{one[name]} ({low} - {high})"


def _text(value: Any) -> str:  # noqa: ANN401 - a figure of any kind
    if value is None:
        return "never"
    return f"{value:g}" if isinstance(value, float) else str(value)
