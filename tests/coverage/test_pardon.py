"""A pardon takes back what a caller, or a pool, is suspected of, and nothing else."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from querybudget.coverage import Stage
from querybudget.coverage.calibration import Calibration
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.testing.contracts.fixtures import seen
from querybudget.testing.contracts.profiles import swept

CALIBRATION = Calibration("everyone", callers=1, age=1, calls=1)
SWEEP = 40


def swept_by(profile: CallerProfile, group: Group, first: int = 0) -> None:
    for number in range(first, first + SWEEP):
        change = profile.observe(swept(number), number, CALIBRATION)
        if change is not None:
            group.add(change, number)


def test_a_pardoned_caller_keeps_calls_and_ground_but_no_evidence() -> None:
    profile = CallerProfile()
    swept_by(profile, Group())
    profile.stages["quota"] = Stage.SLOW
    cells, calls, templates = bytes(profile.cells), profile.calls, list(profile.templates)
    assert profile.score(SWEEP) > 0
    assert profile.pardon()
    assert (profile.score(SWEEP), profile.peak, profile.reasons, profile.stages) == (0, 0, (), {})
    assert (bytes(profile.cells), profile.calls, profile.templates) == (cells, calls, templates)
    assert profile.novelty(swept(1)) == 0
    assert not profile.pardon()


def test_a_new_caller_has_nothing_to_pardon() -> None:
    assert not CallerProfile().pardon()
    assert not Group().pardon()


def test_repeats_do_not_bring_the_score_back_and_a_new_sweep_does() -> None:
    profile = CallerProfile()
    swept_by(profile, Group())
    found = profile.score(SWEEP)
    profile.pardon()
    swept_by(profile, Group())
    assert profile.score(SWEEP) == 0
    swept_by(profile, Group(), SWEEP)
    assert 0 < profile.score(2 * SWEEP) <= 2 * found


@given(st.integers(0, 6), st.booleans())
@settings(max_examples=10)
def test_a_group_counts_a_pardoned_member_as_if_it_had_not_called_before(
    others: int, stored: bool
) -> None:
    """Of looks. It stays a member, counted for calibration as one without a score."""
    group, expected, profile = Group(), Group(), CallerProfile()
    for _ in range(others):
        swept_by(CallerProfile(), group)
        swept_by(CallerProfile(), expected)
    swept_by(profile, group)
    assert group.looks != expected.looks
    profile.pardon()
    if stored:
        profile = msgspec.msgpack.decode(msgspec.msgpack.encode(profile), type=CallerProfile)
    change = profile.observe(seen(), SWEEP, CALIBRATION)
    assert change is not None
    group.add(change, SWEEP)
    assert group.looks == expected.looks
    assert group.members == expected.members + 1
    assert sum(group.peaks) == others + 1
    assert profile.observe(seen(), SWEEP, CALIBRATION) is None, "groups are told once"
    swept_by(profile, group, SWEEP)
    assert group.looks[0] == expected.looks[0] + 1, "it counts again when it sweeps again"


def test_a_pardoned_pool_keeps_its_members() -> None:
    group = Group()
    for _ in range(8):
        swept_by(CallerProfile(), group)
    assert group.score(SWEEP) > 0
    peaks = list(group.peaks)
    assert group.pardon()
    assert (group.score(SWEEP), group.reasons, any(group.looks)) == (0, (), False)
    assert (group.members, group.peaks) == (8, peaks)
    assert not group.pardon()


def test_a_member_pardoned_after_its_pool_takes_nothing_from_others() -> None:
    group, profile = Group(), CallerProfile()
    swept_by(profile, group)
    group.pardon()
    profile.pardon()
    change = profile.observe(seen(), SWEEP)
    assert change is not None
    group.add(change, SWEEP)
    assert not any(group.looks)
