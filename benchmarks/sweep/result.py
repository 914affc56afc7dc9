"""Assembles the result as it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.sweep.baselines import Baseline
from benchmarks.sweep.figures import (
    NEVER,
    bootstrap,
    count_figures,
    finite,
    interval,
    median_of,
    share,
)
from benchmarks.sweep.honest import KINDS, STRICT, HonestResult
from benchmarks.sweep.sweeps import BOUNDS, SweepPart
from benchmarks.sweep.thresholds import honest_figures

__all__ = [
    "MANY",
    "ablation_results",
    "baseline_results",
    "crowd_results",
    "honest_results",
    "slowed_shares",
    "source_results",
]

MANY = 10
"""Identities from which on a source is named among the worst."""


def honest_results(everyone: Sequence[HonestResult]) -> dict[str, dict[str, Any]]:
    """Return the figures of each class, and of persons and applications together (`strict`)."""
    found: dict[str, dict[str, Any]] = {}
    for name, kinds in (*((kind, (kind,)) for kind in KINDS), ("strict", STRICT)):
        of = [one for one in everyone if one.kind in kinds]
        prices = np.concatenate([one.prices for one in of]) if of else np.ones(1)
        highest = [float(one.prices.max(initial=1)) for one in of]
        found[name] = {
            "identities": len(of),
            "queries": sum(one.queries for one in of),
            **_share("disturbed", [one.disturbed for one in of]),
            **_share("refused", [one.refused for one in of]),
            **_share("priced_over_2", [one.expensive for one in of]),
            **_share("disturbed_in_sample", [one.known.disturbed for one in of if one.known]),
            "p99_price": round(float(np.quantile(prices, 0.99)), 3) if len(prices) else None,
            "p99_highest_price": round(float(np.quantile(highest, 0.99)), 3) if of else None,
            "p99_highest_price_95": bootstrap(highest, 0.99),
        }
    return found


def source_results(everyone: Sequence[HonestResult]) -> dict[str, dict[str, Any]]:
    """Return the figures of each source of honest persons and applications, the worst first."""
    sources: dict[str, list[HonestResult]] = {}
    for one in everyone:
        if one.kind in STRICT:
            sources.setdefault(", ".join(sorted(one.sources)) or one.corpus, []).append(one)
    found = {
        source: {
            "identities": len(of),
            "corpora": sorted({one.corpus for one in of}),
            "languages": sorted({one.language for one in of}),
            **_share("disturbed", [one.disturbed for one in of]),
            "refused": share(sum(one.refused for one in of), len(of)),
            **_share("disturbed_in_sample", [one.known.disturbed for one in of if one.known]),
        }
        for source, of in sources.items()
    }
    return dict(sorted(found.items(), key=lambda one: (-one[1]["disturbed"], one[0])))


def _share(name: str, hits: Sequence[bool]) -> dict[str, Any]:
    return {
        name: share(sum(hits), len(hits)) if hits else None,
        f"{name}_95": interval(sum(hits), len(hits)),
    }


def slowed_shares(parts: Sequence[SweepPart]) -> dict[str, Any]:
    """Return the share of draws slowed within each bound, by class and by language.

    ``in_sample`` is of the weights that saw the sweeps; a sweep that those have not seen is not in
    it.
    """
    found: dict[str, Any] = {}
    for kind in ("broad", "narrow"):
        of = [part.figures for part in parts if part.figures["class"] == kind]
        known = [one["in_sample"] for one in of if "in_sample" in one]
        languages = sorted({one["language"] for one in of})
        found[kind] = {
            "unseen": _within(of),
            "in_sample": _within(known),
            "by_language": {
                language: _within([one for one in of if one["language"] == language])
                for language in languages
            },
        }
    return found


def _within(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    draws = [NEVER if draw is None else draw for part in parts for draw in part["draws"]]
    return {
        "sweeps": len(parts),
        "within": {str(n): share(sum(d <= n for d in draws), len(draws)) for n in BOUNDS},
        **count_figures(draws),
    }


def crowd_results(parts: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return what crowds obtain of each sweep, and the medians over broad ones."""
    sweeps = dict(sorted(parts))
    broad = [one for one in sweeps.values() if one["class"] == "broad"]
    ways = [way for way in next(iter(sweeps.values()), {}) if way not in ("class", "accounts")]
    medians = {
        way: {
            "obtained": median_of([one[way]["obtained"] for one in broad]),
            "honest_disturbed": max((one[way]["honest_disturbed"] for one in broad), default=0),
        }
        for way in ways
    }
    return {"median_broad": medians, "sweeps": sweeps}


def baseline_results(
    everyone: Sequence[HonestResult],
    parts: Sequence[SweepPart],
    limits: Mapping[str, float],
    baselines: Sequence[Baseline],
) -> dict[str, Any]:
    """Return the source, threshold and figures of every baseline."""
    return {
        one.name: {
            "source": one.source,
            "threshold": finite(limits[one.name]),
            "honest": honest_figures(everyone, limits, one.name),
            "sweeps": {part.name: part.baselines[one.name] for part in parts},
        }
        for one in baselines
        if one.name in limits
    }


def ablation_results(
    everyone: Sequence[HonestResult], parts: Sequence[SweepPart]
) -> dict[str, Any]:
    """Return, for each signal left out, honest identities disturbed and sweeps slowed."""
    names = list(parts[0].ablations) if parts else []
    some = [one for one in everyone if one.ablated and one.kind in STRICT]
    return {
        name: {
            "honest": {
                "identities": len(some),
                **_share("disturbed", [one.ablated.get(name, one.disturbed) for one in some]),
            },
            "broad": _slowed(parts, "broad", name),
            "narrow": _slowed(parts, "narrow", name),
        }
        for name in names
    }


def _slowed(parts: Sequence[SweepPart], kind: str, name: str) -> dict[str, Any]:
    draws = [d for part in parts if part.figures["class"] == kind for d in part.ablations[name]]
    within = {str(n): share(sum(d <= n for d in draws), len(draws)) for n in BOUNDS}
    return {"within": within, **count_figures(draws)}
