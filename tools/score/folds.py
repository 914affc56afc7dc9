"""Fits without some sources, so that a benchmark can score sources that the fit has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sweep.corpora import manifest
from tools.score.evaluation import folds
from tools.score.model import Model
from tools.score.streams import streams

DRAWS = 8


def fits(corpora: Path) -> list[dict[str, Any]]:
    """Return for each fold of the sources the weights of a fit that has seen none of them."""
    every = streams(corpora, DRAWS)
    sources = {entry.name: set(entry.sources) or {entry.name} for entry in manifest(corpora)}
    found: list[dict[str, Any]] = []
    for held, model in folds(every, 0):
        left_out = {str(name) for name in np.unique(every.corpus[held])}
        unseen = {source for name in left_out for source in sources[name]}
        found.append({"unseen": sorted(unseen), "constants": _constants(model)})
    return found


def _constants(model: Model) -> dict[str, Any]:
    curves = model.curves
    return {
        "coverage.evidence.BIAS": model.bias,
        "coverage.evidence.MEAN": curves.mean.T.tolist(),
        "coverage.evidence.SPREAD": np.concatenate([curves.spread, curves.least[None]]).T.tolist(),
        "coverage.evidence.WEIGHT": np.stack([model.weight, model.tilt], axis=1).tolist(),
        "embedding.recogniser.DIRECTIONS": model.directions.tolist(),
    }
