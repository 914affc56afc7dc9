"""Thresholds of the baselines at the policy's own rate of honest disturbance, and their results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.baselines import Baseline, Queries
from benchmarks.sweep.campaign import DAYS
from benchmarks.sweep.figures import NEVER, interval, share
from benchmarks.sweep.honest import STRICT, HonestResult

__all__ = ["first_over", "honest_figures", "obtained", "thresholds"]


def thresholds(everyone: Sequence[HonestResult]) -> dict[str, float]:
    """Return, per baseline, the lowest threshold that disturbs no larger share than the policy.

    The policy's share is that of all persons and applications; a baseline's, that of those whom it
    was run on.
    """
    strict = [one for one in everyone if one.kind in STRICT]
    rated = [one.suspicion for one in strict if one.suspicion]
    if not rated:
        return {}
    disturbed = sum(one.disturbed for one in strict) / len(strict)
    allowed = math.floor(disturbed * len(rated))
    return {name: _allowing([one[name] for one in rated], allowed) for name in rated[0]}


def _allowing(highest: Sequence[float], allowed: int) -> float:
    ordered = sorted(highest, reverse=True)
    return ordered[allowed] if allowed < len(ordered) else -NEVER


def honest_figures(
    everyone: Sequence[HonestResult], limits: Mapping[str, float], name: str
) -> dict[str, dict[str, Any]]:
    """Return how many of each class a baseline disturbs at its threshold."""
    found: dict[str, dict[str, Any]] = {}
    for kind in STRICT:
        of = [one for one in everyone if one.kind == kind and one.suspicion]
        hits = sum(one.suspicion[name] > limits[name] for one in of)
        found[kind] = {
            "identities": len(of),
            "disturbed": share(hits, len(of)),
            "disturbed_95": interval(hits, len(of)),
        }
    return found


def first_over(suspicion: NDArray[np.float64], threshold: float, own: NDArray[np.bool_]) -> float:
    """Return the own queries sent when the threshold was first exceeded."""
    over = np.flatnonzero(suspicion > threshold)
    return float(own[: over[0] + 1].sum()) if len(over) else NEVER


def obtained(baseline: Baseline, sent: Queries, threshold: float) -> float:
    """Return the prompts that one account obtains in thirty days: all until it is slowed.

    If the baseline refills, the account obtains as much on each day.
    """
    over = np.flatnonzero(baseline.suspicion(sent) > threshold)
    if not len(over):
        return float(len(sent))
    if not baseline.refills:
        return float(over[0])
    return float(min(len(sent), DAYS * over[0]))
