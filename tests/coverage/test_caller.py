"""What a caller's profile promises: new ground counts, and nothing else does."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querybudget.coverage.calibration import Calibration
from querybudget.coverage.caller import NEWEST, CallerProfile
from querybudget.coverage.evidence import newer, weights_of_shown
from querybudget.coverage.group import (
    ALL_TAILS,
    LATER_LOOKS,
    LIFETIME,
    POOL_LOOKS,
    Group,
    GroupChange,
)
from querybudget.coverage.observation import Chunk, Observation
from querybudget.coverage.response import Stage
from querybudget.coverage.stream import SHOWN, SUMS, Newest, Stream, begins
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS

NOW = 1_700_000_000_000_000
DAY = 24 * 3_600 * 1_000_000


def chunk(cell: int, seed: int = 0) -> Chunk:
    draw = random.Random(cell * 1_000 + seed)
    return Chunk(
        digest=draw.randrange(1, 2**32),
        cell=cell,
        coarse=cell // 16,
        point=bytes(draw.randrange(256) for _ in range(32)),
        words=draw.randbytes(WORD_BITS // 8),
        style=tuple(draw.randrange(100) for _ in STYLE_FEATURES),
        leaning=(draw.randrange(-100, 100), draw.randrange(-100, 100)),
        abilities=draw.randrange(4096),
    )


def asks(*cells: int, template: int = 0) -> Observation:
    return Observation(said=tuple(chunk(cell) for cell in cells), template=template)


def calls(cells: Sequence[int]) -> Iterator[Observation]:
    for cell in cells:
        yield asks(cell)


cells = st.lists(st.integers(0, 4095), max_size=60)


@given(cells, cells)
def test_a_repeat_is_no_novelty(before: list[int], call: list[int]) -> None:
    profile = CallerProfile()
    profile.observe(asks(*before), NOW)
    profile.observe(asks(*call), NOW)
    assert profile.novelty(asks(*call)) == 0
    assert profile.novelty(asks(*before)) == 0


@given(cells, cells)
def test_novelty_counts_each_pair_of_cells_once(before: list[int], call: list[int]) -> None:
    profile = CallerProfile()
    profile.observe(asks(*before), NOW)
    known = {cell // 2 for cell in before}
    assert profile.novelty(asks(*call)) == len({cell // 2 for cell in call} - known)


@given(cells)
def test_asking_for_novelty_changes_nothing(call: list[int]) -> None:
    profile = CallerProfile()
    profile.observe(asks(1, 2, 3), NOW)
    before = msgspec.msgpack.encode(profile)
    profile.novelty(asks(*call))
    assert msgspec.msgpack.encode(profile) == before


def test_repeats_and_known_ground_do_not_thin_out_the_evidence() -> None:
    plain, padded = CallerProfile(), CallerProfile()
    for number, call in enumerate(calls(range(0, 400, 2))):
        plain.observe(call, NOW + number)
        padded.observe(call, NOW + number)
        for known in range(0, 2 * number, 40):
            padded.observe(asks(known), NOW + number)
    assert padded.said == plain.said
    assert padded.last_score == plain.last_score


def test_what_cannot_be_read_is_new_ground_once() -> None:
    profile = CallerProfile()
    call = Observation(opaque=(11, 12, 11))
    assert profile.novelty(call) == 2
    profile.observe(call, NOW)
    assert profile.novelty(call) == 0


def test_what_is_fed_does_not_dilute_what_is_said() -> None:
    alone, fed = CallerProfile(), CallerProfile()
    for number in range(100):
        alone.observe(asks(number * 4), NOW)
        call = Observation(said=(chunk(number * 4),), fed=(chunk(number * 4 + 2),))
        fed.observe(call, NOW)
    assert fed.said == alone.said


def test_the_first_two_system_prompts_are_judged_alone_and_all_others_together() -> None:
    profile = CallerProfile()
    for number in range(60):
        profile.observe(asks(number * 8, template=number % 5), NOW)
    assert profile.templates == [0, 1]
    assert [stream.chunks for stream in profile.said] == [12, 12, 36]


@pytest.mark.parametrize("look", [5, 31])
def test_nobody_is_suspect_before_the_first_look(look: int) -> None:
    profile = CallerProfile()
    for call in calls(range(0, 2 * look, 2)):
        profile.observe(call, NOW)
    assert profile.score(NOW) == 0


@given(st.lists(st.integers(0, 2047), min_size=1, max_size=400, unique=True))
def test_halving_is_no_first_look_again(pairs: list[int]) -> None:
    profile = CallerProfile()
    for pair in pairs:
        profile.observe(asks(2 * pair), NOW)
    profile.observe(asks(2 * pairs[0]), NOW + LIFETIME + 1)
    assert len(pairs) // 2 <= profile.said[0].chunks <= len(pairs) // 2 + 1
    assert profile.said[0].looked >= len(pairs) // 3 or len(pairs) < 8


def test_a_score_falls_with_time() -> None:
    profile = CallerProfile(last_score=700_000, scored_at=NOW)
    assert profile.score(NOW) == 700_000
    assert profile.score(NOW + 2 * DAY) == 500_000
    assert profile.score(NOW + 8 * DAY) == 0


def hostile() -> CallerProfile:
    profile, draw = CallerProfile(), random.Random("hostile")
    for number in range(600):
        call = Observation(
            said=tuple(chunk(draw.randrange(4096), number) for _ in range(32)),
            fed=tuple(chunk(draw.randrange(4096), number) for _ in range(32)),
            opaque=tuple(draw.randrange(2**32) for _ in range(10)),
            template=draw.randrange(2**32),
            marks=tuple(draw.randrange(2**32) for _ in range(8)),
        )
        profile.observe(call, NOW + number)
    return profile


def test_a_profile_takes_at_most_two_kilobytes_whatever_is_sent() -> None:
    assert len(msgspec.msgpack.encode(hostile())) <= 2_048


def test_a_profile_survives_being_stored() -> None:
    profile = hostile()
    packed = msgspec.msgpack.encode(profile)
    assert msgspec.msgpack.decode(packed, type=CallerProfile | Group) == profile


def test_groups_hear_of_a_member_seldom() -> None:
    profile = CallerProfile()
    heard = [profile.observe(call, NOW) for call in calls(range(0, 4_000, 2))]
    assert 2 <= len([change for change in heard if change is not None]) <= 20


@given(cells)
def test_a_member_is_counted_once_whatever_it_sends(sent: list[int]) -> None:
    profile, group = CallerProfile(), Group()
    for call in calls(sent):
        change = profile.observe(call, NOW, Calibration("all", calls=3))
        if change is not None:
            group.add(change, NOW)
    assert group.members == (len(sent) > 0)
    assert sum(group.peaks) == (len(sent) >= 3)
    assert max(group.looks) <= 1


@pytest.mark.parametrize("stage", [None, Stage.SLOW])
def test_who_is_suspect_when_it_is_established_says_nothing_of_honest_newcomers(
    stage: Stage | None,
) -> None:
    profile, told = CallerProfile(), list[tuple[int, ...]]()
    if stage is not None:
        profile.stages["newcomers"] = stage
    for call in calls(range(0, 200, 2)):
        change = profile.observe(call, NOW, Calibration("all", calls=60))
        told += [change.established] if change is not None and change.established else []
    assert len(told) == (stage is None)
    assert profile.counted >= 0  # it counts for the threshold either way


def test_a_change_says_nothing_of_calls_that_change_nothing() -> None:
    profile = CallerProfile()
    assert profile.observe(asks(1), NOW) == GroupChange(first=True)
    assert profile.observe(asks(1), NOW) is None


def test_groups_hear_of_a_caller_once_it_is_verified() -> None:
    profile, group = CallerProfile(), Group()
    for call in calls(range(0, 16, 2)):
        assert profile.observe(call, NOW, verified=False) is None
    change = profile.observe(asks(0), NOW)
    assert change == GroupChange(first=True, look=2, tail=profile.tails[2])
    assert change is not None
    group.add(change, NOW)
    assert (group.members, group.looks[10]) == (1, 1)
    assert profile.tails[:2] == [-1, -1]  # the latest look says it all
    assert profile.observe(asks(0), NOW) is None


def test_a_caller_counts_once_at_each_later_look() -> None:
    profile, reached = CallerProfile(), dict[int, int]()
    for said, call in enumerate(calls(range(0, 2 * LATER_LOOKS[-1] + 40, 2)), 1):
        change = profile.observe(call, NOW)
        if change is not None and change.look >= len(POOL_LOOKS):
            reached[change.look - len(POOL_LOOKS)] = said
    assert [LATER_LOOKS[look] for look in reached] == list(reached.values())
    assert len(reached) == len(LATER_LOOKS)
    assert len(profile.tails) == len(ALL_TAILS)


def test_a_later_look_is_at_the_stream_that_the_caller_has_begun_last() -> None:
    profile, quiet = CallerProfile(), LATER_LOOKS[0]
    for call in calls(range(0, 2 * quiet, 2)):
        profile.observe(call, NOW)
    looked = profile.looked
    for cell in range(2 * quiet, 2 * (quiet + NEWEST), 2):
        assert profile.looked == looked
        profile.observe(asks(cell, template=7), NOW)
    assert profile.looked > looked


def test_new_chunks_that_are_unlike_those_before_are_judged_by_themselves() -> None:
    stream, newest = Stream(), Stream()
    for cell in range(40):
        stream.observe((chunk(cell),), [True])
    unlike = [msgspec.structs.replace(chunk(cell), leaning=(99, 99)) for cell in range(8)]
    newest.observe(unlike, begins(unlike))
    alone = newer(Stream(evidence=-(10**6)), newest.sums)
    assert newer(Stream(evidence=alone - 1), newest.sums) == alone
    assert newer(Stream(evidence=alone + 1), newest.sums) == alone + 1
    assert alone > newer(Stream(evidence=-(10**6)), stream.sums)


def unlike_the_last(place: int) -> Chunk:
    """A chunk that has nothing in common with the one before it."""
    point = bytearray(32)
    point[place % 4 :: 4] = [44] * 8
    alike = {"style": (), "abilities": 0, "leaning": ()}
    return msgspec.structs.replace(chunk(2 * place), point=bytes(point), **alike)


def test_the_tasks_of_a_list_that_is_fed_are_steps_from_one_to_the_next() -> None:
    weights = dict(zip(SHOWN, weights_of_shown(), strict=True))
    most = max(STYLE_FEATURES, key=weights.__getitem__)
    style = tuple(100 * (name == most) for name in STYLE_FEATURES)
    tasks = [msgspec.structs.replace(unlike_the_last(n), style=style) for n in range(16)]
    listed, whole, document = CallerProfile(), CallerProfile(), CallerProfile()
    listed.observe(Observation(fed=tuple(tasks), fed_items=tuple(range(16))), NOW)
    whole.observe(Observation(fed=tuple(tasks)), NOW)
    said = tuple(unlike_the_last(n) for n in range(16))
    document.observe(Observation(fed=said, fed_items=tuple(range(16))), NOW)
    steps = SUMS.index("followed")
    assert [one.fed and one.fed.sums[steps] for one in (listed, whole, document)] == [15, 0, 0]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 64), min_size=1, max_size=4))
def test_packed_tasks_that_are_equally_suspect_are_judged_as_if_they_came_one_by_one(
    sizes: list[int],
) -> None:
    packed, apart, place = CallerProfile(), CallerProfile(), 0
    for size in sizes:
        tasks = tuple(unlike_the_last(place + number) for number in range(size))
        place += size
        packed.observe(Observation(said=tasks, items=tuple(range(size))), NOW)
        for task in tasks:
            apart.observe(Observation(said=(task,)), NOW)
    assert (packed.said, packed.newest) == (apart.said, apart.newest)
    assert (packed.last_score, packed.peak) == (apart.last_score, apart.peak)


def test_a_pardon_takes_nothing_back_that_groups_have_not_heard_of() -> None:
    profile = CallerProfile()
    for call in calls(range(0, 16, 2)):
        profile.observe(call, NOW, verified=False)
    assert profile.pardon()
    change = profile.observe(asks(0), NOW)
    assert change is not None
    assert (change.look, set(change.withdrawn)) == (-1, {-1})


def suspect() -> CallerProfile:
    profile = CallerProfile()
    for call in calls(range(0, 80, 2)):
        profile.observe(call, NOW)
    profile.said[0].evidence = 3_000
    profile.observe(asks(1), NOW + DAY // 24)
    assert profile.score(NOW + DAY // 24) > 650_000
    return profile


def test_neither_repeats_nor_waiting_between_calls_ends_suspicion() -> None:
    profile = suspect()
    for day in range(1, 4):
        profile.observe(asks(1), NOW + day * DAY)
        assert profile.score(NOW + day * DAY) > 650_000


def test_a_false_alarm_ends_by_itself_on_known_ground() -> None:
    profile = suspect()
    for day in range(1, 30):
        profile.observe(asks(1), NOW + day * DAY)
    assert profile.score(NOW + 29 * DAY) < 600_000


def test_a_profile_of_before_the_newest_chunks_is_read() -> None:
    old = msgspec.to_builtins(hostile(), builtin_types=(bytes, bytearray))
    place = CallerProfile.__struct_fields__.index("newest") + 1  # the tag comes first
    packed = msgspec.msgpack.encode(old[:place])
    read = msgspec.msgpack.decode(packed, type=CallerProfile | Group)
    assert read == msgspec.structs.replace(hostile(), newest=Newest())
