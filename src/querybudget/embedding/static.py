"""The default embedding: a table of pieces of words, shipped with the package, needing no model.

A text's vector is the sum of its pieces' vectors, at unit length. The table is distilled from a
sentence model and aligned over languages by tools/distil; NOTICE says what it derives from.
"""

from __future__ import annotations

import functools
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from querybudget.embedding.wordpiece import WordPiece
from querybudget.errors import SetupError

__all__ = ["FORMAT", "StaticEmbedder", "sample"]

FORMAT = 2
"""Version of the file's layout that this code reads."""

_FILE = "data/static.npz"
_READ = 3_000  # characters of a long text that are read
_WINDOWS = ((0, 1_000), (1, 500), (2, 500), (3, 1_000))  # third at which it lies, length


def sample(text: str) -> str:
    """The text, or where it is long its head, two places within and its tail.

    The same text always gives the same sample, so that it falls into the same buckets.
    """
    if len(text) <= _READ:
        return text
    return "\n".join(
        text[start : start + length]
        for third, length in _WINDOWS
        for start in [(len(text) - length) * third // 3]
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """What the file holds: one row for each piece, in 8 bits with a scale for each row."""

    name: str
    pieces: list[str]
    rows: NDArray[np.int8]
    scales: NDArray[np.float32]


class StaticEmbedder:
    """Unit vectors from a table of pieces of words: never waits, never fails, reads no network."""

    suspends = False

    def __init__(self, table: _Table) -> None:
        self._name = table.name
        self._rows = table.rows
        self._scales = table.scales
        self._pieces = WordPiece(table.pieces)

    @classmethod
    def load(cls) -> StaticEmbedder:
        """The shipped one, read once for the process."""
        return _shipped()

    @property
    def name(self) -> str:
        """Name and version of the shipped table."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._rows.shape[1])

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit vector for each text; zeros for a text without a known piece."""
        found = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for place, text in enumerate(texts):
            pieces = self._pieces.rows(sample(text))
            if pieces:
                self._sum(pieces, found[place])
        return found

    async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """One unit vector for each text; zeros for a text without a known piece."""
        return self.vectors(texts)

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _sum(self, pieces: list[int], into: NDArray[np.float32]) -> None:
        which = np.array(pieces, dtype=np.intp)
        total = self._scales.take(which) @ self._rows.take(which, axis=0).astype(np.float32)
        length = np.sqrt(total @ total)
        if length > 0:
            np.divide(total, length, out=into)


@functools.cache
def _shipped() -> StaticEmbedder:
    return StaticEmbedder(_read(_content()))


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
    """Product quantisation undone: each code is the number of a centre of its group of components.

    A centre's few components are moved as one integer of the same width; its value means nothing.
    """
    moved = centres.view(into.dtype)[:, :, 0]
    for group, own in enumerate(codes):
        into[:, group] = moved[group].take(own)
