"""A group is judged by how many of its members are suspect, whatever its size."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.calibration import Calibration
from querybudget.coverage.group import FEWEST, LIFETIME, POOL_LOOKS, Group, GroupChange
from querybudget.coverage.response import SUSPECT_SCORE

NOW = 1_700_000_000_000_000
DAY = 24 * 3_600 * 1_000_000
TAILS = 3

changes = st.builds(
    GroupChange,
    st.booleans(),
    st.integers(0, len(POOL_LOOKS) - 1),
    st.integers(0, TAILS),
    st.just(-1),
    st.integers(0, 63),
)


def pool(members: int, suspect: int, look: int = 3) -> Group:
    group = Group()
    for number in range(members):
        group.add(GroupChange(first=True, look=look, tail=TAILS * (number < suspect)), NOW)
    return group


@pytest.mark.parametrize("members", [2, 5, 10, 20, 40, 80, 200, 1_000])
def test_an_honest_group_of_any_size_is_left_alone(members: int) -> None:
    draw = random.Random(members)
    for _ in range(min(20, 4_000 // members)):
        group = Group()
        for _ in range(members):
            chance = draw.random()
            tail = (chance < 0.1) + (chance < 0.03) + (chance < 0.01)
            for look in range(len(POOL_LOOKS)):
                group.add(GroupChange(first=look == 0, look=look, tail=tail), NOW)
        assert group.score(NOW) < SUSPECT_SCORE


@pytest.mark.parametrize("members", [20, 134, 1_000])
def test_a_group_of_which_most_are_suspect_is_suspect(members: int) -> None:
    assert pool(members, members * 7 // 10).score(NOW) >= SUSPECT_SCORE


def test_a_few_suspects_among_many_do_not_make_a_group_suspect() -> None:
    assert pool(200, 20).score(NOW) < SUSPECT_SCORE


def test_members_in_the_finest_tails_do_not_make_the_others_suspect() -> None:
    """Two in ten are far up: most likely users of one application among those of others."""
    group = Group()
    for number in range(100):
        group.add(GroupChange(first=True, look=3, tail=4 * (number < 20)), NOW)
    assert group.score(NOW) < SUSPECT_SCORE


@pytest.mark.parametrize(("others", "suspect"), [(0, True), (10, True), (60, False)])
def test_those_who_ask_most_say_nothing_of_members_who_have_not_come_as_far(
    others: int, *, suspect: bool
) -> None:
    group, later = pool(others, 0), len(POOL_LOOKS) + 1
    for _ in range(30):
        group.add(GroupChange(first=True, look=later, tail=2), NOW)
    assert (group.score(NOW) >= SUSPECT_SCORE) == suspect


def test_fewer_members_than_five_prove_nothing() -> None:
    assert pool(FEWEST - 1, FEWEST - 1).score(NOW) == 0


@given(st.lists(changes, max_size=5))
def test_the_order_of_members_does_not_matter(found: list[GroupChange]) -> None:
    results = []
    for order in list(permutations(found))[:6]:
        group = Group()
        for change in order:
            group.add(change, NOW)
        results.append((group.members, group.looks, group.peaks))
    assert all(result == results[0] for result in results)


def test_a_score_falls_with_time() -> None:
    group = Group(last_score=700_000, scored_at=NOW)
    assert group.score(NOW + 3 * DAY) == 400_000


def test_counts_are_halved_after_a_lifetime() -> None:
    group = pool(40, 20)
    group.add(GroupChange(first=True), NOW + LIFETIME + 1)
    assert group.members == 21
    assert max(group.looks) == 20


def test_scores_move_by_what_established_callers_reach() -> None:
    group = Group()
    for number in range(400):
        group.add(GroupChange(first=True, new_peak=28 if number < 8 else 4), NOW)
    strict = Calibration("all", disturb=5_000)
    assert group.shift(strict) == SUSPECT_SCORE - 29 * 25_000
    lax = Calibration("all", disturb=50_000)
    assert group.shift(lax) == SUSPECT_SCORE - lax.floor


def test_a_group_without_established_callers_moves_nothing() -> None:
    assert pool(50, 10).shift(Calibration("all", callers=1)) == 0
