"""What a trace promises: it keeps when a caller called and what it declared, and little of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.coverage.observation import Observation
from querybudget.coverage.trace import BIN, BINS, MARKS, MINUTE, PAUSE, Trace, mark_of

NOW = 1_700_000_000_000_000
moments = st.lists(st.integers(NOW, NOW + 1_000 * BIN), min_size=1, max_size=60).map(sorted)
marks = st.lists(st.integers(0, 2**32 - 1), max_size=20)


@given(moments)
def test_a_trace_knows_in_which_of_the_last_bins_a_caller_called(times: list[int]) -> None:
    trace = Trace()
    for time in times:
        trace.note((), time)
    last = times[-1] // BIN
    assert trace.bins() == {time // BIN for time in times if time // BIN > last - BINS}


@given(marks)
def test_a_trace_keeps_the_first_marks(declared: list[int]) -> None:
    trace = Trace()
    for mark in declared:
        trace.note((mark,), NOW)
    assert trace.declared == tuple(dict.fromkeys(declared))[:MARKS]


@given(moments, marks)
def test_a_trace_takes_little_room_and_survives_being_stored(
    times: list[int], declared: list[int]
) -> None:
    trace = Trace()
    for time in times:
        trace.note(tuple(declared), time)
        trace.slow(time)
    packed = msgspec.msgpack.encode(trace)
    assert len(packed) <= 100
    assert msgspec.msgpack.decode(packed, type=Trace) == trace


def test_a_caller_begins_anew_after_a_pause() -> None:
    trace = Trace()
    trace.note((), NOW)
    trace.slow(NOW + MINUTE)
    trace.slow(NOW + 2 * MINUTE)
    trace.note((), NOW + PAUSE * MINUTE // 2)
    assert (trace.began, trace.slowed) == (NOW // MINUTE, NOW // MINUTE + 1)
    trace.note((), NOW + 3 * PAUSE * MINUTE)
    assert (trace.began, trace.slowed) == (NOW // MINUTE + 3 * PAUSE, 0)


def test_a_mark_tells_attributes_and_values_apart() -> None:
    found = {mark_of(number, f"org:{value}") for number in range(8) for value in range(100)}
    assert len(found) == 800
    assert max(found) < 2**32


def test_a_caller_has_a_trace_only_where_accounts_are_linked() -> None:
    plain, linked = CallerProfile(), CallerProfile()
    plain.observe(Observation(), NOW)
    linked.observe(Observation(marks=(7,)), NOW)
    assert plain.trace is None
    assert linked.trace is not None
    assert linked.trace.declared == (7,)
    packed = msgspec.msgpack.encode(linked)
    assert msgspec.msgpack.decode(packed, type=CallerProfile | Group) == linked


@pytest.mark.parametrize("damaged", [{"active": b"1"}, {"marks": b"123"}, {"last": -1}], ids=str)
def test_a_damaged_trace_is_refused(damaged: dict[str, bytes]) -> None:
    with pytest.raises(msgspec.ValidationError, match="expected a trace's"):
        msgspec.convert(_with(damaged), Trace)


def _with(damaged: dict[str, bytes]) -> list[object]:
    fields = {"marks": b"", "active": b"", "last": 0, "began": 0, "slowed": 0} | damaged
    return list(fields.values())
