"""PRADA: honest queries lie at normally distributed distances from their nearest predecessors.

Juuti et al., "PRADA: Protecting against DNN Model Stealing Attacks", EuroS&P 2019 (1805.02628). For
each query the smallest distance to the growing set of its class is kept; once there are enough,
the account is an attacker's if the Shapiro-Wilk W of those distances, outliers beyond three
standard deviations left out, is below a threshold. Text has no predicted label: all queries are of
one class, as its re-implementations for language models have it. The opposite side is run beside
it, because sweeps may as well be the more regular ones.

W is computed by Royston's approximation (Applied Statistics 44, 1995, algorithm AS R94).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.baselines.base import Floats, Queries

__all__ = ["PRADA", "nearest", "shapiro_wilk"]

MAX_QUERIES = 5_000
"""Queries analysed; after them the last suspicion stands. Distances cost the square of them."""

BLOCK = 512


@dataclass(frozen=True)
class PRADA:
    """Normality of the distances to the nearest predecessor.

    Attributes:
        low: Whether a low W is suspect, as published; otherwise a high one.
    """

    low: bool = True
    refills: bool = False

    @property
    def name(self) -> str:
        return "prada" if self.low else "prada_high"

    @property
    def source(self) -> str:
        side = "as published: low W" if self.low else "the other side: high W"
        return f"PRADA, arXiv 1805.02628, one class, from 50 distances, {side}; delta is tuned"

    def suspicion(self, sent: Queries, /) -> Floats:
        found = np.full(len(sent), -np.inf)
        distances = nearest(sent.vectors[:MAX_QUERIES])
        at = 50
        while at < len(distances):
            w = shapiro_wilk(_without_outliers(distances[:at]))
            found[at:] = 1 - w if self.low else w
            at = max(at + 25, int(at * 1.1))
        return found


def nearest(vectors: NDArray[np.float32]) -> Floats:
    """Return the Euclidean distance of each query, except the first, to the nearest before it."""
    count = len(vectors)
    best = np.empty(count, np.float32)
    for begin in range(0, count, BLOCK):
        end = min(begin + BLOCK, count)
        cosines = vectors[begin:end] @ vectors[:end].T
        rows, columns = np.arange(begin, end)[:, None], np.arange(end)[None, :]
        cosines[columns >= rows] = -2
        best[begin:end] = cosines.max(axis=1)
    return np.asarray(np.sqrt(np.maximum(0, 2 - 2 * best[1:])), np.float64)


def shapiro_wilk(values: Floats) -> float:
    """Return W of a sample of at least 12; 0 if all values are equal."""
    n = len(values)
    if n < 12 or np.ptp(values) == 0:
        return 0.0
    normal = NormalDist()
    m = np.array([normal.inv_cdf((i - 0.375) / (n + 0.25)) for i in range(1, n + 1)])
    square, u = float(m @ m), n**-0.5
    last = m[-1] / square**0.5
    last += 0.221157 * u - 0.147981 * u**2 - 2.071190 * u**3 + 4.434685 * u**4 - 2.706056 * u**5
    next_ = m[-2] / square**0.5
    next_ += 0.042981 * u - 0.293762 * u**2 - 1.752461 * u**3 + 5.682633 * u**4 - 3.582633 * u**5
    phi = (square - 2 * m[-1] ** 2 - 2 * m[-2] ** 2) / (1 - 2 * last**2 - 2 * next_**2)
    a = m / phi**0.5
    a[[-1, -2, 0, 1]] = last, next_, -last, -next_
    ordered = np.sort(values)
    centred = ordered - ordered.mean()
    return float((a @ ordered) ** 2 / (centred @ centred))


def _without_outliers(values: Floats) -> Floats:
    return np.asarray(values[np.abs(values - values.mean()) <= 3 * values.std() + 1e-12])
