"""Promises of meters: any bytes, cut anywhere."""

from __future__ import annotations

from querybudget.adapters.base import Call, Dialect, Meter, settled_usage
from querybudget.adapters.json_stream import JsonStream
from querybudget.adapters.sse import EventStream
from tests.fuzz.bodies import ADAPTERS
from tests.fuzz.pieces import Pieces

TYPES = (
    "application/json",
    "text/event-stream",
    "text/event-stream; charset=utf-8",
    "application/x-ndjson",
    "text/plain",
    "application/vnd.amazon.eventstream",
    "",
)


def cut(data: bytes, step: int, first: int) -> list[bytes]:
    """Cut bytes into pieces of one size, about fifty at most, after a first one."""
    step = max(step, len(data) // 50)
    return [data[:first], *(data[at : at + step] for at in range(first, len(data), step))]


def fed(meter: Meter, pieces: list[bytes]) -> tuple[object, int, bool]:
    for piece in pieces:
        meter.feed(piece)
    return meter.usage(), meter.output_bytes, meter.complete


def meters(data: bytes) -> None:
    pieces = Pieces(data)
    adapter, kind = pieces.choice(ADAPTERS), pieces.choice(TYPES)
    step, first, body = 1 + pieces.number(), pieces.number(), pieces.rest()
    call = Call(Dialect.OPENAI, "chat", stream="stream" in kind)
    meter = adapter.meter(call, kind)
    whole = fed(meter, [body])
    assert fed(adapter.meter(call, kind), cut(body, step, first)) == whole
    usage = settled_usage(call, meter, 10, 4_000_000)
    for figure in (usage.input, usage.cached_input, usage.cache_write, usage.output):
        assert 0 <= figure < 2**44
    assert usage.cached_input + usage.cache_write <= usage.input
    assert usage.reasoning <= usage.output


def events(data: bytes) -> None:
    pieces = Pieces(data)
    step, first, limit, body = 1 + pieces.number(), pieces.number(), 64, pieces.rest()
    whole = EventStream(limit=limit).feed(body)
    stream = EventStream(limit=limit)
    assert [event for piece in cut(body, step, first) for event in stream.feed(piece)] == whole
    assert all(len(event) <= limit for event in whole)


def values(data: bytes) -> None:
    pieces = Pieces(data)
    step, first, array, body = 1 + pieces.number(), pieces.number(), pieces.number(), pieces.rest()
    whole = JsonStream(array=bool(array % 2), limit=64)
    found = whole.feed(body) + whole.end()
    stream = JsonStream(array=bool(array % 2), limit=64)
    again = [value for piece in cut(body, step, first) for value in stream.feed(piece)]
    again += stream.end()
    # White space that comes along with a whole value is kept, and means nothing.
    assert [value.strip() for value in again] == [value.strip() for value in found]
