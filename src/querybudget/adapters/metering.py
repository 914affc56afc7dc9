"""The two meters every dialect shares: one for an event stream, one for a single JSON body.

A dialect brings a function that reads one event, or one body, into a `AnswerTotals`. What a dialect
cannot read is passed over: an answer is metered, never judged.
"""

from __future__ import annotations

from querybudget.adapters.base import Call, Meter, Usage
from querybudget.adapters.frame import Frame, learn_frame
from querybudget.adapters.sse import EventStream
from querybudget.adapters.tally import UNREADABLE, AnswerTotals, Read

__all__ = [
    "ANSWER_LIMIT",
    "ANSWER_TAIL",
    "BodyMeter",
    "StreamMeter",
    "answer_meter",
]

ANSWER_LIMIT = 8 * 1024 * 1024
"""Bytes of a JSON answer that are kept; of a longer one only the end is."""

ANSWER_TAIL = 64 * 1024
"""Bytes kept of the end of a longer answer: servers put ``usage`` last."""

_LESSONS = 32  # frames learnt in one stream: reasoning, then text, then a call of a tool


def answer_meter(call: Call, content_type: str, read_event: Read, read_body: Read) -> Meter:
    """The meter for an answer: by events where its content type says so, else as one JSON body."""
    if "text/event-stream" in content_type.lower():
        return StreamMeter(read_event)
    return BodyMeter(read_body, generates=call.generates)


class StreamMeter:
    """Meters server-sent events, holding one unfinished event at most.

    Args:
        read: Reads one event's data.
    """

    __slots__ = ("_events", "_frame", "_lessons", "_read", "_totals")

    def __init__(self, read: Read) -> None:
        self._events = EventStream()
        self._read = read
        self._totals = AnswerTotals()
        self._frame: Frame | None = None
        self._lessons = _LESSONS

    def feed(self, chunk: bytes, /) -> None:
        """Take the next bytes of the stream."""
        totals = self._totals
        if self._frame is not None and self._events.between and not totals.complete:
            size = self._frame.text_size(chunk)
            if size >= 0:
                totals.output_bytes += size
                return
        between, before = self._events.between, totals.output_bytes
        for data in self._events.feed(chunk):
            try:
                self._read(data, totals)
            except UNREADABLE:
                _read_usage_member(self._read, data, totals)
        if self._lessons and between and totals.output_bytes > before and b"\\" not in chunk:
            self._lessons -= 1
            self._frame = (
                learn_frame(chunk, totals.output_bytes - before, self._read) or self._frame
            )

    def usage(self) -> Usage | None:
        """What the events said so far."""
        return self._totals.usage

    @property
    def output_bytes(self) -> int:
        """UTF-8 bytes of the text in the events so far."""
        return self._totals.output_bytes

    @property
    def complete(self) -> bool:
        """Whether a final usage, or the dialect's end of stream, was seen."""
        return self._totals.complete


class BodyMeter:
    """Meters one JSON body, which is read when it is asked about.

    A body that cannot be read, because it is cut, is not JSON or is longer than the limit, counts
    as text of its own size: a server that answers in one piece has generated all of it by then.
    Its usage is still found where it stands within the last `ANSWER_TAIL` bytes.

    Args:
        read: Reads a whole body.
        generates: Whether the answer holds generated text. Where it does not, only the end of the
            body is kept.
        limit: Bytes that are kept.
    """

    __slots__ = ("_body", "_generates", "_limit", "_read", "_size", "_totals")

    def __init__(self, read: Read, *, generates: bool = True, limit: int = ANSWER_LIMIT) -> None:
        self._read = read
        self._generates = generates
        self._limit = limit if generates else min(limit, ANSWER_TAIL)
        self._body = bytearray()
        self._size = 0
        self._totals: AnswerTotals | None = None

    def feed(self, chunk: bytes, /) -> None:
        """Take the next bytes of the body."""
        self._totals = None
        self._size += len(chunk)
        self._body += chunk
        if self._size > self._limit and len(self._body) > 2 * ANSWER_TAIL:
            del self._body[:-ANSWER_TAIL]

    def usage(self) -> Usage | None:
        """What the body says it used; None while it is not whole."""
        return self._settled().usage

    @property
    def output_bytes(self) -> int:
        """UTF-8 bytes of the text in the body; its size where it cannot be read."""
        return self._settled().output_bytes

    @property
    def complete(self) -> bool:
        """Whether the body is whole."""
        return self._settled().complete

    def _settled(self) -> AnswerTotals:
        if self._totals is None:
            self._totals = self._tallied()
        return self._totals

    def _tallied(self) -> AnswerTotals:
        totals = AnswerTotals()
        if self._size <= self._limit:
            try:
                self._read(bytes(self._body), totals)
            except UNREADABLE:
                pass
            else:
                totals.complete = True
                return totals
        _read_usage_member(self._read, bytes(self._body[-ANSWER_TAIL:]), totals)
        totals.complete = totals.usage is not None
        totals.output_bytes = self._size if self._generates else 0
        return totals


def _read_usage_member(read: Read, data: bytes, totals: AnswerTotals) -> None:
    """Find ``usage`` where it is a member of the outermost object, near the end of its text.

    Within a JSON string every quote is escaped, so ``"usage"`` is always a member's name or a whole
    string; and what follows reads as an object of its own only if that member is outermost.
    """
    at = data.rfind(b'"usage"')
    if at < 0:
        return
    try:
        read(b"{" + data[at:], totals)
    except UNREADABLE:
        return
