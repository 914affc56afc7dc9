"""Bucket numbers for vectors: k-means cells at two resolutions, moved and renumbered by a key.

A codebook is made for one embedding (`Codebook.name`), of unit vectors from which the mean has been
taken: uncentred text embeddings all lie on one side and fill few cells. Its 256 coarse cells hold
16 fine ones each, so that a lookup compares 272 centres and not 4,096.

The shipped file is public, and so are its cells. What a deployment counts in is `Codebook.keyed`.
"""

from __future__ import annotations

import importlib.resources
import math
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import numpy as np

from querybudget.coverage.observation import COARSE, FINE
from querybudget.embedding import keying, training
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

__all__ = ["POINT", "VERSION", "Codebook"]

VERSION = 1
"""Of the file's layout."""

POINT = 32
"""Signed bytes of a point."""

_CHILDREN = FINE // COARSE
_SHIPPED = "data/codebook.npz"
_UNIT = 127
_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """Cells of one embedding. It holds no text, and once made it does not change.

    Attributes:
        name: Of the embedding it was made for.
        mean: What is taken from a vector first; shape (dimensions,).
        coarse: Unit centres; shape (256, dimensions).
        fine: Unit centres, those of one coarse cell together; shape (256, 16, dimensions).
        axes: The 32 directions that tell prompts apart best, orthonormal, rotated by the key where
            there is one; shape (32, dimensions). Rows are zero where there are no more directions.
        coarse_numbers: Number of each coarse cell, as counted.
        fine_numbers: Number of each fine cell, as counted; shape (256, 16).
    """

    name: str
    mean: NDArray[np.float32] = field(repr=False)
    coarse: NDArray[np.float32] = field(repr=False)
    fine: NDArray[np.float32] = field(repr=False)
    axes: NDArray[np.float32] = field(repr=False)
    coarse_numbers: NDArray[np.int32] = field(
        default_factory=lambda: np.arange(COARSE, dtype=np.int32), repr=False
    )
    fine_numbers: NDArray[np.int32] = field(
        default_factory=lambda: np.arange(FINE, dtype=np.int32).reshape(COARSE, _CHILDREN),
        repr=False,
    )
    _first: NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Coarse centres and axes in one matrix: one product answers for both.
        object.__setattr__(self, "_first", np.concatenate((self.coarse, self.axes)))

    @property
    def dimensions(self) -> int:
        """Length of the vectors it takes."""
        return len(self.mean)

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.float32],
        name: str,
        *,
        seed: int = 0,
        weights: NDArray[np.float32] | None = None,
    ) -> Self:
        """A codebook for an embedding, from vectors of prompts like those it will see.

        The same input gives the same cells on one machine. 100,000 vectors of 128 numbers take
        about half a minute.

        Args:
            vectors: One unit vector for each prompt; shape (prompts, dimensions). At least 8,192,
                better 100,000, from as many kinds of prompts as can be had.
            name: `Embedder.name` of what made them.
            seed: Of the random start.
            weights: How much each prompt counts; all the same unless given.

        Raises:
            SetupError: There are too few different vectors to make 4,096 cells of.
        """
        made = training.tree(vectors, weights, COARSE, _CHILDREN, POINT, seed)
        return cls(name, made.mean, made.coarse, made.fine, made.axes)

    @classmethod
    def load(cls, path: str | PathLike[str] | None = None) -> Self:
        """Read a codebook; the shipped one, for the static embedder, without a path.

        Raises:
            SetupError: There is no such file, or it is no codebook of this version.
        """
        if path is None:
            shipped = importlib.resources.files("querybudget.embedding").joinpath(_SHIPPED)
            with shipped.open("rb") as file:
                return cls._read(file, _SHIPPED)
        try:
            with Path(path).open("rb") as file:
                return cls._read(file, str(path))
        except OSError as error:
            raise SetupError(f"expected a codebook at {path}: {error.strerror}") from error

    def save(self, path: str | PathLike[str]) -> None:
        """Write it, centres as signed bytes: about 5 bytes for every 4 numbers of all centres.

        Raises:
            SetupError: It is keyed. A key's cells are made where they are counted, never stored.
        """
        if not np.array_equal(self.coarse_numbers, np.arange(COARSE)):
            raise SetupError("expected a codebook without a key: a keyed one is not written down")
        coarse, coarse_scale = _pack(self.coarse)
        fine, fine_scale = _pack(self.fine)
        np.savez(
            Path(path).with_suffix(".npz"),
            version=np.int32(VERSION),
            name=np.array(self.name),
            mean=self.mean,
            axes=self.axes.astype(np.float16),
            coarse=coarse,
            coarse_scale=coarse_scale,
            fine=fine,
            fine_scale=fine_scale,
        )

    def keyed(self, key: bytes) -> Self:
        """The cells of one deployment, which cannot be computed without its key.

        Turning all vectors by a secret would change no cell, so the centres themselves are moved,
        by a share of the distance to their neighbours, and the cells renumbered; points are turned.
        Statistics stay what they are; which prompts share a cell changes for about a third of them.

        Args:
            key: Secret; the same one gives the same cells in every process and on every machine.
        """
        rotation = keying.rotation(key, POINT)
        fine_numbers = keying.permutation(key, b"fine numbers", FINE)
        return replace(
            self,
            coarse=keying.moved(self.coarse, key, b"coarse centres"),
            fine=keying.moved(self.fine, key, b"fine centres"),
            axes=(rotation @ self.axes.astype(np.float64)).astype(np.float32),
            coarse_numbers=keying.permutation(key, b"coarse numbers", COARSE),
            fine_numbers=fine_numbers.reshape(COARSE, _CHILDREN),
        )

    def cell(self, vector: NDArray[np.float32]) -> tuple[int, int, bytes]:
        """Where one vector lies: fine cell, coarse cell, and its point as 32 signed bytes.

        A vector of zeros, which says nothing, lies nowhere: (-1, -1, b"").
        """
        if not vector.dot(vector):
            return -1, -1, b""
        centred = vector - self.mean
        scores = self._first @ centred
        coarse = scores[:COARSE].argmax()
        fine = (self.fine[coarse] @ centred).argmax()
        point = scores[COARSE:] * (_UNIT / (math.sqrt(centred.dot(centred)) or 1.0))
        return (
            int(self.fine_numbers[coarse, fine]),
            int(self.coarse_numbers[coarse]),
            np.rint(point, out=point).astype(np.int8).tobytes(),
        )

    def look(
        self, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
        """Where many vectors lie: what `cell` says of each of them.

        Args:
            vectors: Shape (prompts, dimensions).

        Returns:
            Fine cells, coarse cells (-1 for vectors of zeros), and points of shape (prompts, 32).
        """
        fine = np.empty(len(vectors), np.int32)
        coarse = np.empty(len(vectors), np.int32)
        points = np.empty((len(vectors), POINT), np.int8)
        for start in range(0, len(vectors), _CHUNK):
            part = slice(start, start + _CHUNK)
            fine[part], coarse[part], points[part] = self._look(vectors[part])
        return fine, coarse, points

    def _look(
        self, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
        centred = vectors - self.mean
        scores = centred @ self._first.T
        coarse = scores[:, :COARSE].argmax(axis=1)
        fine = np.einsum("nkd,nd->nk", self.fine[coarse], centred).argmax(axis=1)
        lengths = np.sqrt(np.einsum("nd,nd->n", centred, centred))
        scale = _UNIT / np.where(lengths > 0, lengths, 1)
        points = np.rint(scores[:, COARSE:] * scale[:, None]).astype(np.int8)
        nowhere = ~vectors.any(axis=1)
        points[nowhere] = 0
        return (
            np.where(nowhere, -1, self.fine_numbers[coarse, fine]).astype(np.int32),
            np.where(nowhere, -1, self.coarse_numbers[coarse]).astype(np.int32),
            points,
        )

    @classmethod
    def _read(cls, file: IO[bytes], where: str) -> Self:
        try:
            with np.load(file, allow_pickle=False) as data:
                version = int(data["version"])
                if version != VERSION:
                    raise SetupError(
                        f"expected a codebook of version {VERSION}, found version {version} in"
                        f" {where}: make it again with this version of querybudget"
                    )
                return cls(
                    name=str(data["name"]),
                    mean=data["mean"].astype(np.float32),
                    coarse=_unpack(data["coarse"], data["coarse_scale"]),
                    fine=_unpack(data["fine"], data["fine_scale"]),
                    axes=data["axes"].astype(np.float32),
                )
        except (EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise SetupError(
                f"expected a codebook as `Codebook.save` writes it, found something else in {where}"
            ) from error


def _pack(centres: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scale = np.abs(centres).max(axis=-1) / _UNIT
    return np.rint(centres / scale[..., None]).astype(np.int8), scale.astype(np.float32)


def _unpack(packed: NDArray[np.int8], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    centres = packed.astype(np.float32) * scale[..., None]
    lengths = np.sqrt(np.einsum("...d,...d->...", centres, centres))
    return np.asarray(centres / lengths[..., None], np.float32)
