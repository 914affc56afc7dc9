"""Reading answers: the two meters of all dialects, for event streams and for JSON bodies.

A dialect supplies a function that adds one event, or one body, to `AnswerTotals`. What a dialect
cannot read is skipped: meters never reject an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from querybudget.adapters.base import Call, Meter, Usage
from querybudget.adapters.sse import EventStream

ANSWER_LIMIT = 8 * 1024 * 1024
"""Most bytes of a JSON answer that are kept; of a longer one, only its end is."""

ANSWER_TAIL = 64 * 1024
"""Bytes kept of the end of a longer answer: servers put ``usage`` last."""

_DECODE_ERRORS = (ValueError, RecursionError)
"""Raised by decoding: msgspec's errors, and those of text that is not UTF-8, are ValueErrors."""

_MAX_TOKENS = 2**40  # keeps sums of reported figures small integers
_MAX_LESSONS = 32  # templates learnt in one stream: of reasoning, then text, then a tool call
_MAX_EVENT = 1024  # longer events are not learnt
_ONE_EVENT = re.compile(rb"(?:event: [^\r\n]*\n)?data: ([^\r\n]+)\n\n")
_STRINGS = re.compile(rb'"([^"\\]*)"')
_PROBE = b"a probe that no server would send"


class AnswerTotals:
    """Totals of an answer so far.

    Attributes:
        usage: The usage reported; None if none has been.
        output_bytes: UTF-8 bytes of generated text.
        complete: Whether the answer's end, or a usage report marked as final, has been seen.
    """

    __slots__ = ("complete", "output_bytes", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.output_bytes = 0
        self.complete = False


Read = Callable[[bytes, AnswerTotals], None]
"""Adds the data of one event, or one JSON body, to totals. It may raise ValueError (malformed JSON,
wrong types) or RecursionError, and nothing else, before it has changed the totals."""


def tokens(reported: float | None) -> int:
    """Return a reported number of tokens as an integer; 0 if it is missing or not a count."""
    if not reported or reported < 0:
        return 0
    return int(reported) if reported <= _MAX_TOKENS else _MAX_TOKENS


def answer_meter(call: Call, content_type: str, read_event: Read, read_body: Read) -> Meter:
    """Return a meter for an answer: a stream of events, or one JSON body for any other type."""
    if "text/event-stream" in content_type.lower():
        return StreamMeter(read_event)
    return BodyMeter(read_body, generates=call.generates)


class StreamMeter:
    """Meters server-sent events. It holds at most one unfinished event."""

    __slots__ = ("_events", "_lessons", "_read", "_template", "_totals")

    def __init__(self, read: Read) -> None:
        self._events = EventStream()
        self._read = read
        self._totals = AnswerTotals()
        self._template: DeltaTemplate | None = None
        self._lessons = _MAX_LESSONS

    def feed(self, chunk: bytes, /) -> None:
        totals = self._totals
        if self._template is not None and self._events.between and not totals.complete:
            size = self._template.text_size(chunk)
            if size >= 0:
                totals.output_bytes += size
                return
        between, before = self._events.between, totals.output_bytes
        for data in self._events.feed(chunk):
            try:
                self._read(data, totals)
            except _DECODE_ERRORS:
                _read_usage_member(self._read, data, totals)
        if self._lessons and between and totals.output_bytes > before and b"\\" not in chunk:
            self._lessons -= 1
            self._template = (
                learn_template(chunk, totals.output_bytes - before, self._read) or self._template
            )

    def usage(self) -> Usage | None:
        return self._totals.usage

    @property
    def output_bytes(self) -> int:
        return self._totals.output_bytes

    @property
    def complete(self) -> bool:
        return self._totals.complete


class BodyMeter:
    """Meters one JSON body, which is parsed when a total is requested.

    A body that cannot be parsed (cut short, not JSON, longer than the limit) counts as text of its
    own size: a server that answers in one piece has generated all of it by then. Its usage is still
    found if it is within the last `ANSWER_TAIL` bytes.

    Args:
        read: Reads a whole body.
        generates: Whether the answer holds generated text. If not, only the end of the body is
            kept.
        limit: Most bytes that are kept.
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
        self._totals = None
        self._size += len(chunk)
        self._body += chunk
        if self._size > self._limit and len(self._body) > 2 * ANSWER_TAIL:
            del self._body[:-ANSWER_TAIL]

    def usage(self) -> Usage | None:
        return self._parsed().usage

    @property
    def output_bytes(self) -> int:
        return self._parsed().output_bytes

    @property
    def complete(self) -> bool:
        return self._parsed().complete

    def _parsed(self) -> AnswerTotals:
        if self._totals is None:
            self._totals = self._parse()
        return self._totals

    def _parse(self) -> AnswerTotals:
        totals = AnswerTotals()
        if self._size <= self._limit:
            try:
                self._read(bytes(self._body), totals)
            except _DECODE_ERRORS:
                pass
            else:
                totals.complete = True
                return totals
        _read_usage_member(self._read, bytes(self._body[-ANSWER_TAIL:]), totals)
        totals.complete = totals.usage is not None
        totals.output_bytes = self._size if self._generates else 0
        return totals


def _read_usage_member(read: Read, data: bytes, totals: AnswerTotals) -> None:
    """Read ``usage`` if it is a member of the outermost object, near the end of its text.

    Quotes within a JSON string are escaped, so ``"usage"`` is always a member's name or a whole
    string. What follows it parses as an object of its own only if that member is outermost.
    """
    start = data.rfind(b'"usage"')
    if start < 0:
        return
    try:
        read(b"{" + data[start:], totals)
    except _DECODE_ERRORS:
        return


# -- Counting text without parsing ---------------------------------------------------------------
#
# In a stream, one event after the other differs only in a few characters of text. Once an event has
# been parsed, the bytes before and after its text are kept as a template. A chunk that begins and
# ends with the same bytes, with plain text in between, is the same event with another text. This is
# exact, not an estimate: see `learn_template`. It takes about a third of the time of parsing.


class DeltaTemplate:
    """The bytes before and after the text of an event."""

    __slots__ = ("_after", "_before", "_end", "_shortest", "_start")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._start = len(before)
        self._end = -len(after)
        self._shortest = len(before) + len(after)

    def text_size(self, chunk: bytes) -> int:
        """Return the UTF-8 size of the text in a chunk; -1 if the chunk must be parsed."""
        if len(chunk) < self._shortest:
            return -1
        if not (chunk.startswith(self._before) and chunk.endswith(self._after)):
            return -1
        text = chunk[self._start : self._end]
        try:
            words = text.decode()
        except UnicodeDecodeError:
            return -1
        # Whatever JSON or the framing of events gives a meaning has to be parsed.
        plain = words.isprintable() and '"' not in words and "\\" not in words
        return len(text) if plain else -1


def learn_template(chunk: bytes, size: int, read: Read) -> DeltaTemplate | None:
    """Return the template of an event whose text, as parsed, has `size` bytes.

    None if the chunk is not one whole event or has no such text.

    Among the event's strings of that size, it picks the one whose replacement by a probe is read as
    text of the probe's size and as nothing else. So any plain text in that place counts by its
    size and has no other effect.
    """
    event = _ONE_EVENT.fullmatch(chunk) if len(chunk) <= _MAX_EVENT else None
    if event is None:
        return None
    for string in _STRINGS.finditer(chunk):
        if len(string[1]) != size or string.start() < event.start(1):
            continue
        before, after = chunk[: string.start(1)], chunk[string.end(1) :]
        if _is_only_text(before[event.start(1) :] + _PROBE + after, read):
            return DeltaTemplate(before, after)
    return None


def _is_only_text(data: bytes, read: Read) -> bool:
    totals = AnswerTotals()
    try:
        read(data, totals)
    except _DECODE_ERRORS:
        return False
    return totals.output_bytes == len(_PROBE) and totals.usage is None and not totals.complete
