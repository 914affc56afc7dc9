"""Windowed MMD: does the latest window of an account's queries look like honest traffic?

After arXiv 2606.05725, with its four bandwidths of an RBF kernel. The kernel is approximated by
random Fourier features (Rahimi and Recht, NIPS 2007), so that a window is a running sum; the
estimate is the unbiased one. As published, an account far from the honest pool is suspect.
The opposite side runs too: single honest callers are narrower than any pool, and a broad sweep is
like one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.baselines.base import Floats, Queries

__all__ = ["MMD", "Kernel"]

PER_BANDWIDTH = 64
MIN_QUERIES = 50
"""Queries before there is a suspicion."""


class Kernel:
    """Features of streams, and of the pool they are compared with.

    Attributes:
        pool: Mean feature vector of honest prompts.
    """

    def __init__(self, pool: NDArray[np.float32], bandwidths: Sequence[float]) -> None:
        self._bandwidths = bandwidths
        self.pool: Floats = features(pool, bandwidths).mean(axis=0, dtype=np.float64)
        self._last: tuple[NDArray[np.float32], Floats] | None = None

    def running(self, vectors: NDArray[np.float32]) -> Floats:
        """Running sums of features; those of the latest stream are kept for the next variant."""
        if self._last is None or self._last[0] is not vectors:
            sums = np.cumsum(features(vectors, self._bandwidths), axis=0, dtype=np.float64)
            self._last = vectors, sums
        return self._last[1]


@dataclass(frozen=True)
class MMD:
    """Squared MMD of a window against a pool of honest prompts.

    Attributes:
        kernel: Shared by all variants.
        window: Queries.
        far: Whether far from the pool is suspect, as published; otherwise near.
    """

    kernel: Kernel = field(repr=False)
    window: int
    far: bool = True
    refills: bool = False

    @property
    def name(self) -> str:
        return f"mmd_{self.window}" + ("" if self.far else "_near")

    @property
    def source(self) -> str:
        side = "as published: far from honest traffic" if self.far else "the other side: near it"
        return (
            f"windowed MMD, arXiv 2606.05725, windows of {self.window}, four bandwidths, random"
            f" Fourier features, {side}; the threshold is tuned"
        )

    def suspicion(self, sent: Queries, /) -> Floats:
        total, pool = self.kernel.running(sent.vectors), self.kernel.pool
        numbers = np.arange(1, len(sent) + 1)
        sizes = np.minimum(numbers, self.window)[:, None]
        sums = total.copy()
        sums[self.window :] -= total[: -self.window]
        mean = sums / sizes
        sizes = sizes[:, 0]
        inner = (sizes * (mean * mean).sum(axis=1) - 1) / np.maximum(sizes - 1, 1)
        found = inner - 2 * mean @ pool + pool @ pool
        found = np.asarray(found if self.far else -found, np.float64)
        found[: MIN_QUERIES - 1] = -np.inf
        return found


def features(vectors: NDArray[np.float32], bandwidths: Sequence[float]) -> NDArray[np.float32]:
    """Random Fourier features of the mean of the kernels; each of about unit length."""
    rng = np.random.default_rng(11)
    parts: list[NDArray[np.float32]] = []
    for bandwidth in bandwidths:
        directions = rng.standard_normal((vectors.shape[1], PER_BANDWIDTH)) / bandwidth
        angles = vectors @ directions.astype(np.float32)
        parts += [np.cos(angles), np.sin(angles)]
    return np.concatenate(parts, axis=1) / np.float32((PER_BANDWIDTH * len(bandwidths)) ** 0.5)
