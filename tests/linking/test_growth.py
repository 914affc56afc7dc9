"""How linking grows: with the accounts, not with their pairs. Steps are counted, never seconds."""

from __future__ import annotations

import sys
from types import FrameType

from tests.linking.made import World

RARE = 999_999


def steps(count: int) -> int:
    """Function calls that it takes to link so many accounts, a fifth of them a campaign."""
    world = World(established=2 * count // 5, newcomers=2 * count // 5)
    bins = world.bins()
    for number in range(count // 5):
        world.sweeper(template=RARE, bins=bins if number % 2 else None, slowed=number % 3)
    taken = 0

    def count_call(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal taken
        taken += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        world.links(largest=10_000)
    finally:
        sys.setprofile(before)
    return taken


def test_the_work_of_linking_grows_with_the_accounts_and_not_with_their_pairs() -> None:
    small, large = steps(300), steps(1_200)
    assert large <= 5 * small  # pairs would be sixteen times as many
