"""Spherical k-means at two levels, for `Codebook.fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from querybudget.errors import SetupError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 20
_CHUNK = 8192
_SAMPLE = 4096
_SHARPNESS = 15.0
"""Sharpness of the density: prompts at a cosine of 0.9 count a fifth of those at 1."""

_CONVERGED = 0.001
"""Rounds end early once at most this share of the vectors changes cell."""


class Tree(msgspec.Struct, frozen=True, eq=False):
    """Centres at two levels, with the shapes of `Codebook`."""

    mean: NDArray[np.float32]
    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    axes: NDArray[np.float32]


def fit_tree(
    vectors: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
    cells: int,
    children: int,
    axes: int,
    seed: int,
) -> Tree:
    """Fit `cells` coarse centres, `children` fine ones in each, and the leading directions.

    Raises:
        SetupError: There are fewer different vectors than twice the fine cells.
    """
    kept = vectors.any(axis=1)
    vectors = np.asarray(vectors[kept], np.float32)
    shares = np.ones(len(vectors)) if weights is None else np.asarray(weights, np.float64)[kept]
    _check_count(vectors, 2 * cells * children)
    shares /= shares.sum()
    mean = (shares @ vectors).astype(np.float32)
    units = _unit(vectors - mean)
    random = np.random.Generator(np.random.PCG64(seed))
    leading = _axes(units, shares, axes)
    shares = _flattened(units, shares, random)
    coarse = _centres(units, shares, cells, random)
    cell_of = _nearest(units, coarse)
    fine = np.stack(
        [
            _fine(units, shares, cell_of == cell, coarse[cell], children, random)
            for cell in range(cells)
        ]
    )
    return Tree(mean, coarse, fine, leading)


def _check_count(vectors: NDArray[np.float32], minimum: int) -> None:
    different = len(np.unique(vectors, axis=0))
    if different < minimum:
        raise SetupError(
            f"expected the vectors of {minimum:,} different prompts at least to make a codebook of,"
            f" found {different:,}"
        )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return np.asarray(vectors / np.maximum(lengths, 1e-12)[:, None], np.float32)


def _flattened(
    units: NDArray[np.float32], shares: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return shares divided by the density around each vector.

    Without this, cells are smallest where most prompts lie, so an honest caller with common prompts
    visits many and a sweep over everything visits few. The density is the mean of exp(k cos) over a
    sample (von Mises-Fisher).
    """
    sample = units[random.choice(len(units), _SAMPLE, p=shares)]
    density = np.concatenate(
        [
            np.exp(_SHARPNESS * (units[i : i + _CHUNK] @ sample.T - 1)).mean(axis=1)
            for i in range(0, len(units), _CHUNK)
        ]
    )
    flattened = shares / density
    return np.asarray(flattened / flattened.sum(), np.float64)


def _nearest(units: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    parts = range(0, len(units), _CHUNK)
    return np.concatenate([(units[i : i + _CHUNK] @ centres.T).argmax(axis=1) for i in parts])


def _centres(
    units: NDArray[np.float32], shares: NDArray[np.float64], count: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Run Lloyd's algorithm on the sphere from a k-means++ start (Arthur, Vassilvitskii)."""
    centres = _initial(units, shares, count, random)
    before = np.full(len(units), -1)
    for _ in range(_ROUNDS):
        cell_of = _nearest(units, centres)
        if (cell_of != before).mean() <= _CONVERGED:
            break
        before = cell_of
        sums = _sums(units, shares, cell_of, count)
        empty = ~sums.any(axis=1)
        sums[empty] = units[random.choice(len(units), int(empty.sum()), p=shares)]
        centres = _unit(sums)
    return centres


def _initial(
    units: NDArray[np.float32], shares: NDArray[np.float64], count: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Draw the first centres, each with odds by its distance from those before it (k-means++)."""
    drawn = [int(random.choice(len(units), p=shares))]
    distances = np.maximum(1 - units @ units[drawn[0]], 0)
    for _ in range(count - 1):
        odds = distances * shares
        total = odds.sum()
        odds = odds / total if total > 0 else shares
        drawn.append(int(random.choice(len(units), p=odds)))
        distances = np.minimum(distances, np.maximum(1 - units @ units[drawn[-1]], 0))
    return units[drawn]


def _sums(
    units: NDArray[np.float32], shares: NDArray[np.float64], cell_of: NDArray[np.intp], count: int
) -> NDArray[np.float32]:
    sums = np.zeros((count, units.shape[1]), np.float32)
    order = np.argsort(cell_of, kind="stable")
    cells, starts = np.unique(cell_of[order], return_index=True)
    sums[cells] = np.add.reduceat(units[order] * shares[order, None], starts, axis=0)
    return sums


def _fine(
    units: NDArray[np.float32],
    shares: NDArray[np.float64],
    inside: NDArray[np.bool_],
    centre: NDArray[np.float32],
    count: int,
    random: np.random.Generator,
) -> NDArray[np.float32]:
    """Return centres in one coarse cell; around its own centre if it has too few vectors."""
    units, shares = units[inside], shares[inside]
    if len(np.unique(units, axis=0)) < count:
        around = random.standard_normal((count, len(centre)))
        units = np.concatenate((units, _unit((centre + 0.1 * around).astype(np.float32))))
        shares = np.concatenate((shares, np.full(count, 1e-9)))
    return _centres(units, shares / shares.sum(), count, random)


def _axes(
    units: NDArray[np.float32], shares: NDArray[np.float64], count: int
) -> NDArray[np.float32]:
    """Return the leading principal directions as rows; zero rows beyond the dimensions."""
    _, directions = np.linalg.eigh(units.T @ (units * shares[:, None]))
    leading = directions[:, ::-1][:, :count].T
    # The sign of a direction is arbitrary: make its largest number positive.
    largest = leading[np.arange(len(leading)), np.abs(leading).argmax(axis=1)]
    axes = np.zeros((count, units.shape[1]), np.float32)
    axes[: len(leading)] = leading * np.sign(largest)[:, None]
    return axes
