"""What deployments have today: limits on requests or tokens per day; and a limit on cells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.baselines.base import Floats, Queries
from benchmarks.sweep.timing import DAY

__all__ = ["DistinctCells", "RequestsADay", "TokensADay"]


@dataclass(frozen=True)
class RequestsADay:
    """A fixed rate limit. Its threshold is the limit; a day is any 24 hours."""

    name: str = "requests_a_day"
    source: str = "a sliding limit of requests in 24 hours; the limit is tuned"
    refills: bool = True

    def suspicion(self, sent: Queries, /) -> Floats:
        return _in_last_day(sent.times, np.ones(len(sent), np.int64))


@dataclass(frozen=True)
class TokensADay:
    """A token budget, input and output alike."""

    name: str = "tokens_a_day"
    source: str = "a sliding limit of tokens, input and output, in 24 hours; the limit is tuned"
    refills: bool = True

    def suspicion(self, sent: Queries, /) -> Floats:
        return _in_last_day(sent.times, sent.tokens)


@dataclass(frozen=True)
class DistinctCells:
    """Distinct k-means cells of the shipped codebook in thirty days, against one fixed limit."""

    name: str = "distinct_cells"
    source: str = "distinct cells of 4,096 in 30 days; the limit is tuned"
    refills: bool = False
    days: int = 30

    def suspicion(self, sent: Queries, /) -> Floats:
        found, live, oldest = np.empty(len(sent)), Counter[int](), 0
        cells, times = sent.cells.tolist(), sent.times.tolist()
        for number, (cell, at) in enumerate(zip(cells, times, strict=True)):
            live[cell] += 1
            while times[oldest] <= at - self.days * DAY:
                live[cells[oldest]] -= 1
                if not live[cells[oldest]]:
                    del live[cells[oldest]]
                oldest += 1
            found[number] = len(live)
        return found


def _in_last_day(times: NDArray[np.int64], amounts: NDArray[np.int64]) -> Floats:
    total = np.concatenate([[0], np.cumsum(amounts)])
    begin = np.searchsorted(times, times - DAY, side="right")
    return np.asarray(total[1:] - total[begin], np.float64)
