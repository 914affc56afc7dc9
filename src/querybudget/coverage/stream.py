"""What one stream of new ground has looked like, in sums to which each call adds.

A stream takes in chunks that entered new ground: a repeat, or another prompt about what the caller
has asked about before, is not among them. So neither repeats nor greetings nor cover traffic about
known matters can thin it out. The state behind the sums has a fixed size, a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, starmap
from operator import add, mul, ne
from zlib import crc32

import msgspec

from querybudget.coverage.leaning import EMBEDDING
from querybudget.coverage.observation import FINE, GOES_ON, Chunk
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS

ABILITIES = 12
"""Shipped capabilities."""

LEANINGS = 2
"""Directions of `querybudget.coverage.leaning`."""

SUMS = (
    "chunks",  # chunks
    "followed",  # chunks with which a task began, after another one
    "near",  # the product of each of those with the last chunk before it
    "length",  # the sum of the vectors' squared lengths
    "words_new",  # words not used before
    "words",  # words
    *STYLE_FEATURES,  # each of them, added up
    *(f"ability_{number}" for number in range(ABILITIES)),  # chunks that show it
    "no_ability",  # chunks that show none
    *(f"leaning_{number}" for number in range(LEANINGS)),  # each of them, added up
)
"""Names of the sums, in order."""

SHOWN = SUMS[SUMS.index(STYLE_FEATURES[0]) :]
"""Names of the sums to which a chunk adds what it shows by itself."""

MOST = 800
"""Chunks after which all sums are halved, so that the stream follows what a caller does now."""

FORM = f"{crc32(repr((EMBEDDING, FINE, WORD_BITS, SUMS)).encode()):08x}"
"""Names what stored profiles consist of: a profile of another form is none."""

PART = 32
"""Chunks of a stream that are judged apart from all before them."""

APART = 15 * 127 * 127 // 100
"""Mean product of items that follow each other below which each is a task of its own: 15 % of the
largest. Sections of one task have 21 % in the median, and tasks packed at random 6 to 20 %."""

_NO_SUMS: Sequence[int] = (0,) * len(SUMS)
_NO_STYLE = (0,) * len(STYLE_FEATURES)
_NO_LEANING = (0,) * LEANINGS


class Stream(msgspec.Struct, array_like=True):
    """One stream of new ground.

    Attributes:
        sums: In the order of `SUMS`.
        last_point: Vector of the last chunk.
        point_sum: Sum of all vectors, one integer per component.
        words_seen: Bitmap of the words used.
        looked: Chunks at the last look; 0 before the first.
        last_evidence: Evidence at the last look, in thousandths of log-odds.
        evidence: The mean of it and of the evidence at the look before.
        last_part: Evidence of its last full part, in thousandths of log-odds; None before it.
        newest: The mean of it and of the part before; None before there are two.
    """

    sums: list[int] = msgspec.field(default_factory=lambda: [0] * len(SUMS))
    last_point: bytes = b""
    point_sum: list[int] = msgspec.field(default_factory=list[int])
    words_seen: bytes = b""
    looked: int = 0
    last_evidence: int = 0
    evidence: int = 0
    last_part: int | None = None
    newest: int | None = None

    def __post_init__(self) -> None:
        """Refuse what was stored and is damaged."""
        if len(self.sums) != len(SUMS) or len(self.words_seen) not in {0, WORD_BITS // 8}:
            raise ValueError("expected a stream's sums and words")
        if self.sums[0] < 0 or len(self.last_point) != len(self.point_sum):
            raise ValueError("expected a stream's chunks and vectors")

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return self.sums[0]

    def observe(
        self, chunks: Sequence[Chunk], begin: Sequence[bool], newest: Sequence[bool] = ()
    ) -> Sequence[int]:
        """Add those chunks of one call that entered new ground, in order.

        Args:
            chunks: The chunks, or some that follow each other.
            begin: What `begins` returns for these.
            newest: Which of them are among the newest chunks; empty if all are.

        Returns:
            What those add to the sums that are among the newest chunks.
        """
        total = of_newest = _NO_SUMS
        for chunk, first, is_newest in zip(chunks, begin, newest or begin, strict=True):
            added = [1]
            added += self._add_vector(chunk.point, first=first)
            added += self._add_words(chunk.words)
            added += shown(chunk)
            total = list(map(add, total, added))
            if is_newest:
                of_newest = list(map(add, of_newest, added))
        self.sums = list(map(add, self.sums, total))
        return of_newest if newest else total

    def halve(self) -> None:
        """Let everything so far count half."""
        self.sums = [value // 2 for value in self.sums]
        self.point_sum = [value // 2 for value in self.point_sum]
        self.looked //= 2

    def _add_vector(self, point: bytes, *, first: bool) -> tuple[int, int, int]:
        vector = memoryview(point).cast("b")
        length = sum(map(mul, vector, vector))
        if not self.point_sum:
            self.last_point, self.point_sum = point, list(vector)
            return 0, 0, length
        followed = near = 0
        if first:
            followed, near = 1, product(point, self.last_point)
        self.last_point, self.point_sum = point, list(map(add, self.point_sum, vector))
        return followed, near, length

    def _add_words(self, words: bytes) -> tuple[int, int]:
        used = int.from_bytes(words, "little")
        before = int.from_bytes(self.words_seen, "little")
        new = (used & ~before).bit_count()
        if new:
            self.words_seen = (used | before).to_bytes(WORD_BITS // 8, "little")
        return new, used.bit_count()


def shown(chunk: Chunk) -> list[int]:
    """Return what a chunk adds to the sums by itself, in the order of `SHOWN`."""
    abilities = chunk.abilities
    return [
        *(chunk.style or _NO_STYLE),
        *[abilities >> number & 1 for number in range(ABILITIES)],
        not abilities,
        *(chunk.leaning or _NO_LEANING),
    ]


def begins(
    chunks: Sequence[Chunk], items: Sequence[int] = (), last_point: bytes = b""
) -> list[bool]:
    """Return with which chunks of a call a task begins.

    The first always does, unless it goes on in the middle of a sentence and is about the same as
    the last chunk before it. The first of any other item does if the call's items are about
    different things. Otherwise they are sections of one task.

    Args:
        chunks: Those that entered new ground, in order.
        items: The item that each belongs to, `GOES_ON` for one that an earlier call began; empty if
            all belong to one.
        last_point: Vector of the last chunk before the call.
    """
    begin = [True] + [False] * (len(chunks) - 1)
    if items:
        opens = [True, *map(ne, items[1:], items)]
        points = [chunk.point for chunk, opened in zip(chunks, opens, strict=True) if opened]
        products = [*starmap(product, pairwise(points))]
        if products and sum(products) < APART * len(products):
            begin = opens
        if items[0] == GOES_ON and last_point:
            begin[0] = product(last_point, points[0]) < APART
    return begin


def product(one: bytes, other: bytes) -> int:
    """Return how near two vectors are: the sum of the products of their components."""
    return sum(map(mul, memoryview(one).cast("b"), memoryview(other).cast("b")))


class Newest(msgspec.Struct, array_like=True):
    """The newest chunks of one stream, until they are a part: streams of a caller take turns.

    Attributes:
        number: The stream, by its place.
        sums: In the order of `SUMS`.
        beside: Chunks of other streams since it began.
    """

    number: int = 0
    sums: list[int] = msgspec.field(default_factory=lambda: list(_NO_SUMS))
    beside: int = 0

    def __post_init__(self) -> None:
        """Refuse what was stored and is damaged."""
        if len(self.sums) != len(SUMS) or min(self.sums[0], self.number, self.beside) < 0:
            raise ValueError("expected sums of the newest chunks")

    def room(self, number: int) -> int:
        """Return how many chunks more of a stream are a full part."""
        return PART - self.sums[0] if number == self.number else PART

    def add(self, number: int, added: Sequence[int]) -> Sequence[int]:
        """Add what a stream has grown by, if it is its turn or the other stream stands still.

        Returns:
            The sums of a full part, after which another begins; empty otherwise.
        """
        if number != self.number:
            self.beside += added[0]
            if self.sums[0] and self.beside < PART:
                return ()
            self.number, self.sums, self.beside = number, list(_NO_SUMS), 0
        sums = list(map(add, self.sums, added))
        if sums[0] < PART:
            self.sums = sums
            return ()
        self.sums, self.beside = list(_NO_SUMS), 0
        return sums
