"""Draw docs/images/campaign.svg from benchmarks/results/campaign.json: what campaigns obtain.

python docs/images/make_campaign_svg.py

Each line is the share of the corpus that a campaign has obtained by the end of each day.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from drawing import curve, rule, svg, text  # noqa: E402 - found by the line above

RESULTS = HERE.parents[1] / "benchmarks" / "results" / "campaign.json"

KINDS = {
    "template_word": "first dashed",
    "nothing_shared": "first",
    "nothing_shared_2_percent": "second",
    "topic_each": "second dashed",
    "replaced": "other",
}
LABELS = {
    "template_word": "one system prompt, a word changed",
    "nothing_shared": "nothing shared, half of all newcomers",
    "nothing_shared_2_percent": "nothing shared, 2 % of newcomers",
    "topic_each": "nothing shared, one topic an account",
    "replaced": "replaced after each refusal",
}


def place(day: float, share: float, days: int) -> tuple[float, float]:
    """Return where a point of the chart is."""
    return 52 + day * 404 / days, 292 - share * 250


def draw() -> str:
    """Return the picture."""
    scenarios = json.loads(RESULTS.read_text())["scenarios"]
    shown = {name: scenarios[name] for name in KINDS if name in scenarios}
    usual: Sequence[float] = next(iter(shown.values()))["undefended"]["share_by_day"]
    days = len(usual)
    parts = [text(12, 22, "share of the corpus obtained", "small", "start")]
    for percent in (0, 25, 50, 75, 100):
        y = place(0, percent / 100, days)[1]
        parts += [rule(52, y, 456, y), text(46, y + 5, f"{percent} %", "small", "end")]
    for day in range(0, days + 1, 2):
        parts.append(text(place(day, 0, days)[0], 312, str(day), "small"))
    parts.append(text(254, 332, "days", "small"))
    lines = [(usual, "line", "undefended")]
    lines += [(one["share_by_day"], KINDS[name], LABELS[name]) for name, one in shown.items()]
    for row, (shares, kind, label) in enumerate(lines):
        points = [place(n, share, days) for n, share in enumerate([0.0, *shares])]
        y = 352 + 20 * row
        parts += [curve(points, kind), curve([(52, y - 4), (92, y - 4)], kind)]
        parts.append(text(100, y, label, "small", "start"))
    title = "Share of a corpus that campaigns obtained, by day"
    return svg("campaign", 352 + 20 * len(lines), title, parts)


if __name__ == "__main__":
    (HERE / "campaign.svg").write_text(draw())
