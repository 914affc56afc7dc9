"""The result as one picture. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.sweep.tricks import TRICKS

__all__ = ["draw"]

Result = Mapping[str, Any]

OURS, FADED = "#b3261e", "#9aa0a6"
COLOURS = ("#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#ff7f0e")


def draw(result: Result, path: Path) -> None:
    """Write the picture as PNG."""
    figure, axes = plt.subplots(
        3, 2, figsize=(14, 19), layout="constrained", height_ratios=(1, 1, 3)
    )
    _found(axes[0, 0], result, "broad")
    _found(axes[0, 1], result, "narrow")
    _obtained(axes[1, 0], result)
    _ablations(axes[1, 1], result)
    _tricks(axes[2, 0], result)
    _sources(axes[2, 1], result)
    figure.suptitle(
        f"Coverage budgets on real prompts: {result['meta']['policy']}, {result['meta']['made']}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _found(axes: Axes, result: Result, kind: str) -> None:
    grid = np.unique(np.round(np.geomspace(10, 2_000, 60)))
    best = _leading(result, kind)
    for name, one in result["baselines"].items():
        colour = COLOURS[best.index(name)] if name in best else FADED
        label = name if name in best else None
        axes.plot(grid, _curve(one["sweeps"], kind, grid), color=colour, lw=1.2, label=label)
    axes.plot(grid, _curve(result["sweeps"], kind, grid), color=OURS, lw=2.6, label="this policy")
    axes.set(
        title=f"{kind.title()} sweeps slowed, at equal honest disturbance",
        xlabel="queries sent",
        ylabel="share of draws",
        xscale="log",
        ylim=(-0.02, 1.02),
    )
    axes.legend(fontsize=8, title="best baselines; others grey", title_fontsize=8)
    axes.grid(alpha=0.3)


def _leading(result: Result, kind: str) -> list[str]:
    """The five baselines that find most."""
    last = np.array([200.0 if kind == "broad" else 1_000.0])
    scores = {
        name: float(_curve(one["sweeps"], kind, last)[0])
        for name, one in result["baselines"].items()
    }
    return sorted(scores, key=lambda name: -scores[name])[:5]


def _curve(sweeps: Result, kind: str, grid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    draws = [
        np.inf if draw is None else draw
        for one in sweeps.values()
        if one["class"] == kind
        for draw in one["draws"]
    ]
    found = np.array(draws) if draws else np.array([np.inf])
    return np.asarray((found[:, None] <= grid[None, :]).mean(axis=0))


def _obtained(axes: Axes, result: Result) -> None:
    for name, one in result["baselines"].items():
        shares = _taken(one["sweeps"], "random")
        axes.plot(*shares, ".", color=FADED, label="baselines" if name == "b4b" else None)
    for way, style in (("random", "o-"), ("topic", "s"), ("round_robin", "^")):
        axes.plot(*_taken(result["sweeps"], way), style, color=OURS, lw=2.2, label=way)
    axes.set(
        title="Obtained in 30 days at full quality and price",
        xlabel="accounts",
        ylabel="share of a broad sweep, median",
        xscale="log",
        ylim=(-0.02, 1.02),
    )
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _taken(sweeps: Result, way: str) -> tuple[list[int], list[float]]:
    broad = [one for one in sweeps.values() if one["class"] == "broad" and way in one["obtained"]]
    numbers = list(broad[0]["obtained"][way]) if broad else []
    shares = [
        float(np.median([o["obtained"][way][n] / o["wanted"] for o in broad])) for n in numbers
    ]
    return [int(n) for n in numbers], shares


def _ablations(axes: Axes, result: Result) -> None:
    names = list(result["ablations"])
    places = np.arange(len(names))
    for offset, (kind, bound) in enumerate((("broad", "200"), ("narrow", "1000"))):
        values = [result["ablations"][name][kind]["within"][bound] for name in names]
        label = f"{kind}, within {bound}"
        axes.barh(
            places + 0.4 * offset, values, 0.38, color=(OURS, COLOURS[0])[offset], label=label
        )
    axes.set(title="Slowed without one view", xlabel="share of draws", xlim=(0, 1.02))
    axes.set_yticks(places + 0.2, names, fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.3, axis="x")


def _tricks(axes: Axes, result: Result) -> None:
    names = sorted(result["tricks"], key=lambda name: result["tricks"][name]["median"] or 0)
    values = [result["tricks"][name]["median"] or 0 for name in names]
    goals = [300 if TRICKS[name].covers else 150 for name in names]
    colours = [OURS if v > goal else COLOURS[1] for v, goal in zip(values, goals, strict=True)]
    places = np.arange(len(names))
    axes.barh(places, values, 0.7, color=colours)
    axes.plot(goals, places, "|", color="black", ms=7, label="goal")
    axes.set_yticks(places, names, fontsize=6)
    axes.set(title="Obtained by one account with a trick, median sweep", xlabel="prompts")
    axes.set_ylim(-1, len(names))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3, axis="x")


def _sources(axes: Axes, result: Result) -> None:
    """The share disturbed of every honest source, with its interval."""
    sources = list(result["sources"].items())[::-1]
    places = np.arange(len(sources))
    values = [100 * one["disturbed"] for _, one in sources]
    bounds = [[100 * end for end in one["disturbed_95"]] for _, one in sources]
    low = [max(0.0, value - end[0]) for value, end in zip(values, bounds, strict=True)]
    high = [max(0.0, end[1] - value) for value, end in zip(values, bounds, strict=True)]
    axes.errorbar(values, places, xerr=[low, high], fmt="o", ms=3, color=OURS, ecolor=FADED)
    labels = [f"{name[:40]} ({one['identities']})" for name, one in sources]
    axes.set_yticks(places, labels, fontsize=6)
    axes.axvline(1, color=FADED, lw=1, ls="--")
    axes.set(title="Honest persons and applications disturbed, by source", xlabel="%")
    axes.set_ylim(-1, len(sources))
    axes.grid(alpha=0.3, axis="x")
