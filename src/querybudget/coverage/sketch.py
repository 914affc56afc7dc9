"""What one stream of calls has looked like, in sums to which each call adds.

Every sum is additive over identities: a pool's sums are its identities' sums added up, although
what a call adds (is its bucket new? is it the bucket of the last call?) depends on its own identity
alone. The state behind the sums has a fixed size, about a kilobyte.
"""

from __future__ import annotations

from operator import add, mul

import msgspec

from querybudget.coverage.observation import COARSE, FINE, Observation
from querybudget.coverage.style import STYLE_FEATURES

SUMS = (
    "queries",  # calls
    "squared",  # the square of each identity's calls
    "followed",  # calls that had one before them
    "coarse_new",  # coarse buckets entered for the first time
    "coarse_once",  # coarse buckets entered exactly once
    "coarse_squared",  # the squares of visits to each coarse bucket
    "coarse_same",  # calls in the coarse bucket of the call before
    "cells_new",  # pairs of fine buckets entered for the first time
    "near",  # the product of each call's vector with that of the call before
    "spread",  # the squared length of the sum of all vectors
    "length",  # the sum of the vectors' squared lengths
    "words_new",  # words not used before
    "words",  # words
    "repeats",  # prompts sent before
    *STYLE_FEATURES,  # each of them, added up
)
"""Names of the sums, in order."""

_CELLS_PER_BIT = 2
"""Neighbours in the codebook's tree, so of one coarse bucket."""
_ASK_BITS = 1024
"""Size of the bitmap of prompts sent before."""
_MAX_BYTE = 255
_NO_STYLE = (0,) * len(STYLE_FEATURES)


def blank_sums() -> list[int]:
    """Return the sums of no calls."""
    return [0] * len(SUMS)


class Sketch(msgspec.Struct, array_like=True):
    """One stream of calls.

    Attributes:
        since: When its first call was seen, µs.
        sums: In the order of `SUMS`.
        last_coarse: Coarse bucket of the last call; -1 before the first.
        last_point: Vector of the last call.
        point_sum: Sum of all vectors, one integer per component.
        coarse_visits: Visits to each coarse bucket, a byte each, at most 255.
        cells_seen: Bitmap of the pairs of fine buckets entered.
        words_seen: Bitmap of the words used.
        asks_seen: Bitmap of the prompts sent.
    """

    since: int = 0
    sums: list[int] = msgspec.field(default_factory=blank_sums)
    last_coarse: int = -1
    last_point: bytes = b""
    point_sum: list[int] = msgspec.field(default_factory=list[int])
    coarse_visits: bytearray = msgspec.field(default_factory=lambda: bytearray(COARSE))
    cells_seen: bytearray = msgspec.field(
        default_factory=lambda: bytearray(FINE // _CELLS_PER_BIT // 8)
    )
    words_seen: bytes = b""
    asks_seen: bytearray = msgspec.field(default_factory=lambda: bytearray(_ASK_BITS // 8))

    @property
    def queries(self) -> int:
        """Number of calls."""
        return self.sums[0]

    def observe(self, observation: Observation) -> list[int]:
        """Add a call, and return what it added to each sum."""
        queries = self.sums[0]
        added = [1, 2 * queries + 1, int(queries > 0)]
        added += self._add_buckets(observation)
        added += self._add_vector(observation.point)
        added += self._add_words(observation.words)
        added.append(_set_bit(self.asks_seen, observation.ask % _ASK_BITS) ^ 1)
        added += observation.style or _NO_STYLE
        self.sums = list(map(add, self.sums, added))
        return added

    def _add_buckets(self, observation: Observation) -> tuple[int, int, int, int, int]:
        coarse, last = observation.coarse, self.last_coarse
        self.last_coarse = coarse
        new = sum(_set_bit(self.cells_seen, cell // _CELLS_PER_BIT) for cell in observation.cells)
        before = self.coarse_visits[coarse]
        if before < _MAX_BYTE:
            self.coarse_visits[coarse] = before + 1
        once = (before == 0) - (before == 1)
        return int(before == 0), once, 2 * before + 1, int(coarse == last), min(new, 1)

    def _add_vector(self, point: bytes) -> tuple[int, int, int]:
        vector = memoryview(point).cast("b")
        length = sum(map(mul, vector, vector))
        if not self.point_sum:
            self.last_point, self.point_sum = point, list(vector)
            return 0, length, length
        near = sum(map(mul, vector, memoryview(self.last_point).cast("b")))
        product = sum(map(mul, vector, self.point_sum))
        self.last_point, self.point_sum = point, list(map(add, self.point_sum, vector))
        return near, 2 * product + length, length

    def _add_words(self, words: bytes) -> tuple[int, int]:
        used = int.from_bytes(words, "little")
        before = int.from_bytes(self.words_seen, "little")
        new = (used & ~before).bit_count()
        if new:
            self.words_seen = (used | before).to_bytes(len(words), "little")
        return new, used.bit_count()


def _set_bit(bits: bytearray, index: int) -> int:
    """Set a bit; return 1 if it was not set before."""
    byte, bit = index >> 3, 1 << (index & 7)
    new = not bits[byte] & bit
    bits[byte] |= bit
    return int(new)
