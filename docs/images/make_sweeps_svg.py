"""Draw docs/images/sweeps.svg from benchmarks/results/sweep.json: sweeps found, by prompts.

python docs/images/make_sweeps_svg.py

"Found" is slowed. Each line is the mean over the broad sweeps of the share of their orders that
were found within so many prompts. Every detector has the threshold that disturbs the same share of
honest callers (docs/research.md, "Baselines").
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from drawing import curve, rule, svg, text  # noqa: E402 - found by the line above

RESULTS = HERE.parents[1] / "benchmarks" / "results" / "sweep.json"
PROMPTS = 300
"""Where the chart ends: the honest callers of the comparison have no more prompts than this."""

NOT_PUBLISHED = {"requests_a_day", "tokens_a_day", "distinct_cells"}
"""Plain limits, which are no detectors."""

Draws = Sequence[int | None]


def found(sweeps: Sequence[Draws], prompts: int) -> float:
    """The mean share of each sweep's orders that were found within so many prompts."""
    shares = [
        sum(at is not None and at <= prompts for at in draws) / len(draws) for draws in sweeps
    ]
    return sum(shares) / len(shares)


def lines(results: Mapping[str, Any]) -> tuple[list[Draws], list[Draws], dict[str, list[Draws]]]:
    """Where the sweeps were found: by weights that had not seen them, that had, and by others."""
    broad = [name for name, one in results["sweeps"].items() if one["class"] == "broad"]
    unseen = [results["sweeps"][name]["draws"] for name in broad]
    seen = [results["sweeps"][name]["in_sample"]["draws"] for name in broad]
    others = {
        name: [one["sweeps"][sweep]["draws"] for sweep in broad]
        for name, one in results["baselines"].items()
        if name not in NOT_PUBLISHED
    }
    return unseen, seen, others


def place(prompts: float, share: float) -> tuple[float, float]:
    """Where a point of the chart is."""
    return 52 + prompts * 404 / PROMPTS, 292 - share * 250


def points(sweeps: Sequence[Draws]) -> list[tuple[float, float]]:
    """The points of a line."""
    return [place(n, found(sweeps, n)) for n in range(PROMPTS + 1)]


def draw() -> str:
    """The picture."""
    unseen, seen, others = lines(json.loads(RESULTS.read_text()))
    best = max(others.values(), key=lambda sweeps: found(sweeps, 200))
    parts = [text(12, 22, "broad sweeps found", "small", "start")]
    for percent in (0, 25, 50, 75, 100):
        y = place(0, percent / 100)[1]
        parts += [rule(52, y, 456, y), text(46, y + 5, f"{percent} %", "small", "end")]
    for prompts in range(0, PROMPTS + 1, 50):
        parts.append(text(place(prompts, 0)[0], 312, str(prompts), "small"))
    parts.append(text(254, 332, "prompts of the sweep", "small"))
    parts += [curve(points(sweeps), "other") for sweeps in others.values() if sweeps is not best]
    parts += [curve(points(best), "second"), curve(points(seen), "first dashed")]
    parts.append(curve(points(unseen), "first"))
    labels = (
        (110, 0.945, "querybudget, prompts seen in its fit", "small"),
        (110, found(unseen, 200) - 0.075, "querybudget, unseen prompts", "first"),
        (110, found(best, 200) + 0.04, "best of ten published detectors", "second"),
    )
    parts += [
        text(place(x, 0)[0], place(0, y)[1], words, kind, "start") for x, y, words, kind in labels
    ]
    return svg("sweeps", 344, "Share of broad sweeps found, by the prompts they had sent", parts)


if __name__ == "__main__":
    (HERE / "sweeps.svg").write_text(draw())
