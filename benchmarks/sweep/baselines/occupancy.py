"""B4B and CAP: how much of a sign-LSH space an account's queries occupy.

B4B (Dubinski et al., "Bucks for Buckets", NeurIPS 2023, arXiv 2310.08571) hashes embeddings with
12 random hyperplanes into 4,096 buckets, averages the occupied share over independent projections,
and lets a cost rise exponentially with it. The cost is monotone in the share, so a threshold on
the share is one on the cost: choosing it is choosing the paper's beta. As published the vectors are
not centred; static text embeddings lie in a narrow cone, so a centred variant is run beside it.

CAP (OpenReview dOS3e1kC5u) adds to the same exponential, over 2,048 buckets, the rate of new
buckets in the latest batch and the spread of the queries. Its text is not at hand in full: this
follows the published re-implementation, with its constants, and the batch in two sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.baselines.base import Floats, Queries, running_distinct

__all__ = ["B4B", "CAP"]

PROJECTIONS = 20


@dataclass(frozen=True)
class B4B:
    """Share of 2^12 sign-LSH buckets occupied.

    Attributes:
        mean: Taken from every vector first; None as published.
    """

    mean: NDArray[np.float32] | None = field(default=None, repr=False)
    refills: bool = False

    @property
    def name(self) -> str:
        return "b4b" if self.mean is None else "b4b_centred"

    @property
    def source(self) -> str:
        centred = "as published" if self.mean is None else "centred on honest prompts"
        return f"B4B, arXiv 2310.08571, 2^12 buckets, 20 projections, {centred}; beta is tuned"

    def suspicion(self, sent: Queries, /) -> Floats:
        vectors = sent.vectors if self.mean is None else sent.vectors - self.mean
        shares = np.zeros(len(sent))
        for projection in range(PROJECTIONS):
            shares += running_distinct(_codes(vectors, 12, projection)) / 2**12
        return shares / PROJECTIONS


@dataclass(frozen=True)
class CAP:
    """Cost of coverage, of new buckets and of spread.

    Attributes:
        mean: Taken from every vector first.
        batch: Queries over which new buckets are counted.
    """

    mean: NDArray[np.float32] = field(repr=False)
    batch: int = 50
    refills: bool = False

    @property
    def name(self) -> str:
        return f"cap_{self.batch}"

    @property
    def source(self) -> str:
        return (
            f"CAP, OpenReview dOS3e1kC5u, 2^11 buckets, batches of {self.batch}, centred on honest"
            " prompts; the cost allowed is tuned"
        )

    def suspicion(self, sent: Queries, /) -> Floats:
        vectors = sent.vectors - self.mean
        distinct = running_distinct(_codes(vectors, 11, 0)).astype(np.float64)
        numbers = np.arange(1, len(sent) + 1)
        spread = 1 - np.linalg.norm(np.cumsum(sent.vectors, axis=0), axis=1) / numbers
        before = np.concatenate([np.zeros(self.batch), distinct])[: len(sent)]
        fresh = (distinct - before) / self.batch
        rising = np.exp(distinct / 2**11 / _BETA * math.log(_ALPHA / _LAMBDA)) - 1
        w_cover, w_new, w_spread = _WEIGHTS
        cost = _LAMBDA + w_cover * rising
        cost += _ALPHA * (w_new * fresh + w_spread * np.minimum(spread, 1))
        cost[: self.batch - 1] = -np.inf
        return cost


_LAMBDA, _ALPHA, _BETA, _WEIGHTS = 5e-4, 8.0, 0.19, (0.05, 0.35, 0.45)


def _codes(vectors: NDArray[np.float32], bits: int, seed: int) -> NDArray[np.int64]:
    planes = np.random.default_rng(seed).standard_normal((vectors.shape[1], bits))
    signs = vectors @ planes.astype(np.float32) > 0
    return np.asarray(signs @ (1 << np.arange(bits)), np.int64)
