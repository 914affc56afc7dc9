"""No view and no look decides alone, and scores mean what their thresholds say."""

from __future__ import annotations

import random
from math import cos, pi, sin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage import evidence
from querybudget.coverage.evidence import (
    CERTAIN_SCORE,
    FEATURES,
    FED_MARGIN,
    LOOKS,
    ROAMED,
    VIEWS,
    combined,
    features,
    look,
    score,
    suspicion,
    views,
)
from querybudget.coverage.fitted import (
    ALLOWANCE,
    BIAS,
    CAP,
    CERTAIN,
    FLOOR,
    MEAN,
    SPREAD,
    SUSPECT,
    WEIGHT,
)
from querybudget.coverage.response import SUSPECT_SCORE
from querybudget.coverage.stream import MOST, PART, SUMS, Newest, Stream, begins
from querybudget.coverage.style import WORD_BITS
from tests.coverage.test_caller import chunk

of_views = st.fixed_dictionaries({view: st.floats(FLOOR, CAP) for view in VIEWS})


def stream_of(cells: range) -> Stream:
    stream = Stream()
    for cell in cells:
        stream.observe([chunk(cell)], [True])
    return stream


def test_every_feature_has_its_curve_and_its_weight() -> None:
    assert len(FEATURES) == len(MEAN) == len(SPREAD) == len(WEIGHT)


def test_every_feature_is_in_one_view() -> None:
    assert len(set(FEATURES)) == len(FEATURES)


@given(of_views)
def test_no_single_view_makes_a_caller_suspect(found: dict[str, float]) -> None:
    strongest = max(found, key=found.__getitem__)
    others = sum(value for view, value in found.items() if view != strongest)
    assert combined(found) <= BIAS + others + ALLOWANCE + 1e-9
    assert BIAS + ALLOWANCE < SUSPECT


@given(of_views, st.sampled_from([*VIEWS]))
def test_more_of_a_view_is_never_less_evidence(found: dict[str, float], view: str) -> None:
    assert combined({**found, view: CAP}) >= combined(found) - 1e-9


@given(st.integers(-20_000, 40_000), st.integers(0, 5_000))
def test_the_score_rises_with_the_evidence(found: int, more: int) -> None:
    assert score(found + more) >= score(found)


def test_scores_meet_the_two_thresholds() -> None:
    assert score(round(1_000 * SUSPECT)) == pytest.approx(SUSPECT_SCORE, abs=100)
    assert score(round(1_000 * CERTAIN)) == pytest.approx(CERTAIN_SCORE, abs=100)


@given(st.integers(1, 900))
def test_views_stay_within_their_bounds(size: int) -> None:
    stream = stream_of(range(0, 4 * min(size, 60), 4))
    stream.sums[0] = size
    assert all(FLOOR <= value <= CAP for value in views(stream).values())


def test_a_few_calls_that_read_much_do_not_show_that_a_caller_jumps() -> None:
    stream, jumps = stream_of(range(64)), dict[int, float]()
    stream.point_sum, stream.sums[3] = [0], 64 * 127 * 127  # no two chunks are alike
    for steps in (63, 32, 3):
        stream.sums[1:3] = steps, -steps * 127 * 127 // 2
        jumps[steps] = views(stream)["persistence"]
    assert jumps[63] == pytest.approx(jumps[32], rel=0.05)
    assert 0 < jumps[3] < jumps[63] / 8


def test_a_stream_is_looked_at_when_it_has_grown_by_a_quarter() -> None:
    stream, looked = Stream(), []
    for cell in range(200):
        stream.observe([chunk(cell)], [True])
        if look(stream):
            looked.append(stream.chunks)
    assert looked == [count for count in LOOKS if count <= 200]


def wandering(number: int) -> Stream:
    """Return a stream each of whose chunks is near the last one; in the end it was everywhere."""
    stream = Stream()
    for at in range(number):
        direction, turned = divmod(at, 5)
        angle = turned * pi / 10
        point = [0.0] * 32
        point[direction % 32], point[(direction + 1) % 32] = cos(angle), sin(angle)
        packed = bytes(round(127 * part) % 256 for part in point)
        stream.observe([msgspec.structs.replace(chunk(at), point=packed)], [True])
    return stream


def test_nearness_is_believed_of_who_stays_and_not_of_who_has_been_everywhere() -> None:
    said, fed, early = wandering(160), wandering(160), wandering(ROAMED - 1)
    look(said)
    look(fed, fed=True)
    assert said.evidence > fed.evidence
    other = wandering(ROAMED - 1)
    look(early)
    look(other, fed=True)
    assert early.evidence == other.evidence


def test_one_unlucky_look_counts_half(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([-4.0, 8.0, -4.0])
    monkeypatch.setattr(evidence, "combined", lambda _: next(found))
    stream, seen = Stream(), []
    for cell in range(8):
        stream.observe([chunk(cell)], [True])
        if look(stream):
            seen.append(stream.evidence)
    assert seen == [-4_000, 2_000, 2_000]


def test_reasons_are_sorted_and_name_every_view() -> None:
    stream = stream_of(range(32))
    found = look(stream)
    assert {reason.signal for reason in found} == set(VIEWS)
    assert [reason.share for reason in found] == sorted([r.share for r in found], reverse=True)


def test_features_do_not_depend_on_which_bits_words_have() -> None:
    draw = random.Random("words")
    turned = Stream()
    shift = draw.randrange(WORD_BITS)
    plain = stream_of(range(40))
    for cell in range(40):
        part = chunk(cell)
        bits = int.from_bytes(part.words, "little")
        moved = (bits << shift | bits >> WORD_BITS - shift) & (1 << WORD_BITS) - 1
        words = moved.to_bytes(WORD_BITS // 8, "little")
        turned.observe([msgspec.structs.replace(part, words=words)], [True])
    assert features(turned) == pytest.approx(features(plain))


def test_a_halved_stream_keeps_its_rates() -> None:
    stream = stream_of(range(0, MOST, 4))
    before = features(stream)
    stream.halve()
    assert features(stream) == pytest.approx(before, rel=0.2, abs=1.0)


def test_sums_have_a_name_each() -> None:
    stream = stream_of(range(3))
    assert len(stream.sums) == len(SUMS)


def one_chunk(of: int = 0) -> list[int]:
    return [1, *[of] * (len(SUMS) - 1)]


def test_a_part_is_full_after_so_many_chunks_and_begins_anew() -> None:
    newest = Newest()
    full = [newest.add(0, one_chunk(3)) for _ in range(2 * PART)]
    assert [bool(sums) for sums in full] == ([False] * (PART - 1) + [True]) * 2
    assert full[-1] == [PART, *[3 * PART] * (len(SUMS) - 1)]
    assert newest == Newest()


def test_a_stream_that_stands_still_keeps_no_other_from_its_turn() -> None:
    newest = Newest()
    newest.add(0, one_chunk())
    full = [newest.add(1, one_chunk()) for _ in range(2 * PART)]
    assert sum(map(bool, full)) == 1
    assert newest.number == 1


def test_a_part_holds_the_chunks_of_one_stream() -> None:
    newest = Newest()
    full = [newest.add(number % 2, one_chunk(number % 2)) for number in range(6 * PART)]
    assert len([*filter(None, full)]) >= 2
    assert all(set(sums[1:]) in ({0}, {PART}) for sums in full if sums)


def test_no_single_part_decides() -> None:
    stream = stream_of(range(0, PART, 2))
    look(stream)
    look(stream, one_chunk())
    assert stream.newest is None
    look(stream, one_chunk())
    assert stream.newest == stream.last_part


@given(st.lists(st.integers(-3_000, 9_000), min_size=2, max_size=2), st.sampled_from(LOOKS))
def test_the_newest_chunks_only_add_to_suspicion(found: list[int], looked: int) -> None:
    evidence, newest = found
    alone = suspicion(Stream(evidence=evidence, looked=looked))
    both = suspicion(Stream(evidence=evidence, newest=newest, looked=looked))
    assert both == max(alone, suspicion(Stream(evidence=-(10**6), newest=newest, looked=looked)))


@given(st.integers(-3_000, 9_000))
def test_the_same_evidence_says_more_after_more_new_ground(evidence: int) -> None:
    found = [suspicion(Stream(evidence=evidence, looked=looked)) for looked in LOOKS]
    assert found == sorted(found)
    assert found[0] == evidence < found[-1]


@given(st.integers(-3_000, 9_000), st.sampled_from(LOOKS))
def test_what_is_fed_always_needs_more(evidence: int, looked: int) -> None:
    stream = Stream(evidence=evidence, looked=looked)
    assert suspicion(stream, fed=True) == evidence - 1_000 * FED_MARGIN < suspicion(stream)


def test_the_way_from_task_to_task_is_a_step_as_from_call_to_call() -> None:
    packed, apart = Stream(), stream_of(range(0, 12, 2))
    chunks = [chunk(cell) for cell in range(0, 12, 2)]
    packed.observe(chunks, begins(chunks, range(6)))
    assert packed == apart
    together = Stream()
    together.observe(chunks, begins(chunks))
    assert together.sums[1:3] == [0, 0]
