"""Amazon's event streams: binary frames, as Bedrock's streams are (``vnd.amazon.eventstream``).

A frame is its length, the length of its headers and a checksum of both, 4 bytes each; then headers,
a payload and a checksum of all. Payloads are JSON: an event of Converse, or base64 of the model's
own event.
"""

from __future__ import annotations

import binascii
from struct import Struct
from zlib import crc32

import msgspec

FRAME_LIMIT = 8 * 1024 * 1024
"""Most bytes of one frame that are kept; from a longer one on, a stream counts by its size."""

PRELUDE = 12
"""Bytes by which a frame is told."""

_LENGTHS = Struct(">III")
_CHECKSUM = 4
_PADDING = "p"
"""A member that hides how long a text is."""
_PAYLOAD: msgspec.json.Decoder[dict[str, object]] = msgspec.json.Decoder(dict[str, object])


def is_frame(first: bytes) -> bool:
    """Return True if the first bytes of an answer, at least `PRELUDE`, begin a frame."""
    return _lengths(first) is not None


class FrameStream:
    """Splits a stream into the payloads of whole frames, however its bytes are cut.

    Attributes:
        skipped: Bytes of what is no frame, or too long.
    """

    __slots__ = ("_held", "_lost", "skipped")

    def __init__(self) -> None:
        self._held = bytearray()
        self._lost = False
        self.skipped = 0

    @property
    def between(self) -> bool:
        return not self._held

    def end(self) -> list[bytes]:
        """Return what is complete now that no bytes follow: nothing, since lengths say it."""
        return []

    def feed(self, chunk: bytes, /) -> list[bytes]:
        """Take the next bytes; return the events that they complete."""
        self._held += chunk
        events: list[bytes] = []
        while len(self._held) >= PRELUDE and not self._lost:
            lengths = _lengths(self._held)
            if lengths is None:
                self._lost = True
                break
            whole, headers = lengths
            if len(self._held) < whole:
                break
            events.append(_event(bytes(self._held[PRELUDE + headers : whole - _CHECKSUM])))
            del self._held[:whole]
        if self._lost:
            self.skipped += len(self._held)
            self._held.clear()
        return events


def _lengths(frame: bytes | bytearray) -> tuple[int, int] | None:
    """Return the lengths of a frame and of its headers; None if this is no frame."""
    whole, headers, checksum = _LENGTHS.unpack_from(frame)
    if checksum != crc32(frame[: PRELUDE - _CHECKSUM]):
        return None
    fits = PRELUDE + headers + _CHECKSUM <= whole <= FRAME_LIMIT
    return (whole, headers) if fits else None


def _event(payload: bytes) -> bytes:
    try:
        members = _PAYLOAD.decode(payload)
        inner = members.get("bytes")
        if isinstance(inner, str):
            return binascii.a2b_base64(inner)
    except ValueError:  # also binascii.Error
        return payload
    if members.pop(_PADDING, None) is None:
        return payload
    return msgspec.json.encode(members)
