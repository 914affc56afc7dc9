"""Bars of what each limiter adds, and curves of growth, as SVG in the page's colours."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parents[2] / "docs" / "images"
sys.path.insert(0, str(IMAGES))
_drawing: Any = import_module("drawing")
curve, rule, text = _drawing.curve, _drawing.rule, _drawing.text
WIDTH: int = _drawing.WIDTH

__all__ = ["IMAGES", "bars", "curves", "drawn"]

LEFT, RIGHT, STEP = 246, 428, 24
TOP, LOW, HIGH = 52, 292, 40
OURS = "querybudget"

Results = Mapping[str, Mapping[str, Any]]
Points = Sequence[tuple[float, float]]


def drawn(results: Results) -> dict[str, str]:
    """Pictures by the name of their file."""
    added = {
        row["case"]: row["cpu_added"]["median"]
        for row in results["overhead"]["sequential"]
        if row["path"] == "/items" and not row["case"].startswith(("bare", "pure"))
    }
    growth: dict[str, list[tuple[float, float]]] = {}
    for row in results["scale"]["growth"]:
        growth.setdefault(row["kind"], []).append((row["count"], row["us"]))
    return {
        "speed.svg": bars("speed", "µs added to a request, one limit, memory", added),
        "growth.svg": curves("growth", "µs added, by budgets, rules and tiers", growth),
    }


def bars(name: str, title: str, values: Mapping[str, float]) -> str:
    """A bar for each value, least first; ours stand out."""
    ordered = sorted(values.items(), key=lambda item: item[1])
    most = max([*values.values(), 1e-9])
    parts = [text(WIDTH / 2, 28, title)]
    for at, (said, value) in enumerate(ordered):
        y = TOP + at * STEP
        kind = "first" if said.startswith(OURS) else "other"
        end = LEFT + max(value, 0) / most * (RIGHT - LEFT)
        parts.append(text(LEFT - 8, y + 5, said, "small", "end"))
        parts.append(
            f'<line class="{kind}" style="stroke-width:12" x1="{LEFT}" x2="{end:.1f}" y1="{y}"'
            f' y2="{y}"/>'
        )
        parts.append(text(end + 6, y + 5, f"{value:.1f}", "small", "start"))
    return str(_drawing.svg(name, TOP + len(ordered) * STEP, title, parts))


def curves(name: str, title: str, lines: Mapping[str, Points]) -> str:
    """A curve for each line, both axes logarithmic."""
    points = [point for line in lines.values() for point in line]
    right = math.log10(max([10, *(x for x, _ in points)]))
    low = math.floor(math.log10(max(min(y for _, y in points), 0.1)))
    high = math.ceil(math.log10(max([1, *(y for _, y in points)])))

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(max(y, 10**low)) - low) / max(high - low, 1)
        return 52 + math.log10(max(x, 1)) / right * 340, LOW - share * (LOW - HIGH)

    parts = [text(WIDTH / 2, 24, title)]
    for power in range(low, high + 1):
        y = place(1, 10**power)[1]
        parts += [rule(52, y, 392, y), text(46, y + 5, f"{10**power:g}", "small", "end")]
    for power in range(math.ceil(right) + 1):
        if power <= right:
            parts.append(text(place(10**power, 1)[0], LOW + 22, f"{10**power:,}", "small"))
    kinds = ("first", "second", "other")
    for at, (said, line) in enumerate(lines.items()):
        ends = [place(x, y) for x, y in line]
        kind = kinds[min(at, len(kinds) - 1)]
        parts.append(curve(ends, kind))
        parts.append(text(ends[-1][0] + 6, ends[-1][1] + 5, said, f"small {kind}", "start"))
    return str(_drawing.svg(name, LOW + 36, title, parts))
