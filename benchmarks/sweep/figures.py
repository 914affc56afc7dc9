"""Shares with their intervals, and quantiles of counts that may be "never".

"Never" is None in what is written and infinity inside, so that it is larger than every count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

__all__ = [
    "NEVER",
    "bootstrap",
    "count_figures",
    "finite",
    "interval",
    "median_of",
    "middle",
    "plain",
    "quantile",
    "share",
    "within",
]

NEVER = math.inf

_Z = 1.959964
"""Quantile of a 95 % interval."""


def share(hits: int, of: int) -> float:
    """Return a share to four digits; 0 of none."""
    return round(hits / of, 4) if of else 0.0


def interval(hits: int, of: int) -> list[float]:
    """Return Wilson's 95 % interval of a share (1927), which is sensible even at 0 of n."""
    if not of:
        return [0.0, 1.0]
    p, zz = hits / of, _Z * _Z
    middle = (p + zz / (2 * of)) / (1 + zz / of)
    half = _Z / (1 + zz / of) * math.sqrt(p * (1 - p) / of + zz / (4 * of * of))
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]


def quantile(values: Sequence[float], q: float) -> float:
    """Return the smallest value that a share `q` does not exceed; `NEVER` of none."""
    if not values:
        return NEVER
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def middle(values: Sequence[float]) -> float:
    """Return the median; between a count and never it is never."""
    return median(values) if values else NEVER


def bootstrap(values: Sequence[float], q: float, *, draws: int = 300) -> list[float]:
    """Return the 95 % interval of a quantile by bootstrap over identities (Efron 1979)."""
    if not values:
        return [0.0, 0.0]
    held, rng = np.asarray(values, np.float64), np.random.default_rng(7)
    found = np.quantile(held[rng.integers(0, len(held), (draws, len(held)))], q, axis=1)
    low, high = np.quantile(found, (0.025, 0.975))
    return [round(float(low), 3), round(float(high), 3)]


def within(firsts: Sequence[float], bounds: Sequence[int]) -> dict[str, float]:
    """Return the share of draws slowed at or before each number of queries."""
    return {str(n): share(sum(first <= n for first in firsts), len(firsts)) for n in bounds}


def count_figures(values: Sequence[float]) -> dict[str, float | None]:
    """Return median and 90th percentile."""
    return {"median": plain(middle(values)), "p90": plain(quantile(values, 0.9))}


def plain(value: float) -> float | None:
    """Return a JSON value: None for never, an integer where possible."""
    if math.isinf(value):
        return None
    return int(value) if float(value).is_integer() else round(value, 3)


def finite(value: float) -> float | None:
    """Return a JSON value: None for either infinity."""
    return round(value, 6) if math.isfinite(value) else None


def median_of(values: Sequence[Any]) -> float | None:
    """Return the median of JSON values, None counting as never."""
    return plain(middle([NEVER if value is None else float(value) for value in values]))
