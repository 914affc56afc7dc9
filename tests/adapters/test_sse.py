"""Server-sent events are framed by the WHATWG's rules, however their bytes are cut."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.sse import EventStream

LINES = st.sampled_from(
    [
        b"",
        b"data",
        b"data:",
        b"data: a",
        b"data:b",
        b"data:  c: d",
        b"event: x",
        b": comment",
        b":",
        b"id: 1",
        b"datum: no",
        b"\xef\xbb\xbfdata: e",
        b"data: \xe6\x97\xa5",
        b"data: \xff",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
STREAMS = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=24).map(b"".join)


def framed(pieces: Sequence[bytes], limit: int = 1 << 20) -> list[bytes]:
    stream = EventStream(limit=limit)
    return [event for piece in pieces for event in stream.feed(piece)]


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted(place % (len(body) + 1) for place in places)
    return [body[a:b] for a, b in zip([0, *ends], [*ends, len(body)], strict=True)]


def by_the_book(body: bytes) -> list[bytes]:
    """The standard's algorithm, written over the whole of a stream."""
    *lines, _unfinished = re.split(rb"\r\n|\r|\n", body.removeprefix(b"\xef\xbb\xbf"))
    events, data = [], list[bytes]()
    for line in lines:
        name, _, value = line.partition(b":")
        if not line:
            if data:
                events.append(b"\n".join(data))
            data = []
        elif name == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
    return events


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: one\n\n", [b"one"]),
        (b"data: one\r\rdata: two\r\r", [b"one", b"two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
        (b"data: first\ndata: second\n\n", [b"first\nsecond"]),
        (b"data\n\n", [b""]),
        (b"data:no space\n\n", [b"no space"]),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b": keep-alive\n\n", []),
        (b"event: ping\n\n", []),
        (b"event: x\nid: 4\nretry: 10\ndata: one\n\n", [b"one"]),
        (b"\xef\xbb\xbfdata: one\n\n", [b"one"]),
        (b"\n\xef\xbb\xbfdata: a mark further on is a part of the name\n\n", []),
        (b"data: never closed\n", []),
        (b"data: never closed", []),
        (b"", []),
    ],
)
def test_a_stream_is_framed_by_the_standard(body: bytes, events: list[bytes]) -> None:
    assert framed([body]) == events
    assert framed([bytes((byte,)) for byte in body]) == events


@given(body=STREAMS, places=st.lists(st.integers(0, 400), max_size=12))
def test_any_stream_cut_anywhere_is_framed_by_the_standard(body: bytes, places: list[int]) -> None:
    assert framed(cut(body, places)) == by_the_book(body)


@given(pieces=st.lists(STREAMS, max_size=8))
def test_pieces_that_end_where_events_do_are_framed_by_the_standard(pieces: list[bytes]) -> None:
    pieces = [piece + b"\n\n" for piece in pieces]
    assert framed([b"\n", *pieces]) == by_the_book(b"\n" + b"".join(pieces))


@given(body=st.binary(max_size=80), places=st.lists(st.integers(0, 80), max_size=8))
def test_any_bytes_are_framed_by_the_standard(body: bytes, places: list[int]) -> None:
    assert framed(cut(body, places)) == by_the_book(body)


@given(
    body=STREAMS,
    places=st.lists(st.integers(0, 400), max_size=12),
    limit=st.integers(1, 30),
)
def test_which_events_are_too_long_does_not_depend_on_where_a_stream_is_cut(
    body: bytes, places: list[int], limit: int
) -> None:
    assert framed(cut(body, places), limit) == framed([body], limit)


def test_an_event_that_is_too_long_is_skipped_and_the_next_is_not() -> None:
    body = b"data: " + b"x" * 100 + b"\ndata: more\n\ndata: short\n\n"
    assert framed([body], limit=50) == [b"short"]


def test_a_line_without_end_holds_no_more_than_the_limit() -> None:
    stream = EventStream(limit=1000)
    for _ in range(1000):
        stream.feed(b"data: " + b"x" * 994)
    assert len(stream._line) <= 1000


def test_comments_without_end_do_not_use_up_the_next_event() -> None:
    stream = EventStream(limit=50)
    for _ in range(100):
        assert stream.feed(b": still here\n") == []
    assert stream.feed(b"data: here\n\n") == [b"here"]


def test_a_stream_is_between_events_only_when_nothing_is_pending() -> None:
    stream = EventStream()
    seen = [stream.between]  # not yet: a byte order mark may come
    for piece in (b"data: one\n\n", b"data: two\r\n\r", b"\n", b"data"):
        stream.feed(piece)
        seen.append(stream.between)
    assert seen == [False, True, False, True, False]
