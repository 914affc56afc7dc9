"""The default embedding: a table of word pieces shipped with the package; it needs no model.

A text's vector is the sum of its pieces' vectors, scaled to unit length. The table is distilled
from a sentence model and aligned over languages by tools/distil; NOTICE lists its sources.
"""

from __future__ import annotations

import functools
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from querybudget.embedding.kernel import FOLDED, RAW
from querybudget.embedding.signs import lexicon_of
from querybudget.embedding.wordpiece import WordPiece, normalise, spaced
from querybudget.errors import SetupError

FORMAT = 2
"""Version of the file layout that this code reads."""

_FILE = "data/static.npz"
MAX_SAMPLE = 3_000
"""Characters of a text that are read, but for the line breaks between windows."""

_WINDOWS = ((0, 1_000), (1, 500), (2, 500), (3, 1_000))
"""What is read of a longer text: position in thirds of the text, and length."""


def sample(text: str) -> str:
    """Return the text, or of a long text its head, two parts of its middle, and its tail.

    The same text always gives the same sample, and so the same buckets.
    """
    if len(text) <= MAX_SAMPLE:
        return text
    return "\n".join(
        text[start : start + length]
        for third, length in _WINDOWS
        for start in [(len(text) - length) * third // 3]
    )


class _Table(msgspec.Struct, frozen=True, eq=False):
    """Contents of the file: one row per piece, in 8 bits with a scale per row."""

    name: str
    pieces: list[str]
    rows: NDArray[np.int8]
    scales: NDArray[np.float32]


class StaticEmbedder:
    """Unit vectors from a table of word pieces: never waits, never fails, uses no network.

    Attributes:
        lexicon: The compiled form of the vocabulary, if there is one.
    """

    suspends = False

    def __init__(self, table: _Table) -> None:
        self.name = table.name
        self.dimensions = int(table.rows.shape[1])
        self._rows = table.rows
        self._scales = table.scales
        self._pieces = WordPiece(table.pieces)
        self.lexicon = lexicon_of(table.pieces)

    @staticmethod
    @functools.cache
    def load() -> StaticEmbedder:
        """Return the shipped embedder, read once per process."""
        return StaticEmbedder(_read(_content()))

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """The pieces that a word may begin with, whole words among them, as `normalise` spells."""
        return self._pieces.vocabulary

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text; zeros for a text without a known piece."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for index, text in enumerate(texts):
            self._add(sample(text), vectors[index])
        return vectors

    def _add(self, text: str, into: NDArray[np.float32]) -> None:
        """Make zeros the unit vector of a text."""
        if self.lexicon is not None:
            table = self._rows, self._scales, into
            if self.lexicon.vector(text, RAW, *table) is None:
                self.lexicon.vector(normalise(spaced(text)), FOLDED, *table)
            return
        pieces = self._pieces.rows(text)
        if pieces:
            self._sum(pieces, into)

    async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        return self.vectors(texts)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""

    def _sum(self, pieces: list[int], into: NDArray[np.float32]) -> None:
        rows = np.array(pieces, dtype=np.intp)
        # One after the other, so that the sums are the same on every machine and in the kernel.
        terms = self._scales.take(rows)[:, None] * self._rows.take(rows, axis=0)
        total = np.add.reduce(terms, axis=0).astype(np.float64)
        length = np.sqrt(np.add.accumulate(total * total)[-1])
        if length > 0:
            into[:] = total / length


def _content() -> bytes:
    return files("querybudget.embedding").joinpath(_FILE).read_bytes()


def _read(content: bytes) -> _Table:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        about: dict[str, Any] = json.loads(arrays["about"].tobytes())
        if about["format"] != FORMAT:
            raise SetupError(
                f"{_FILE} is of format {about['format']}, expected {FORMAT}: "
                "install querybudget again"
            )
        pieces = zlib.decompress(arrays["pieces"].tobytes()).decode().split("\n")
        rows = np.empty((about["pieces"], about["dimensions"]), dtype=np.int8)
        fine = arrays["fine_codes"]
        _decode(fine, arrays["fine_centres"], rows[: fine.shape[1]].view(np.int16))
        coarse = arrays["coarse_codes"]
        _decode(coarse, arrays["coarse_centres"], rows[fine.shape[1] :].view(np.int32))
        return _Table(about["name"], pieces, rows, arrays["scales"].astype(np.float32))


def _decode(
    codes: NDArray[np.uint8], centres: NDArray[np.int8], into: NDArray[np.int16 | np.int32]
) -> None:
    """Undo product quantisation: a code is the number of a centre of its group of components.

    A centre's components are copied as one integer of the same width; its value has no meaning.
    """
    copied = centres.view(into.dtype)[:, :, 0]
    for group, numbers in enumerate(codes):
        into[:, group] = copied[group].take(numbers)
