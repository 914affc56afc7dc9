from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import numpy as np

from querybudget.console.walk import SHADES, SIDE, walk
from querybudget.coverage.observation import COARSE, FINE
from querybudget.embedding.codebook import Codebook
from querybudget.testing import FakeAnalyzer


@lru_cache
def codebook() -> Codebook:
    return Codebook.load().keyed(b"a key of this deployment")


class Analyzer:
    """Only has a codebook."""

    names = ()
    codebook = codebook()


ANALYZER: Any = Analyzer()


def bitmap_of(numbers: set[int]) -> bytes:
    bits = bytearray(FINE // 16)
    for number in numbers:
        bits[number // 2 >> 3] |= 1 << (number // 2 & 7)
    return bytes(bits)


def entered(coarse: set[int], share: float, seed: int = 1) -> bytes:
    """The bitmap of a caller who enters a share of the fine cells of some coarse ones."""
    drawn = random.Random(seed)
    numbers = codebook().fine_numbers
    return bitmap_of(
        {int(number) for one in coarse for number in numbers[one] if drawn.random() < share}
    )


def test_a_narrow_caller_has_a_narrow_map() -> None:
    # Each pair may lie in another coarse cell too: the map must not show all of these.
    coarse = set(range(0, 40, 4))
    found = walk(entered(coarse, 0.8), ANALYZER)
    assert found
    assert len(coarse) <= len(found.cells) <= 1.3 * len(coarse)
    assert sum(cell.entered for cell in found.cells) > 0.9 * found.pairs


def test_a_sweep_covers_the_map() -> None:
    found = walk(entered(set(range(COARSE)), 0.3), ANALYZER)
    assert found
    assert len(found.cells) > 0.8 * SIDE * SIDE


def test_every_cell_has_a_place_of_its_own() -> None:
    found = walk(bytes([255]) * (FINE // 16), ANALYZER)
    assert found
    assert len({(cell.column, cell.row) for cell in found.cells}) == len(found.cells) == COARSE
    assert all(0 <= cell.column < SIDE and 0 <= cell.row < SIDE for cell in found.cells)
    assert {cell.shade for cell in found.cells} <= set(range(1, SHADES + 1))


def test_cells_that_are_alike_are_near_each_other() -> None:
    coarse = codebook().coarse
    where = dict[int, tuple[int, int]]()
    for one in range(COARSE):
        found = walk(entered({one}, 1.1), ANALYZER)
        assert found
        best = max(found.cells, key=lambda cell: cell.entered)
        where[one] = best.column, best.row

    def apart(one: int, other: int) -> float:
        (column, row), (another, below) = where[one], where[other]
        return abs(column - another) + abs(row - below)

    alike = coarse @ coarse.T
    np.fill_diagonal(alike, -np.inf)
    nearest = [apart(one, int(alike[one].argmax())) for one in range(COARSE)]
    drawn = random.Random(1)
    others = [apart(one, drawn.randrange(COARSE)) for one in range(COARSE)]
    assert sum(nearest) < 0.6 * sum(others)


def test_there_is_no_map_of_nothing() -> None:
    assert walk(b"", ANALYZER) is None
    assert walk(bytes(FINE // 16), ANALYZER) is None
    assert walk(b"\xff" * 3, ANALYZER) is None
    assert walk(b"\xff" * (FINE // 16), None) is None
    assert walk(b"\xff" * (FINE // 16), FakeAnalyzer()) is None
