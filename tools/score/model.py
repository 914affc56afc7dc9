"""Model of the score: honest curves over the number of calls, and a logistic regression.

All corpora count about the same, because the score must generalise to new corpora, not to new
prompts of known ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from querybudget.coverage.score import FEATURES, VIEWS
from tools.score.streams import GRID, Rates

CAP, FLOOR, CLIP = 5.0, -4.0, 2.0
"""Limits of what one view may add and subtract, in log-odds, and of a deviation."""
PENALTY = 0.1
"""Inverse regularisation strength of the regression."""
BALANCE = 0.75
"""A stream's weight is one over the number of its corpus's streams, to this power."""
MIDDLE = np.log(100)

ALONG = np.log(GRID)

Floats = NDArray[np.float64]


def basis_of(along: Floats) -> Floats:
    return np.stack([np.ones_like(along), along, along**2], axis=1)


def tilt_of(along: Floats) -> Floats:
    return (along - MIDDLE) / 2


BASIS, TILT = basis_of(ALONG), tilt_of(ALONG)


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted score. Curves are quadratic in the logarithm of the number of calls."""

    mean: Floats
    spread: Floats
    least: Floats
    weight: Floats
    tilt: Floats
    bias: float

    def evidence(
        self, rates: Rates, without: tuple[str, ...] = (), along: Floats = ALONG
    ) -> Floats:
        """Return the log-odds at every point of the grid; shape (streams, grid), -inf past the end.

        `along` is the logarithm of each point's number of calls, if not that of `GRID`.
        """
        basis = basis_of(along)
        width = np.maximum(basis @ self.spread, self.least)
        apart = np.clip((rates - basis @ self.mean) / width, -CLIP, CLIP)
        said = apart * (self.weight + tilt_of(along)[:, None] * self.tilt)
        total = np.full(rates.shape[:2], self.bias)
        for view, names in VIEWS.items():
            if view not in without:
                places = [FEATURES.index(name) for name in names]
                total += np.clip(said[:, :, places].sum(2), FLOOR, CAP)
        return np.where(np.isnan(total), -np.inf, total)


def fit(rates: Rates, swept: NDArray[np.bool_], corpus: NDArray[np.str_]) -> Model:
    """Fit curves to the honest streams, then weights to all."""
    mean, spread, least = _curves(rates[~swept], corpus[~swept])
    width = np.maximum(BASIS @ spread, least)
    apart = np.clip((rates - BASIS @ mean) / width, -CLIP, CLIP)
    streams, at = np.where(~np.isnan(rates[:, :, 0]))
    rows = apart[streams, at]
    rows = np.concatenate([rows, rows * TILT[at][:, None]], axis=1)
    weights = np.zeros(len(rows))
    for place in range(len(GRID)):
        here = at == place
        weights[here] = _balanced(corpus[streams[here]], swept[streams[here]])
    weights *= len(rows) / weights.sum()
    made = LogisticRegression(C=PENALTY, max_iter=1_000).fit(
        rows, swept[streams], sample_weight=weights
    )
    half = len(FEATURES)
    return Model(
        mean, spread, least, made.coef_[0][:half], made.coef_[0][half:], float(made.intercept_[0])
    )


def _curves(rates: Rates, corpus: NDArray[np.str_]) -> tuple[Floats, Floats, Floats]:
    means, spreads = [], []
    for place in range(len(GRID)):
        here = ~np.isnan(rates[:, place, 0])
        weights = _balanced(corpus[here], np.zeros(here.sum(), bool))[:, None]
        found = rates[here, place]
        mean = (weights * found).sum(0) / weights.sum()
        means.append(mean)
        spreads.append(np.sqrt((weights * (found - mean) ** 2).sum(0) / weights.sum()))
    mean, spread = np.array(means), np.array(spreads)
    return (
        np.linalg.lstsq(BASIS, mean, rcond=None)[0],
        np.linalg.lstsq(BASIS, spread, rcond=None)[0],
        spread.min(0) / 2 + 1e-3,
    )


def _balanced(corpus: NDArray[np.str_], swept: NDArray[np.bool_]) -> Floats:
    """Return weights that add up to one half for each side."""
    out = np.zeros(len(corpus))
    for side in (False, True):
        here = swept == side
        names, counts = np.unique(corpus[here], return_counts=True)
        of = dict(zip(names, counts, strict=True))
        out[here] = [of[name] ** -BALANCE for name in corpus[here]]
        if here.any():
            out[here] /= 2 * out[here].sum()
    return out
