"""Where an account's calls have been: a map of the codebook's coarse cells.

A profile keeps pairs of fine cells, and a deployment's key decides which two make a pair. So one
that was entered may lie in either of two coarse cells. How many lie in each is estimated as the
proportions of a mixture are (expectation maximisation): a pair counts for the cell in which more
others are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from querybudget.coverage.observation import COARSE, FINE
from querybudget.limiter import PromptAnalyzer

if TYPE_CHECKING:
    from querybudget.embedding.codebook import Codebook

SIDE = 16
"""Cells in a row and in a column."""

SHADES = 6
"""How many steps of colour a cell can have."""

_ROUNDS = 12
_CHILDREN = FINE // COARSE
_PAIRS = FINE // 2


class Cell(msgspec.Struct, frozen=True):
    """One coarse cell on the map.

    Attributes:
        column: From 0, left.
        row: From 0, top.
        entered: Fine cells in it that were entered, as estimated.
        shade: From 1 for a few of them to `SHADES` for most.
    """

    column: int
    row: int
    entered: float
    shade: int


class Walk(msgspec.Struct, frozen=True):
    """The map of one account.

    Attributes:
        cells: The cells that were entered.
        pairs: Pairs of fine cells entered.
    """

    cells: tuple[Cell, ...]
    pairs: int


def walk(bitmap: bytes, analyzer: PromptAnalyzer | None) -> Walk | None:
    """Return the map of the cells in a profile's bitmap.

    Args:
        bitmap: `CallerProfile.cells`.
        analyzer: What found the cells.

    Returns:
        The map; None if nothing was entered, or the analyzer has no codebook.
    """
    codebook: Codebook | None = getattr(analyzer, "codebook", None)
    if codebook is None or len(bitmap) * 8 != _PAIRS or not any(bitmap):
        return None
    plan = _plan(codebook)
    pairs = [plan.pairs[pair] for pair in range(_PAIRS) if bitmap[pair >> 3] >> (pair & 7) & 1]
    cells = list[Cell]()
    for coarse, entered in enumerate(_estimated(pairs)):
        if entered >= 0.5:  # noqa: PLR2004 - more likely than not
            shade = min(SHADES, 1 + int(entered * SHADES / _CHILDREN * 2))
            cells.append(Cell(*plan.places[coarse], entered, shade))
    return Walk(tuple(cells), len(pairs))


def _estimated(pairs: Sequence[tuple[int, int]]) -> list[float]:
    weights = [1.0] * COARSE
    for _ in range(_ROUNDS):
        found = [1e-9] * COARSE
        for one, other in pairs:
            share = weights[one] / (weights[one] + weights[other])
            found[one] += share
            found[other] += 1 - share
        weights = found
    return weights


class _Plan(msgspec.Struct, frozen=True):
    """The coarse cells of each pair, and where each coarse cell is drawn."""

    pairs: tuple[tuple[int, int], ...]
    places: tuple[tuple[int, int], ...]


@lru_cache(maxsize=4)
def _plan(codebook: Codebook) -> _Plan:
    home = [0] * FINE
    for coarse, numbers in enumerate(codebook.fine_numbers.tolist()):
        for number in numbers:
            home[number] = coarse
    pairs = tuple((home[2 * pair], home[2 * pair + 1]) for pair in range(_PAIRS))
    return _Plan(pairs, _places(codebook))


def _places(codebook: Codebook) -> tuple[tuple[int, int], ...]:
    """Put cells that are alike near each other: columns by the main axis, rows by the second."""
    import numpy as np  # noqa: PLC0415 - only policies with buckets need it

    centred = codebook.coarse - codebook.coarse.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    across, down = (centred @ axes.T).T
    places = [(0, 0)] * COARSE
    by_column = np.argsort(across, kind="stable").reshape(SIDE, SIDE)
    for column, members in enumerate(by_column):
        for row, member in enumerate(members[np.argsort(down[members], kind="stable")]):
            places[int(member)] = column, row
    return tuple(places)
