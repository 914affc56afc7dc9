"""Bucket numbers for vectors: k-means cells at two resolutions, moved and renumbered by a key.

A codebook is made for one embedding (`Codebook.name`), from unit vectors with the mean subtracted:
uncentred text embeddings all lie on one side and fill few cells. Its 256 coarse cells hold 16 fine
ones each, so a lookup compares 272 centres instead of 4,096.

The shipped file is public, and so are its cells. A deployment counts in the cells of
`Codebook.keyed`. A key has the same effect on every platform: all randomness is SHAKE-256
(FIPS 202) over the key, never a generator whose stream may change with the version of numpy.
"""

from __future__ import annotations

import importlib.resources
import math
import zipfile
from dataclasses import dataclass, field, replace
from hashlib import shake_256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import numpy as np

from querybudget.coverage.observation import COARSE, FINE
from querybudget.embedding import training
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

VERSION = 1
"""Version of the file's layout."""

POINT = 32
"""Length of a point, in signed bytes."""

SHIFT = 0.05
"""How far a key moves a centre along any one direction, in distances to its nearest neighbour.

In many dimensions almost all of a random move is at right angles to the boundary between two cells,
so its length along one direction matters, not its total length. This value puts about a third of
real prompts into another fine cell. The number of distinct cells among 50 or 200 of them grows by
5 % on average, and by more where they fill few cells: a model of such numbers is best fitted to
keyed cells.
"""

_CHILDREN = FINE // COARSE
_SHIPPED = "data/codebook.npz"
_UNIT = 127
_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)  # not a Struct: arrays stay out of its repr
class Codebook:
    """Cells of one embedding: immutable, and without any text.

    Attributes:
        name: Name of the embedding it was made for.
        mean: Subtracted from a vector first; shape (dimensions,).
        coarse: Unit centres; shape (256, dimensions).
        fine: Unit centres, those of one coarse cell together; shape (256, 16, dimensions).
        axes: The 32 directions that distinguish prompts best, orthonormal, rotated by the key if
            there is one; shape (32, dimensions). Zero rows if there are fewer directions.
        coarse_numbers: Bucket number of each coarse cell.
        fine_numbers: Bucket number of each fine cell; shape (256, 16).
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
    _coarse_and_axes: NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Coarse centres and axes in one matrix: one product serves both.
        object.__setattr__(self, "_coarse_and_axes", np.concatenate((self.coarse, self.axes)))

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
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
        """Make a codebook for an embedding, from vectors of prompts like those it will see.

        The same input gives the same cells on one machine. 100,000 vectors of 128 numbers take
        about half a minute.

        Args:
            vectors: One unit vector per prompt; shape (prompts, dimensions). At least 8,192, better
                100,000, from as many kinds of prompts as possible.
            name: `Embedder.name` of the embedder that made them.
            seed: Seed of the random start.
            weights: How much each prompt counts; equal by default.

        Raises:
            SetupError: There are too few different vectors for 4,096 cells.
        """
        tree = training.fit_tree(vectors, weights, COARSE, _CHILDREN, POINT, seed)
        return cls(name, tree.mean, tree.coarse, tree.fine, tree.axes)

    @classmethod
    def load(cls, path: str | PathLike[str] | None = None) -> Self:
        """Read a codebook; without a path the shipped one, for the static embedder.

        Raises:
            SetupError: There is no such file, or it is not a codebook of this version.
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
        """Write the codebook, its centres as signed bytes.

        Raises:
            SetupError: The codebook is keyed. Keyed cells are made where they are used and never
                stored.
        """
        if not np.array_equal(self.coarse_numbers, np.arange(COARSE)):
            raise SetupError("a keyed codebook cannot be saved: save the one it was made from")
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
        """Return the cells of one deployment, which cannot be computed without its key.

        Rotating all vectors by a secret would change no cell. So the centres are moved, by a share
        of the distance to their neighbours, the cells are renumbered, and points are rotated.
        Statistics stay the same; which prompts share a cell changes for about a third of them.

        Args:
            key: The secret; it gives the same cells in every process and on every machine.
        """
        rotation = _rotation(key, POINT)
        fine_numbers = _permutation(key, b"fine numbers", FINE)
        return replace(
            self,
            coarse=_moved(self.coarse, key, b"coarse centres"),
            fine=_moved(self.fine, key, b"fine centres"),
            axes=(rotation @ self.axes.astype(np.float64)).astype(np.float32),
            coarse_numbers=_permutation(key, b"coarse numbers", COARSE),
            fine_numbers=fine_numbers.reshape(COARSE, _CHILDREN),
        )

    def cell(self, vector: NDArray[np.float32]) -> tuple[int, int, bytes]:
        """Return a vector's fine cell, coarse cell, and point as 32 signed bytes.

        A vector of zeros has no cell: (-1, -1, b"").
        """
        if not vector.dot(vector):
            return -1, -1, b""
        centred = vector - self.mean
        scores = self._coarse_and_axes @ centred
        coarse = scores[:COARSE].argmax()
        fine = (self.fine[coarse] @ centred).argmax()
        point = scores[COARSE:] * (_UNIT / (math.sqrt(centred.dot(centred)) or 1.0))
        return (
            int(self.fine_numbers[coarse, fine]),
            int(self.coarse_numbers[coarse]),
            np.rint(point, out=point).astype(np.int8).tobytes(),
        )

    def cells(
        self, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
        """Do what `cell` does for many vectors.

        Args:
            vectors: Shape (prompts, dimensions).

        Returns:
            Fine cells, coarse cells (-1 for vectors of zeros), and points of shape (prompts, 32).
        """
        if len(vectors) <= _CHUNK:
            return self._cells(vectors)
        fine = np.empty(len(vectors), np.int32)
        coarse = np.empty(len(vectors), np.int32)
        points = np.empty((len(vectors), POINT), np.int8)
        for start in range(0, len(vectors), _CHUNK):
            part = slice(start, start + _CHUNK)
            fine[part], coarse[part], points[part] = self._cells(vectors[part])
        return fine, coarse, points

    def _cells(
        self, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
        centred = vectors - self.mean
        scores = products(self._coarse_and_axes, centred)
        coarse = scores[:, :COARSE].argmax(axis=1)
        nearby: NDArray[np.float32] = np.take(self.fine, coarse, axis=0)
        children: NDArray[np.float32] = np.matmul(nearby, centred[:, :, None])
        fine = children[:, :, 0].argmax(axis=1)
        lengths = np.sqrt(np.einsum("nd,nd->n", centred, centred))
        lengths[lengths == 0] = 1
        points = np.rint(scores[:, COARSE:] * (_UNIT / lengths)[:, None]).astype(np.int8)
        fine_numbers, coarse_numbers = self.fine_numbers[coarse, fine], self.coarse_numbers[coarse]
        some = vectors.any(axis=1)
        if not some.all():
            fine_numbers[~some] = coarse_numbers[~some] = -1
            points[~some] = 0
        return fine_numbers, coarse_numbers, points

    @classmethod
    def _read(cls, file: IO[bytes], path: str) -> Self:
        try:
            with np.load(file, allow_pickle=False) as data:
                version = int(data["version"])
                if version != VERSION:
                    raise SetupError(
                        f"expected a codebook of version {VERSION}, found version {version} in"
                        f" {path}: make it again with this version of querybudget"
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
                f"expected a codebook as `Codebook.save` writes it, found something else in {path}"
            ) from error


def products(matrix: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the product of a matrix with each of some vectors; shape (vectors, rows).

    As one product of two matrices it would take several threads of BLAS, which wait for each other
    by spinning: on a machine whose cores are busy, a hundred times as long.
    """
    found: NDArray[np.float32] = np.matmul(matrix, vectors[:, :, None])[:, :, 0]
    return found


def _pack(centres: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scale = np.abs(centres).max(axis=-1) / _UNIT
    return np.rint(centres / scale[..., None]).astype(np.int8), scale.astype(np.float32)


def _unpack(packed: NDArray[np.int8], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    centres = packed.astype(np.float32) * scale[..., None]
    lengths = np.sqrt(np.einsum("...d,...d->...", centres, centres))
    return np.asarray(centres / lengths[..., None], np.float32)


def _moved(centres: NDArray[np.float32], key: bytes, use: bytes) -> NDArray[np.float32]:
    """Return centres each moved in a secret direction; the last two axes are siblings and numbers.

    They are not scaled back to unit length: a move adds zero on average to a centre's product with
    a vector, so no cell is favoured.
    """
    cosines = centres @ np.swapaxes(centres, -1, -2)
    siblings = centres.shape[-2]
    cosines[..., range(siblings), range(siblings)] = -1
    gaps = np.sqrt(np.maximum(2 - 2 * cosines.max(axis=-1), 0))
    noise = _uniform(key, use, centres.size).reshape(centres.shape)
    spread = SHIFT * np.sqrt(3)  # the mean square of a uniform number from -1 to 1 is a third
    return np.asarray(centres + gaps[..., None] * (spread * noise), np.float32)


def _permutation(key: bytes, use: bytes, count: int) -> NDArray[np.int32]:
    """Return the numbers below `count` in a secret order."""
    drawn = np.frombuffer(_stream(key, use, 8 * count), "<u8")
    return np.argsort(drawn, kind="stable").astype(np.int32)


def _rotation(key: bytes, size: int) -> NDArray[np.float64]:
    """Return a secret orthogonal matrix, the product of `size` Householder reflections."""
    mirrors = _uniform(key, b"rotation", size * size).reshape(size, size)
    matrix = np.eye(size)
    for mirror in mirrors / np.sqrt((mirrors**2).sum(axis=1, keepdims=True)):
        matrix -= 2 * np.outer(mirror, mirror @ matrix)
    return matrix


def _uniform(key: bytes, use: bytes, count: int) -> NDArray[np.float64]:
    drawn = np.frombuffer(_stream(key, use, 2 * count), "<i2")
    return (drawn + 0.5) / 32768


def _stream(key: bytes, use: bytes, size: int) -> bytes:
    domain = b"querybudget codebook: " + use
    prefix = len(key).to_bytes(8, "big") + key + len(domain).to_bytes(8, "big") + domain
    return shake_256(prefix).digest(size)
