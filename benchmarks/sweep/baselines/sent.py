"""What a baseline is shown of one account, and what it has to answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Baseline", "Floats", "Sent", "running_distinct"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sent:
    """One account's queries, in order.

    Attributes:
        vectors: Unit vectors of the asks, the shipped embedding's.
        cells: Fine cell of each by the shipped codebook.
        times: µs, ascending.
        tokens: Of ask and answer.
    """

    vectors: NDArray[np.float32]
    cells: NDArray[np.int64]
    times: NDArray[np.int64]
    tokens: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)


class Baseline(Protocol):
    """A detector, reduced to how suspect it finds an account after each query.

    An account is slowed from the query on at which this first exceeds a threshold. The threshold is
    set on honest identities so that no more of them are ever slowed than by the policy under test.

    Attributes:
        name: In the results.
        source: Where it is from, and what was decided here.
        refills: Whether an account slowed today is free again tomorrow.
    """

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def refills(self) -> bool: ...

    def suspicion(self, sent: Sent, /) -> Floats:
        """Suspicion after each query; -inf while there is no opinion yet."""
        ...


def running_distinct(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many distinct values there have been after each."""
    new = np.zeros(len(codes), np.int64)
    new[np.unique(codes, return_index=True)[1]] = 1
    return np.cumsum(new)
