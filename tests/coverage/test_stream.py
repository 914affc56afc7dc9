"""A call takes one step from what came before, or one for each task that is packed into it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.observation import GOES_ON, Chunk
from querybudget.coverage.stream import SUMS, Stream, begins
from tests.coverage.test_caller import chunk

FOLLOWED = SUMS.index("followed")
SIDES = 4
"""Directions of which none has anything in common with another."""


def towards(side: int, cell: int) -> Chunk:
    """A chunk about one of `SIDES` things."""
    point = bytearray(32)
    point[8 * side : 8 * side + 8] = [44] * 8
    return msgspec.structs.replace(chunk(cell), point=bytes(point))


def about(*sides: int) -> list[Chunk]:
    return [towards(side, cell) for cell, side in enumerate(sides)]


def steps(chunks: Sequence[Chunk], items: Sequence[int] = ()) -> int:
    """Steps of a call that comes after another."""
    stream = Stream()
    stream.observe([towards(3, 99)], [True])
    stream.observe(chunks, begins(chunks, items, stream.last_point))
    return stream.sums[FOLLOWED]


def test_each_packed_task_about_something_else_is_a_step() -> None:
    assert steps(about(0, 1, 2), [0, 1, 2]) == 3


def test_sections_of_one_task_are_one_step() -> None:
    assert steps(about(0, 0, 0), [0, 1, 2]) == 1


@pytest.mark.parametrize("items", [[], [0, 0, 0], [7, 7, 7]])
def test_the_chunks_of_one_item_are_one_step(items: list[int]) -> None:
    assert steps(about(0, 1, 2), items) == 1


def test_an_item_of_several_chunks_is_one_step() -> None:
    assert steps(about(0, 0, 1, 1, 2), [0, 0, 1, 1, 2]) == 3


def test_a_piece_of_the_task_before_it_is_no_step() -> None:
    assert steps(about(3), [GOES_ON]) == 0
    assert steps(about(3, 0, 1), [GOES_ON, 1, 2]) == 2


def test_a_piece_about_something_else_is_a_step() -> None:
    assert steps(about(0), [GOES_ON]) == 1


def test_a_piece_before_which_nothing_was_seen_is_taken_in() -> None:
    stream = Stream()
    stream.observe(about(0), begins(about(0), [GOES_ON]))
    assert (stream.chunks, stream.sums[FOLLOWED]) == (1, 0)


@given(st.lists(st.tuples(st.integers(0, SIDES - 1), st.integers(0, 3)), min_size=1, max_size=24))
def test_a_call_takes_at_least_one_step_and_at_most_one_for_each_item(
    drawn: list[tuple[int, int]],
) -> None:
    items = sorted(item for _, item in drawn)
    assert 1 <= steps(about(*(side for side, _ in drawn)), items) <= len(set(items))


@given(st.lists(st.integers(0, SIDES - 1), min_size=1, max_size=24))
def test_items_change_nothing_but_steps(sides: list[int]) -> None:
    whole, packed = Stream(), Stream()
    chunks = about(*sides)
    whole.observe(chunks, begins(chunks))
    packed.observe(chunks, begins(chunks, range(len(sides))))
    changed = {
        name for name, one, other in zip(SUMS, whole.sums, packed.sums, strict=True) if one != other
    }
    assert changed <= {"followed", "near"}
    assert (whole.last_point, whole.point_sum) == (packed.last_point, packed.point_sum)
