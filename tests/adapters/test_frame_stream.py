"""Bedrock's streams are charged what they report, however their bytes are cut."""

from __future__ import annotations

import base64
import struct
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Dialect, Meter, Usage, settled_usage
from querybudget.adapters.frame_stream import FRAME_LIMIT, FrameStream
from querybudget.units import MICRO

CALL = Call(Dialect.PROBLEM, "chat", stream=True, input_bytes=40)
KIND = "application/vnd.amazon.eventstream"


def frame(payload: object) -> bytes:
    name, value = b":event-type", b"chunk"
    headers = bytes((len(name),)) + name + b"\x07" + struct.pack(">H", len(value)) + value
    body = msgspec.json.encode(payload)
    lengths = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    front = lengths + struct.pack(">I", crc32(lengths)) + headers + body
    return front + struct.pack(">I", crc32(front))


def chunk(event: object) -> bytes:
    return frame({"bytes": base64.b64encode(msgspec.json.encode(event)).decode(), "p": "abc"})


CONVERSE = [
    frame({"role": "assistant", "p": "abcd"}),
    frame({"contentBlockIndex": 0, "delta": {"text": "x" * 400}, "p": "abcdefgh" * 9}),
    frame({"stopReason": "end_turn", "p": "abc"}),
    frame({"usage": {"inputTokens": 70, "outputTokens": 300, "totalTokens": 370}, "p": "a"}),
]
INVOKE = [
    chunk({"type": "message_start", "message": {"usage": {"input_tokens": 70}}}),
    chunk({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 400}}),
    chunk({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 300}}),
    chunk({"type": "message_stop"}),
]
STREAMS = {
    "/model/m/converse-stream": CONVERSE,
    "/model/m/invoke-with-response-stream": INVOKE,
}


def meter_of(path: str, pieces: list[bytes], *, ended: bool = True, kind: str = KIND) -> Meter:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    meter = adapter.meter(CALL, kind)
    for piece in pieces:
        meter.feed(piece)
    if ended:
        meter.end()
    return meter


def charged(meter: Meter) -> Usage:
    return settled_usage(CALL, meter, 10, 4 * MICRO)


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("kind", [KIND, "", "text/event-stream", "application/json"])
def test_a_stream_of_frames_is_charged_what_it_reports(path: str, kind: str) -> None:
    stream = b"".join(STREAMS[path])
    assert charged(meter_of(path, [stream], kind=kind)) == Usage(70, output=300)
    for pieces in [STREAMS[path], [bytes((byte,)) for byte in stream]]:
        assert charged(meter_of(path, pieces, kind=kind)) == Usage(70, output=300)


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_of_frames_may_be_cut_anywhere(path: str) -> None:
    stream = b"".join(STREAMS[path])
    for at in range(1, len(stream)):
        assert charged(meter_of(path, [stream[:at], stream[at:]])) == Usage(70, output=300)


def test_a_stream_of_frames_that_is_cut_short_is_charged_its_text() -> None:
    """Padding is no text."""
    meter = meter_of("/model/m/converse-stream", CONVERSE[:2], ended=False)
    assert meter.output_bytes == 400
    assert charged(meter).output == 100


def test_what_is_no_frame_counts_by_its_size() -> None:
    stream = b"".join(CONVERSE[:2]) + b"\0" * 5000
    assert meter_of("/model/m/converse-stream", [stream]).output_bytes == 5400


def test_a_frame_that_is_too_long_is_not_kept() -> None:
    frames, lengths = FrameStream(), struct.pack(">II", FRAME_LIMIT + 1, 0)
    assert frames.feed(lengths + struct.pack(">I", crc32(lengths))) == []
    for _ in range(10):
        assert (frames.feed(bytes(1000)), frames.between) == ([], True)
    assert frames.skipped == 10_012


@given(pieces=st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_break_it(pieces: list[bytes]) -> None:
    meter = meter_of("/model/m/converse-stream", [*pieces, CONVERSE[0][:30], *pieces])
    charged(meter)
