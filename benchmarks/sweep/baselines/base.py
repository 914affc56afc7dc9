"""Input and interface of a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Baseline", "Floats", "Queries", "running_distinct"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Queries:
    """One account's queries, in order.

    Attributes:
        vectors: Unit vectors of the prompts, by the shipped embedding.
        cells: Fine cell of each by the shipped codebook.
        times: µs, ascending.
        tokens: Tokens of prompt and answer.
    """

    vectors: NDArray[np.float32]
    cells: NDArray[np.int64]
    times: NDArray[np.int64]
    tokens: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)


class Baseline(Protocol):
    """A detector, reduced to the suspicion of an account after each query.

    An account is slowed from the query at which its suspicion first exceeds a threshold. The
    threshold is set so that no more honest identities are slowed than by the policy under test.

    Attributes:
        name: Its name in the results.
        source: Its source, and the choices made here.
        refills: Whether an account slowed today is free again tomorrow.
    """

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def refills(self) -> bool: ...

    def suspicion(self, sent: Queries, /) -> Floats:
        """Return the suspicion after each query; -inf while there is none yet."""
        ...


def running_distinct(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of distinct values so far, after each value."""
    new = np.zeros(len(codes), np.int64)
    new[np.unique(codes, return_index=True)[1]] = 1
    return np.cumsum(new)
