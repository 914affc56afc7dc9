"""Spherical k-means in two levels: how a codebook's centres are found. Only numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from querybudget.errors import SetupError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Tree", "tree"]

_ROUNDS = 20
_CHUNK = 8192
_SAMPLE = 4096
_SHARPNESS = 15.0
"""Of the density: prompts at a cosine of 0.9 count a fifth of those at 1."""

_RESTLESS = 0.001
"""Rounds end early once fewer than this share of the vectors change their cell."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Centres at two levels, as `Codebook` keeps them."""

    mean: NDArray[np.float32]
    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    axes: NDArray[np.float32]


def tree(
    vectors: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
    cells: int,
    children: int,
    axes: int,
    seed: int,
) -> Tree:
    """Find `cells` coarse centres, `children` fine ones in each, and the leading directions.

    Raises:
        SetupError: There are fewer different vectors than twice the fine cells.
    """
    kept = vectors.any(axis=1)
    vectors = np.asarray(vectors[kept], np.float32)
    shares = np.ones(len(vectors)) if weights is None else np.asarray(weights, np.float64)[kept]
    _enough(vectors, 2 * cells * children)
    shares /= shares.sum()
    mean = (shares @ vectors).astype(np.float32)
    units = _unit(vectors - mean)
    random = np.random.Generator(np.random.PCG64(seed))
    leading = _axes(units, shares, axes)
    shares = _evened(units, shares, random)
    coarse = _centres(units, shares, cells, random)
    lies_in = _nearest(units, coarse)
    fine = np.stack(
        [
            _fine(units, shares, lies_in == cell, coarse[cell], children, random)
            for cell in range(cells)
        ]
    )
    return Tree(mean, coarse, fine, leading)


def _enough(vectors: NDArray[np.float32], least: int) -> None:
    different = len(np.unique(vectors, axis=0))
    if different < least:
        raise SetupError(
            f"expected the vectors of {least:,} different prompts at least to make a codebook of,"
            f" found {different:,}"
        )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return np.asarray(vectors / np.maximum(lengths, 1e-12)[:, None], np.float32)


def _evened(
    units: NDArray[np.float32], shares: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Shares divided by how crowded it is around each vector.

    Without this, cells lie thickest where most is asked, so that an honest caller who keeps to what
    many ask visits many, and one who sweeps over all there is visits few. How crowded it is: the
    mean of exp(k cos) over a sample (a von Mises-Fisher density).
    """
    sample = units[random.choice(len(units), _SAMPLE, p=shares)]
    crowded = np.concatenate(
        [
            np.exp(_SHARPNESS * (units[i : i + _CHUNK] @ sample.T - 1)).mean(axis=1)
            for i in range(0, len(units), _CHUNK)
        ]
    )
    evened = shares / crowded
    return np.asarray(evened / evened.sum(), np.float64)


def _nearest(units: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    parts = range(0, len(units), _CHUNK)
    return np.concatenate([(units[i : i + _CHUNK] @ centres.T).argmax(axis=1) for i in parts])


def _centres(
    units: NDArray[np.float32], shares: NDArray[np.float64], count: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Lloyd's rounds on the sphere, from a start spread as k-means++ (Arthur, Vassilvitskii)."""
    centres = _spread(units, shares, count, random)
    before = np.full(len(units), -1)
    for _ in range(_ROUNDS):
        lies_in = _nearest(units, centres)
        if (lies_in != before).mean() <= _RESTLESS:
            break
        before = lies_in
        sums = _sums(units, shares, lies_in, count)
        empty = ~sums.any(axis=1)
        sums[empty] = units[random.choice(len(units), int(empty.sum()), p=shares)]
        centres = _unit(sums)
    return centres


def _spread(
    units: NDArray[np.float32], shares: NDArray[np.float64], count: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """First centres, each drawn the likelier the further it is from those before it."""
    drawn = [int(random.choice(len(units), p=shares))]
    far = np.maximum(1 - units @ units[drawn[0]], 0)
    for _ in range(count - 1):
        odds = far * shares
        total = odds.sum()
        odds = odds / total if total > 0 else shares
        drawn.append(int(random.choice(len(units), p=odds)))
        far = np.minimum(far, np.maximum(1 - units @ units[drawn[-1]], 0))
    return units[drawn]


def _sums(
    units: NDArray[np.float32], shares: NDArray[np.float64], lies_in: NDArray[np.intp], count: int
) -> NDArray[np.float32]:
    sums = np.zeros((count, units.shape[1]), np.float32)
    order = np.argsort(lies_in, kind="stable")
    cells, starts = np.unique(lies_in[order], return_index=True)
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
    """Centres in one coarse cell. One with too few vectors to split gets centres around its own."""
    units, shares = units[inside], shares[inside]
    if len(np.unique(units, axis=0)) < count:
        around = random.standard_normal((count, len(centre)))
        units = np.concatenate((units, _unit((centre + 0.1 * around).astype(np.float32))))
        shares = np.concatenate((shares, np.full(count, 1e-9)))
    return _centres(units, shares / shares.sum(), count, random)


def _axes(
    units: NDArray[np.float32], shares: NDArray[np.float64], count: int
) -> NDArray[np.float32]:
    """Leading principal directions, rows; zero rows where there are fewer dimensions."""
    _, directions = np.linalg.eigh(units.T @ (units * shares[:, None]))
    found = directions[:, ::-1][:, :count].T
    # A direction's sign is the solver's whim: make its largest number positive.
    found = found * np.sign(found[np.arange(len(found)), np.abs(found).argmax(axis=1)])[:, None]
    axes = np.zeros((count, units.shape[1]), np.float32)
    axes[: len(found)] = found
    return axes
