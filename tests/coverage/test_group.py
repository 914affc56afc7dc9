"""What a pool of callers knows."""

from __future__ import annotations

import pytest

from querybudget.coverage.group import Group, GroupChange


@pytest.mark.parametrize(
    "change",
    [GroupChange(first=True), GroupChange(look=0), GroupChange(old_peak=-1, new_peak=3)],
)
def test_a_group_knows_of_members_whose_first_call_was_elsewhere(change: GroupChange) -> None:
    group = Group()
    assert group.blank
    group.add(change, 1)
    assert not group.blank
