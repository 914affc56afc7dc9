"""Of a packed call, what shows most of a sweep is judged; of any other call, everything."""

from __future__ import annotations

from querybudget.coverage.evidence import weights_of_shown
from querybudget.coverage.most_suspect import are_tasks, judged
from querybudget.coverage.observation import Chunk
from querybudget.coverage.stream import SHOWN
from querybudget.coverage.style import STYLE_FEATURES

WEIGHTS = dict(zip(SHOWN, weights_of_shown(), strict=True))
MOST = max(STYLE_FEATURES, key=WEIGHTS.__getitem__)
LEAST = min(STYLE_FEATURES, key=WEIGHTS.__getitem__)


def chunk(axis: int, *, suspect: bool = False, ordinary: bool = False) -> Chunk:
    point = bytearray(32)
    point[axis] = 127
    told = {MOST: 100 * suspect, LEAST: 100 * ordinary}
    style = tuple(told.get(name, 0) for name in STYLE_FEATURES)
    return Chunk(axis, axis, 0, bytes(point), b"", style)


def test_the_most_suspect_of_a_packed_call_is_judged() -> None:
    chunks = [chunk(0), chunk(1), chunk(2, suspect=True), chunk(3)]
    assert judged(chunks, [0, 1, 2, 3]) == [False, False, True, False]


def test_of_as_many_that_are_suspect_all_are_judged() -> None:
    chunks = [chunk(n, suspect=bool(n % 2)) for n in range(8)]
    assert judged(chunks, range(8)) == [bool(n % 2) for n in range(8)]


def test_sections_that_are_about_the_same_are_judged_as_a_whole() -> None:
    chunks = [chunk(0), chunk(0, suspect=True), chunk(0), chunk(0)]
    assert all(judged(chunks, [0, 1, 2, 3]))


def test_a_call_of_one_item_is_judged_as_a_whole() -> None:
    chunks = [chunk(0), chunk(1, suspect=True), chunk(2), chunk(3)]
    assert all(judged(chunks, ()))
    assert all(judged(chunks, [7, 7, 7, 7]))
    assert judged([], ()) == []


def test_a_list_is_of_tasks_if_most_of_it_shows_a_sweep() -> None:
    suspect, ordinary = chunk(0, suspect=True), chunk(1, ordinary=True)
    assert are_tasks([suspect, suspect, ordinary])
    assert not are_tasks([suspect, ordinary])
    assert not are_tasks([ordinary])
