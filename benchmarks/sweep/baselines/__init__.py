"""Published detectors and plain limits, reimplemented, on the same streams and the same embedding.

Each returns a running suspicion (`base.Baseline`). Its threshold is set on the honest persons and
applications of the same run, so that it disturbs as many of them as the policy under test does;
that is in-sample, and in the baseline's favour. Where a method leaves a side or a size open, each
choice is its own baseline, and the best counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.baselines.base import Baseline, Queries
from benchmarks.sweep.baselines.limits import DistinctCells, RequestsADay, TokensADay
from benchmarks.sweep.baselines.mmd import MMD, Kernel
from benchmarks.sweep.baselines.occupancy import B4B, CAP
from benchmarks.sweep.baselines.prada import PRADA

__all__ = ["Baseline", "Queries", "baselines"]


def baselines(pool: NDArray[np.float32]) -> list[Baseline]:
    """Return all baselines.

    Args:
        pool: Vectors of honest prompts, mixed: what the methods know of honest traffic.
    """
    mean, kernel = pool.mean(axis=0), Kernel(pool, _bandwidths(pool))
    return [
        RequestsADay(),
        TokensADay(),
        DistinctCells(),
        B4B(),
        B4B(mean),
        CAP(mean, 50),
        CAP(mean, 200),
        PRADA(),
        PRADA(low=False),
        *(MMD(kernel, size, far) for size in (100, 500) for far in (True, False)),
    ]


def _bandwidths(pool: NDArray[np.float32]) -> tuple[float, ...]:
    """Return a half, one, two and four times the median distance in the pool."""
    some = pool[:: max(1, len(pool) // 500)]
    cosines = (some @ some.T)[np.triu_indices(len(some), 1)]
    middle = float(np.median(np.sqrt(np.maximum(0, 2 - 2 * cosines)))) or 1.0
    return tuple(middle * factor for factor in (0.5, 1.0, 2.0, 4.0))
