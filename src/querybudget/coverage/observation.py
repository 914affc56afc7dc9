"""What one call contributes to coverage."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from querybudget.coverage.reason import Touched

FINE = 4096
"""Number of fine cells. Which of them are a bucket together follows from the deployment's key."""

CELLS_PER_BUCKET = 2

BUCKETS = FINE // CELLS_PER_BUCKET
"""Number of buckets, which quotas in buckets count."""

COARSE = 256
"""Number of coarse cells; every fine cell lies in one of them."""


MAX_CHUNKS = 64
"""Chunks of a call that are looked at."""

GOES_ON = -1
"""Item that an earlier call began: it goes on in the middle of a sentence."""

OF_NO_LIST = -2
"""Item of all of what is fed that is in no list."""


class Chunk(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A few hundred characters that the model reads: numbers and hashes, never text.

    Attributes:
        digest: 32-bit keyed hash of the text.
        cell: Fine cell of its vector; -1 if it could not be embedded.
        coarse: Coarse cell; -1 if it could not be embedded.
        point: The vector in 32 signed bytes, keyed like the cells.
        words: Bitmap of its words, little-endian.
        style: `querybudget.coverage.style.STYLE_FEATURES`; empty if there is nothing to read.
        capabilities: Bit n is set if it shows the policy's n-th capability.
        leaning: How far its vector leans in each of `querybudget.coverage.leaning.DIRECTIONS`;
            empty for vectors of another embedding.
        abilities: Bit n is set if it shows the n-th shipped capability, whatever the policy lists.
    """

    digest: int
    cell: int = -1
    coarse: int = -1
    point: bytes = b""
    words: bytes = b""
    style: tuple[int, ...] = ()
    capabilities: int = 0
    leaning: tuple[int, ...] = ()
    abilities: int = 0


class KnownGround(msgspec.Struct, frozen=True, gc=False):
    """What was decided of a call once, and is to be taken as it was: of a call that is replayed.

    Attributes:
        novelty: Buckets that were new ground.
        scores: Partitions to the sweep scores of their accounts, in millionths, those above 0.
        touched: Budgets by whose population test the caller was touched, and how.
    """

    novelty: int = 0
    scores: Mapping[str, int] = {}
    touched: Mapping[str, Touched] = {}


class Observation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a call's model reads: numbers and hashes, never text.

    Attributes:
        said: Chunks of what the caller asks, in order.
        fed: Chunks of what comes with it, in order: instructions, documents, results, earlier
            answers.
        opaque: 32-bit keyed hashes of what cannot be read, such as token ids and pictures.
        template: 32-bit keyed number of the system prompt, the same for most that are alike; 0
            without one.
        capabilities: Bit n is set if the call shows the policy's n-th capability.
        known: What it covers and how suspect its caller is, in place of what profiles say; None of
            calls that are decided for the first time.
        marks: What the caller declares, as `Trace` keeps it; None where nothing links accounts.
        subject: Fine cell of the beginning of the system prompt as a whole, which is the same for
            most that say the same in other words; -1 where no budget asks, or there is none.
        items: For each chunk of `said`, the number of the item that it belongs to, which is
            `GOES_ON` for one that an earlier call began; empty if all belong to one.
        fed_items: For each chunk of `fed`, the number of the item of a list that it belongs to, or
            `OF_NO_LIST`; empty without a list.
    """

    said: tuple[Chunk, ...] = ()
    fed: tuple[Chunk, ...] = ()
    opaque: tuple[int, ...] = ()
    template: int = 0
    capabilities: int = 0
    known: KnownGround | None = None
    marks: tuple[int, ...] | None = None
    subject: int = -1
    items: tuple[int, ...] = ()
    fed_items: tuple[int, ...] = ()

    @property
    def cells(self) -> tuple[int, ...]:
        """Fine cells of all chunks, distinct, ascending."""
        chunks = self.said + self.fed
        return tuple(sorted({chunk.cell for chunk in chunks if chunk.cell >= 0}))
