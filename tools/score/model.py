"""Model of the evidence: honest curves over new ground, a logistic regression, two directions.

All sources count about the same, because the evidence must generalise to new sources, not to new
prompts of known ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from querybudget.coverage.evidence import FEATURES, VIEWS
from querybudget.coverage.stream import PART
from tools.score.streams import GRID, Rates, Streams

CAP, FLOOR, CLIP, ALLOWANCE = 5.0, -4.0, 1.5, 3.0
"""Limits of what one view may add and subtract, in log-odds; of a deviation; and of what the
strongest view may add to the others."""
PENALTY = 0.03
"""Inverse regularisation strength of the regression."""
SHRINKAGE = 0.25
"""Factor on the components of the mean vector, which are many: a penalty 16 times as high."""
BALANCE = 0.75
"""A stream's weight is one over the number of its source's streams, to this power."""
MIDDLE = np.log(50)
RESOLUTION = 40.0
"""Typical size of an element of `Chunk.leaning`."""

ALONG = np.log(GRID)
BASIS = np.stack([np.ones_like(ALONG), ALONG, ALONG**2], axis=1)
TILT = (ALONG - MIDDLE) / 2
AT_MIDDLE = np.array([1.0, MIDDLE, MIDDLE**2])

Floats = NDArray[np.float64]

AT_PART = int(np.flatnonzero(GRID == PART)[0])
UNKNOWN_IN_PARTS = [FEATURES.index(name) for name in ("alike", "persistence", "words_new")]
"""What the package does not know of a stream's newest chunks."""

LEANINGS = [FEATURES.index(name) for name in VIEWS["direction"]]
OTHERS = [place for place in range(len(FEATURES)) if place not in LEANINGS]


@dataclass(frozen=True, slots=True)
class Curves:
    """Mean and spread of honest callers' rates, quadratic in the logarithm of new ground."""

    mean: Floats
    spread: Floats
    least: Floats

    def deviations(self, rates: Rates) -> Rates:
        width = np.maximum(BASIS @ self.spread, self.least)
        return np.clip((rates - BASIS @ self.mean) / width, -CLIP, CLIP)


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted model.

    Attributes:
        directions: Of leaning; shape (leanings, dimensions).
    """

    curves: Curves
    weight: Floats
    tilt: Floats
    bias: float
    directions: Floats

    def evidence(self, streams: Streams, without: str = "") -> Floats:
        """Return the log-odds at every look, before two are averaged; NaN past the end."""
        said = self.curves.deviations(_with_leanings(streams, self.directions))
        return self._together(said * (self.weight + TILT[:, None] * self.tilt), without)

    def evidence_of_parts(self, streams: Streams, without: str = "") -> Floats:
        """Return the log-odds of every part, before two are averaged; NaN past the end."""
        every, said = as_streams(streams), streams.part_rates.copy()
        found = self.curves.deviations(_with_leanings(every, self.directions))[:, AT_PART]
        found *= self.weight + TILT[AT_PART] * self.tilt
        found[:, UNKNOWN_IN_PARTS] = 0
        said[~np.isnan(said[:, :, 0])] = found
        return self._together(said, without)

    def _together(self, said: Floats, without: str) -> Floats:
        views = [
            np.clip(said[:, :, [FEATURES.index(name) for name in names]].sum(2), FLOOR, CAP)
            for view, names in VIEWS.items()
            if view != without
        ]
        strongest = np.maximum(0, np.max(views, axis=0) - ALLOWANCE)
        total: Floats = self.bias + np.sum(views, axis=0) - strongest
        return total


def fit(streams: Streams) -> Model:
    """Fit curves to the honest streams, then weights to all, then what leanings stand for."""
    honest, sources = ~streams.swept, streams.source
    rates = np.concatenate([streams.rates[:, :, OTHERS], streams.vectors], axis=2)
    curves = _curves(rates[honest], sources[honest])
    count = rates.shape[2]
    shrunk = np.where(np.arange(count) < len(OTHERS), 1.0, SHRINKAGE)
    regression = _regression(curves.deviations(rates) * shrunk, streams)
    weight, tilt = regression.coef_[0][:count] * shrunk, regression.coef_[0][count:] * shrunk
    # Leanings carry what the regression says of the mean vector, in a form that is an integer.
    width = np.maximum(AT_MIDDLE @ curves.spread, curves.least)[len(OTHERS) :]
    raw = np.stack([weight[len(OTHERS) :], tilt[len(OTHERS) :]]) / width
    scale = RESOLUTION * np.sqrt(rates.shape[2] - len(OTHERS)) / np.linalg.norm(raw, axis=1)
    directions = raw * scale[:, None]
    leaned = _with_leanings(streams, directions)
    curves = _curves(leaned[honest], sources[honest])
    spread = np.maximum(AT_MIDDLE @ curves.spread, curves.least)[LEANINGS]
    weights, tilts = np.zeros(len(FEATURES)), np.zeros(len(FEATURES))
    weights[OTHERS], tilts[OTHERS] = weight[: len(OTHERS)], tilt[: len(OTHERS)]
    weights[LEANINGS[0]], tilts[LEANINGS[1]] = spread / scale
    return Model(curves, weights, tilts, float(regression.intercept_[0]), directions)


def as_streams(streams: Streams) -> Streams:
    """Return each part of streams as a stream that ends when the part is full."""
    number, place = np.nonzero(~np.isnan(streams.part_rates[:, :, 0]))
    every = streams.some(number)
    rates = np.full((len(number), len(GRID), streams.rates.shape[2]), np.nan)
    vectors = np.full((len(number), len(GRID), streams.vectors.shape[2]), np.nan)
    rates[:, AT_PART] = streams.part_rates[number, place]
    vectors[:, AT_PART] = streams.part_vectors[number, place]
    return replace(every, rates=rates, vectors=vectors)


def _with_leanings(streams: Streams, directions: Floats) -> Rates:
    rates = streams.rates.copy()
    rates[:, :, LEANINGS] = streams.vectors @ directions.T
    return rates


def _regression(deviations: Rates, streams: Streams) -> LogisticRegression:
    number, look = np.where(~np.isnan(deviations[:, :, 0]))
    rows = deviations[number, look]
    rows = np.concatenate([rows, rows * TILT[look][:, None]], axis=1)
    weights = np.zeros(len(rows))
    for place in range(len(GRID)):
        here = look == place
        weights[here] = balanced(streams.source[number[here]], streams.swept[number[here]])
    weights *= len(rows) / weights.sum()
    return LogisticRegression(C=PENALTY, max_iter=1_000).fit(
        rows, streams.swept[number], sample_weight=weights
    )


def _curves(rates: Rates, sources: NDArray[np.str_]) -> Curves:
    means, spreads, sizes, reached = [], [], [], []
    for place in range(len(GRID)):
        here = ~np.isnan(rates[:, place, 0])
        if not here.any():
            continue
        reached.append(place)
        weights = balanced(sources[here], np.zeros(here.sum(), bool))[:, None]
        found = rates[here, place]
        mean = (weights * found).sum(0) / weights.sum()
        means.append(mean)
        spreads.append(np.sqrt((weights * (found - mean) ** 2).sum(0) / weights.sum()))
        sizes.append(np.sqrt(here.sum()))
    mean, spread, size = np.array(means), np.array(spreads), np.array(sizes)[:, None]
    return Curves(
        np.linalg.lstsq(BASIS[reached] * size, mean * size, rcond=None)[0],
        np.linalg.lstsq(BASIS[reached] * size, spread * size, rcond=None)[0],
        spread.min(0) / 2 + 1e-3,
    )


def balanced(sources: NDArray[np.str_], swept: NDArray[np.bool_]) -> Floats:
    """Return weights that add up to one half for each side."""
    out = np.zeros(len(sources))
    for side in (False, True):
        here = swept == side
        names, counts = np.unique(sources[here], return_counts=True)
        of = dict(zip(names, counts, strict=True))
        out[here] = [of[name] ** -BALANCE for name in sources[here]]
        if here.any():
            out[here] /= 2 * out[here].sum()
    return out
