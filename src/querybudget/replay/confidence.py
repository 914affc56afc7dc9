"""How sure a statement about a share is that was seen in a sample. Pure, for any distribution.

The (k+1)-th largest of n values is an upper tolerance limit: with the confidence asked for, at most
a share p of all that the sample stands for lies above it, if P(Bin(n, p) <= k) is at most one minus
that confidence (Wilks, "Determination of sample sizes for setting tolerance limits", 1941). The
bound on a share that was counted is Clopper's and Pearson's (1934).
"""

from __future__ import annotations

import math
from functools import lru_cache

CONFIDENCE = 0.95
"""How sure a proposal is."""

_STEPS = 60
"""Halvings by which a bound is found."""


def needed(share: float, confidence: float = CONFIDENCE) -> int:
    """Return how many must be seen before anything can be said of a share above 0, below 1."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-share))


def may_exceed(number: int, share: float, confidence: float = CONFIDENCE) -> int:
    """Return how many of a sample may lie above a limit that at most a share of all exceeds.

    Args:
        number: Size of the sample.
        share: The share, above 0 and below 1.
        confidence: How sure that is to be.

    Returns:
        Their number; -1 if the sample is too small for any limit.
    """
    total, allowed = 0.0, 1 - confidence
    for k in range(number + 1):
        total += _probability(number, k, share)
        if total > allowed:
            return k - 1
    return number


@lru_cache(maxsize=1_024)
def upper_bound(found: int, number: int, confidence: float = CONFIDENCE) -> float:
    """Return the largest share of all that `found` of a sample of `number` are consistent with."""
    if found >= number:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_most(number, found, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(number: int, most: int, share: float) -> float:
    return math.fsum(_probability(number, k, share) for k in range(most + 1))


def _probability(number: int, k: int, share: float) -> float:
    """P(Bin(number, share) = k)."""
    ways = math.lgamma(number + 1) - math.lgamma(k + 1) - math.lgamma(number - k + 1)
    return math.exp(ways + k * math.log(share) + (number - k) * math.log1p(-share))
