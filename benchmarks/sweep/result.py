"""Assembles the result as it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.sweep.baselines import Baseline
from benchmarks.sweep.figures import NEVER, count_figures, finite, interval, share
from benchmarks.sweep.honest import KINDS, HonestResult
from benchmarks.sweep.sweeps import BOUNDS, SweepPart
from benchmarks.sweep.thresholds import honest_figures

__all__ = ["ablation_results", "baseline_results", "slowed_shares"]


def slowed_shares(parts: Sequence[SweepPart], tuned: frozenset[str]) -> dict[str, Any]:
    """Return the share of draws slowed within each bound, by class and split, and by language."""
    found: dict[str, Any] = {}
    for kind in ("broad", "narrow"):
        of = [part for part in parts if part.figures["class"] == kind]
        found[kind] = {
            "all": _within(of),
            "tuned": _within([part for part in of if part.name in tuned]),
            "held_out": _within([part for part in of if part.name not in tuned]),
        }
        languages = sorted({part.figures["language"] for part in of})
        found[f"{kind}_by_language"] = {
            language: _within([part for part in of if part.figures["language"] == language])
            for language in languages
        }
    return found


def _within(parts: Sequence[SweepPart]) -> dict[str, Any]:
    draws = [NEVER if draw is None else draw for part in parts for draw in part.figures["draws"]]
    return {
        "sweeps": len(parts),
        "within": {str(n): share(sum(d <= n for d in draws), len(draws)) for n in BOUNDS},
        **count_figures(draws),
    }


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
    }


def ablation_results(
    everyone: Sequence[HonestResult], parts: Sequence[SweepPart]
) -> dict[str, Any]:
    """Return, for each signal left out, honest identities disturbed and sweeps slowed."""
    names = list(parts[0].ablations) if parts else []
    some = [one for one in everyone if one.ablated]
    found: dict[str, Any] = {}
    for name in names:
        honest: dict[str, Any] = {}
        for kind in KINDS:
            of = [one for one in some if one.kind == kind]
            hits = sum(one.ablated.get(name, one.disturbed) for one in of)
            honest[kind] = {
                "identities": len(of),
                "disturbed": share(hits, len(of)),
                "disturbed_95": interval(hits, len(of)),
            }
        found[name] = {"honest": honest, "broad": _slowed(parts, "broad", name)}
        found[name]["narrow"] = _slowed(parts, "narrow", name)
    return found


def _slowed(parts: Sequence[SweepPart], kind: str, name: str) -> dict[str, Any]:
    draws = [d for part in parts if part.figures["class"] == kind for d in part.ablations[name]]
    within = {str(n): share(sum(d <= n for d in draws), len(draws)) for n in BOUNDS}
    return {"within": within, **count_figures(draws)}
