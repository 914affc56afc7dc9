"""A map of a codebook: a square of 64 by 64 places, one for each of its cells.

Coarse cells are laid out by t-SNE (van der Maaten and Hinton, JMLR 9, 2008), so that those with
like prompts are neighbours, and then sorted into the columns and rows of a square of 16 by 16
blocks. The 16 fine cells of each stand in its block, sorted likewise. The places follow from the
codebook alone: every report of a deployment has the same map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from querybudget.coverage.observation import FINE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from querybudget.embedding.codebook import Codebook

NEIGHBOURS = 12.0
"""Perplexity: how many neighbours each coarse cell is to keep."""

STEPS, EARLY = 150, 50
"""Steps of the descent, and those of them in which attraction is exaggerated."""

EXAGGERATION = 8.0
RATE = 60.0
BLOCKS, BLOCK = 16, 4
"""Blocks of each side of the map, and places of each side of a block."""

SIDE = BLOCKS * BLOCK
"""Places of each side of the map."""


def layout(codebook: Codebook) -> NDArray[np.int64]:
    """Return column and row of each fine cell, by its number; shape (4096, 2)."""
    blocks = _in_square(_plane(codebook.coarse.astype(np.float64)), BLOCKS)
    places = np.empty((FINE, 2), dtype=np.int64)
    for number, children in enumerate(codebook.fine.astype(np.float64)):
        within = _in_square(_principal(children), BLOCK)
        places[codebook.fine_numbers[number]] = blocks[number] * BLOCK + within
    return places


def _in_square(points: NDArray[np.float64], side: int) -> NDArray[np.int64]:
    """Give each point a place of its own in a square: first its column, then its row in it."""
    places = np.empty((len(points), 2), dtype=np.int64)
    for column, members in enumerate(np.split(np.argsort(points[:, 0], kind="stable"), side)):
        order = members[np.argsort(points[members, 1], kind="stable")]
        places[order, 0] = column
        places[order, 1] = np.arange(side)
    return places


def _plane(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay unit vectors out by t-SNE, from their principal directions."""
    near = _affinities(_distances(vectors))
    places = _principal(vectors)
    places *= 1e-2 / places.std()
    speed = np.zeros_like(places)
    for step in range(STEPS):
        early = step < EARLY
        weights = 1 / (1 + _distances(places))
        np.fill_diagonal(weights, 0)
        pull = (near * (EXAGGERATION if early else 1) - weights / weights.sum()) * weights
        slope = 4 * (pull.sum(axis=1)[:, None] * places - pull @ places)
        speed = (0.5 if early else 0.8) * speed - RATE * slope
        places = places + speed
    result: NDArray[np.float64] = places - places.mean(axis=0)
    return result


def _affinities(squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how near each pair is, with a width for each row that gives `NEIGHBOURS`."""
    count = len(squared)
    sharpness = np.ones(count)
    low, high = np.zeros(count), np.full(count, np.inf)
    shares = np.zeros_like(squared)
    for _ in range(60):
        shares = np.exp(-squared * sharpness[:, None])
        np.fill_diagonal(shares, 0)
        shares /= shares.sum(axis=1, keepdims=True)
        entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1)
        wide = entropy > np.log(NEIGHBOURS)
        low, high = np.where(wide, sharpness, low), np.where(wide, high, sharpness)
        sharpness = np.where(np.isinf(high), sharpness * 2, (low + high) / 2)
    result: NDArray[np.float64] = (shares + shares.T) / (2 * count)
    return result


def _distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance of each pair."""
    squares = (points**2).sum(axis=1)
    result: NDArray[np.float64] = np.maximum(
        squares[:, None] + squares[None, :] - 2 * points @ points.T, 0
    )
    return result


def _principal(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates along the two directions in which vectors differ most."""
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(directions[:2, np.abs(directions[:2]).argmax(axis=1)].diagonal())
    result: NDArray[np.float64] = centred @ (directions[:2] * signs[:, None]).T
    return result
