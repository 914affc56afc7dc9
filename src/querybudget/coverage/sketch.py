"""What one stream of calls has looked like, in sums that grow by one step for each call.

Every sum is additive over identities: a pool's sums are those of its identities added up, though
what a call adds (is its bucket new? is it where the last one was?) is seen from its own identity.
The state behind the sums has a fixed size, about a kilobyte.
"""

from __future__ import annotations

from operator import add, mul

import msgspec

from querybudget.coverage.observation import COARSE, FINE, Observation
from querybudget.coverage.style import TRAITS

__all__ = ["SUMS", "Sketch", "blank_sums"]

SUMS = (
    "queries",
    "squared",
    "followed",
    "coarse_new",
    "coarse_once",
    "coarse_squared",
    "coarse_same",
    "cells_new",
    "near",
    "spread",
    "length",
    "words_new",
    "words",
    "repeats",
    *TRAITS,
)
"""Names of the sums, in their order: calls; the square of each identity's calls; calls that had one
before them; coarse buckets entered for the first time, and those entered exactly once; the squares
of visits to each coarse bucket; calls in the coarse bucket of the one before; pairs of fine buckets
entered for the first time; the product of each call's vector with the one before, the squared
length of the sum of all vectors, and the sum of their squared lengths; new words, and words; asks
asked before; and each fact of `TRAITS` added up."""

_GROUP = 2
"""Fine buckets to a bit: neighbours in the tree of the codebook, so of one coarse bucket."""
_ASKS = 1024
"""Bits that remember which asks there were."""
_FULL = 255


def blank_sums() -> list[int]:
    """Sums of nobody."""
    return [0] * len(SUMS)


class Sketch(msgspec.Struct, array_like=True):
    """One stream of calls.

    Attributes:
        since: When its first call was seen, µs.
        sums: As `SUMS` names them.
        last: Coarse bucket of the last call; -1 before there is one.
        point: Vector of the last call.
        total: Sum of all vectors, one integer for each component.
        coarse: Visits to each coarse bucket, a byte each.
        cells: Which pairs of fine buckets were entered.
        words: Which words were used.
        asks: Which asks there were.
    """

    since: int = 0
    sums: list[int] = msgspec.field(default_factory=blank_sums)
    last: int = -1
    point: bytes = b""
    total: list[int] = msgspec.field(default_factory=list[int])
    coarse: bytearray = msgspec.field(default_factory=lambda: bytearray(COARSE))
    cells: bytearray = msgspec.field(default_factory=lambda: bytearray(FINE // _GROUP // 8))
    words: bytes = b""
    asks: bytearray = msgspec.field(default_factory=lambda: bytearray(_ASKS // 8))

    @property
    def queries(self) -> int:
        """Calls taken in."""
        return self.sums[0]

    def see(self, observation: Observation) -> list[int]:
        """Take a call in; what it added to each sum."""
        queries = self.sums[0]
        step = [1, 2 * queries + 1, int(queries > 0)]
        step += self._buckets(observation)
        step += self._vector(observation.point)
        step += self._words(observation.words)
        step.append(_mark(self.asks, observation.ask % _ASKS) ^ 1)
        step += observation.traits or _NO_TRAITS
        self.sums = list(map(add, self.sums, step))
        return step

    def _buckets(self, observation: Observation) -> tuple[int, int, int, int, int]:
        coarse, last, self.last = observation.coarse, self.last, observation.coarse
        fresh = sum(_mark(self.cells, cell // _GROUP) for cell in observation.cells)
        before = self.coarse[coarse]
        if before < _FULL:
            self.coarse[coarse] = before + 1
        once = (before == 0) - (before == 1)
        return int(before == 0), once, 2 * before + 1, int(coarse == last), min(fresh, 1)

    def _vector(self, point: bytes) -> tuple[int, int, int]:
        vector = memoryview(point).cast("b")
        length = sum(map(mul, vector, vector))
        if not self.total:
            self.point, self.total = point, list(vector)
            return 0, length, length
        near = sum(map(mul, vector, memoryview(self.point).cast("b")))
        along = sum(map(mul, vector, self.total))
        self.point, self.total = point, list(map(add, self.total, vector))
        return near, 2 * along + length, length

    def _words(self, words: bytes) -> tuple[int, int]:
        used, before = int.from_bytes(words, "little"), int.from_bytes(self.words, "little")
        new = (used & ~before).bit_count()
        if new:
            self.words = (used | before).to_bytes(len(words), "little")
        return new, used.bit_count()


def _mark(bits: bytearray, place: int) -> int:
    """Set a bit; 1 where it was not set."""
    byte, bit = place >> 3, 1 << (place & 7)
    new = not bits[byte] & bit
    bits[byte] |= bit
    return int(new)


_NO_TRAITS = (0,) * len(TRAITS)
