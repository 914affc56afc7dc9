"""Reading answers: the two meters of all dialects, for events and for bodies.

A dialect supplies functions that add one event, or one body, to `AnswerTotals`. What a dialect
cannot read is read as an answer of any server, and what that does not find counts by its size:
meters never reject an answer.
"""

from __future__ import annotations

from querybudget.adapters.answer_form import Form, Framer, form_of, is_structured
from querybudget.adapters.answer_totals import DECODE_ERRORS, AnswerTotals, Read
from querybudget.adapters.any_answer import read_any, read_at_end, read_at_start
from querybudget.adapters.base import Call, Meter, Usage
from querybudget.adapters.delta_template import DeltaTemplate, learn_template
from querybudget.adapters.frame_stream import FrameStream
from querybudget.adapters.json_stream import JsonStream, are_values, is_value
from querybudget.adapters.sse import EventStream
from querybudget.adapters.usage_shapes import tokens

__all__ = [
    "ANSWER_LIMIT",
    "ANSWER_TAIL",
    "AnswerTotals",
    "BodyMeter",
    "Read",
    "StreamMeter",
    "answer_meter",
    "read_any",
    "tokens",
]

ANSWER_LIMIT = 8 * 1024 * 1024
"""Most bytes of a JSON answer that are kept; of a longer one, only its two ends are."""
ANSWER_TAIL = 64 * 1024
"""Bytes kept of each end of a longer answer: servers put ``usage`` last, some put it first."""

_BOTH_ENDS = 2 * ANSWER_TAIL
_MAX_LESSONS = 32  # templates learnt in one stream: of reasoning, then text, then a tool call
_MAX_LOOKS = 4  # times that a body is looked at for the end of its first value


def answer_meter(
    call: Call,
    content_type: str,
    read_event: Read,
    read_body: Read,
    read_element: Read | None = None,
) -> Meter:
    """Return a meter for an answer of any form, which its first bytes tell (see `Form`).

    Args:
        call: The call.
        content_type: The answer's, which decides where the bytes say nothing; empty without one.
        read_event: Reads one event.
        read_body: Reads a whole body.
        read_element: Reads one element of an array; without it, an array is a body.
    """
    kind = content_type.lower()
    if "text/event-stream" in kind:
        return StreamMeter(read_event, read_body=read_body, read_element=read_element)
    return BodyMeter(
        read_body,
        generates=call.generates,
        read_event=read_event,
        read_element=read_element,
        doubted=kind != "application/json" and not is_structured(kind),
    )


class StreamMeter:
    """Meters a stream of events. It holds at most one unfinished event.

    Args:
        read: Reads one event.
        events: Splits the bytes into events; by default, server-sent ones.
        sure: It is called a stream. If it is not, and no event can be read, its size counts.
        read_body: Reads the answer if it turns out to be no stream; None if it cannot.
        read_element: Reads the elements of an array, if it turns out to be one.
        doubted: As `BodyMeter` has it.
    """

    __slots__ = (
        "_body",
        "_events",
        "_first",
        "_lessons",
        "_read",
        "_read_body",
        "_read_element",
        "_sure",
        "_template",
        "_totals",
        "_unsure",
    )

    def __init__(
        self,
        read: Read,
        events: Framer | None = None,
        *,
        sure: bool = True,
        read_body: Read | None = None,
        read_element: Read | None = None,
        doubted: bool = False,
    ) -> None:
        self._events = EventStream() if events is None else events
        self._read = read
        self._read_element = read_element
        self._read_body = read_body  # None as soon as the answer is known to be events
        self._first = b""  # what came before the answer's form was known
        self._body: BodyMeter | None = None
        self._totals = AnswerTotals(doubted=doubted)
        self._template: DeltaTemplate | None = None
        self._lessons = _MAX_LESSONS if events is None else 0
        self._sure = sure
        self._unsure = 0  # bytes before anything could be read

    def feed(self, chunk: bytes, /) -> None:
        template, totals = self._template, self._totals
        if template is not None and self._events.between and not totals.complete:
            size = template.text_size(chunk)
            if size >= 0:
                totals.output_bytes += size
                totals.covers = False
                return
        if self._read_body is not None:
            self._begin(chunk, self._read_body)
        elif self._body is not None:
            self._body.feed(chunk)
        else:
            self._feed_events(chunk)

    def end(self) -> None:
        """Take note that the application ended the answer: no bytes follow."""
        if self._body is not None:
            self._body.end()
            return
        for data in self._events.end():
            self._take(data)
        self._totals.complete = True

    def usage(self) -> Usage | None:
        totals = self.totals
        return totals.reported if totals.doubted else totals.usage

    @property
    def output_bytes(self) -> int:
        if self._body is not None:
            return self._body.output_bytes
        if not self._sure:
            return self._unsure
        return self._totals.output_bytes + self._events.skipped

    @property
    def complete(self) -> bool:
        return self.totals.final

    @property
    def totals(self) -> AnswerTotals:
        """All that was read of it."""
        return self._totals if self._body is None else self._body.totals

    def _begin(self, chunk: bytes, read_body: Read) -> None:
        first = self._first + chunk
        form, before = form_of(first, labelled=True)
        if form is None:
            self._first = first[before:]
            return
        self._read_body, self._first = None, b""
        if form is Form.EVENTS:
            self._feed_events(first)
        else:
            self._body = BodyMeter(
                read_body, read_event=self._read, read_element=self._read_element
            )
            self._body.feed(first)

    def _feed_events(self, chunk: bytes) -> None:
        totals = self._totals
        between, before = self._events.between, totals.output_bytes
        if not self._sure:
            self._unsure += len(chunk)
        for data in self._events.feed(chunk):
            self._take(data)
        if self._lessons and between and totals.output_bytes > before and chunk.find(b"\\") < 0:
            self._lessons -= 1
            size = totals.output_bytes - before
            self._template = learn_template(chunk, size, self._read) or self._template

    def _take(self, data: bytes) -> None:
        totals = self._totals
        usage, size = totals.usage, totals.output_bytes
        try:
            self._read(data, totals)
            self._sure = True
        except DECODE_ERRORS:
            self._take_any(data)
        if totals.usage is not usage:
            totals.covers = True
        elif totals.output_bytes > size:
            totals.covers = False

    def _take_any(self, data: bytes) -> None:
        """Take an event that is not of the dialect: of any server, or text of its own size."""
        totals = self._totals
        try:
            read_any(data, totals)
            self._sure = True
        except DECODE_ERRORS:
            usage = totals.usage
            read_at_end(self._read, data, totals)
            if totals.usage is usage:
                totals.output_bytes += len(data)
                totals.doubted = True


class BodyMeter:
    """Meters one JSON body, which is parsed when a total is requested.

    A body that cannot be parsed (cut short, not JSON, longer than the limit) counts as text of its
    own size: its server has generated all of it by then. Usage is still found within its first and
    last `ANSWER_TAIL` bytes.

    Args:
        read: Reads a whole body.
        generates: Whether the answer holds generated text. If not, only the ends of the body are
            kept.
        limit: Most bytes that are kept.
        read_event: Reads events, or one of several values; None if it is neither.
        read_element: Reads the elements of an array; None if an array is a body.
        doubted: Whether all of the answer may be text that the model wrote, reports of usage too.
    """

    def __init__(
        self,
        read: Read,
        *,
        generates: bool = True,
        limit: int = ANSWER_LIMIT,
        read_event: Read | None = None,
        read_element: Read | None = None,
        doubted: bool = False,
    ) -> None:
        self._doubted = doubted
        self._read = read
        self._read_event = read_event or read
        self._read_element = read_element
        self._generates = generates
        self._limit = limit if generates else min(limit, ANSWER_TAIL)
        self._body = bytearray()
        self._totals: AnswerTotals | None = None
        self._stream: StreamMeter | None = None
        # How often it may still turn out to be something else than one body.
        self._looks = 0 if read_event is None else _MAX_LOOKS
        self._known, self._first = False, b""  # whether the form is known, and what came before

    # What few answers need is not set for each.
    _head = b""  # of a body whose middle was dropped
    _dropped = 0  # bytes that were dropped
    _value_end = 0  # where the first of several objects may end

    def feed(self, chunk: bytes, /) -> None:
        if self._stream is not None:
            self._stream.feed(chunk)
        elif not self._looks:
            self._add(chunk)
        elif self._known:
            self._look(chunk)
        elif not self._first and chunk.startswith(b"{") and chunk.find(b"\n") < 0:
            self._known = True  # the usual case, as `_begin` does it but with fewer calls
            self._add(chunk)
        else:
            self._begin(self._first + chunk)

    def end(self) -> None:
        """Do as `StreamMeter.end` does."""
        if self._first:
            self._looks = 0
            self._add(self._first)
            self._first = b""
        if self._stream is not None:
            self._stream.end()

    def usage(self) -> Usage | None:
        totals = self.totals
        return totals.reported if totals.doubted else totals.usage

    @property
    def output_bytes(self) -> int:
        totals = self._totals
        if totals is not None:  # of a stream, there are none
            return totals.output_bytes
        return self.totals.output_bytes if self._stream is None else self._stream.output_bytes

    @property
    def complete(self) -> bool:
        return (self._totals or self.totals).final

    @property
    def totals(self) -> AnswerTotals:
        """All that was read of it."""
        if self._stream is not None:
            return self._stream.totals
        if self._totals is None:
            self._totals = self._parse()
        return self._totals

    @property
    def _size(self) -> int:
        return self._dropped + len(self._body)

    def _add(self, chunk: bytes) -> None:
        self._totals = None
        self._body += chunk
        if len(self._body) > _BOTH_ENDS and self._size > self._limit:
            self._head = self._head or bytes(self._body[:ANSWER_TAIL])
            self._dropped = self._size - ANSWER_TAIL
            del self._body[:-ANSWER_TAIL]

    def _begin(self, first: bytes) -> None:
        """Take the first bytes, once they tell what the answer is."""
        form, before = form_of(first, labelled=False)
        first = first[before:]
        if form is None:
            self._first = first
            return
        self._first, self._known = b"", True
        if form is Form.VALUES:
            self._look(first)
        elif form in {Form.EVENTS, Form.FRAMES}:
            frames = FrameStream() if form is Form.FRAMES else None
            self._doubted = self._doubted and frames is None  # no text is frames
            self._become(self._read_event, frames, first)
        elif form is Form.ARRAY and (read := self._read_element) is not None:
            self._become(read, JsonStream(array=True), first)
        else:
            self._looks = 0
            if form is Form.OTHER:
                self._limit = min(self._limit, ANSWER_TAIL)
                self._doubted = True
            self._add(first)

    def _look(self, chunk: bytes) -> None:
        """Take the next bytes of what is one object so far, and see whether another follows."""
        end, rest = self._value_end, chunk
        if not end:
            newline = chunk.find(b"\n") + 1
            if newline:
                end, rest = self._size + newline, chunk[newline:]
            elif self._size and chunk.startswith(b"{"):
                end = self._size
        self._add(chunk)
        self._value_end = end
        if not end or not rest.strip():
            return
        self._value_end = 0
        self._looks -= 1
        if not self._head and is_value(bytes(self._body[:end])):
            self._become(self._read_event, JsonStream(), bytes(self._body))
        elif rest is not chunk:
            self._looks = 0  # an object of several lines

    def _become(self, read: Read, events: Framer | None, first: bytes) -> None:
        stream = StreamMeter(read, events, sure=False, doubted=self._doubted)
        self._stream, self._totals = stream, None
        self._body.clear()
        stream.feed(first)

    def _parse(self) -> AnswerTotals:
        totals = AnswerTotals(doubted=self._doubted)
        if self._size <= self._limit:
            body = bytes(self._body)
            if self._read_whole(body, totals):
                return totals
            if are_values(body):
                stream = StreamMeter(self._read_event, JsonStream(), doubted=self._doubted)
                stream.feed(body)
                stream.end()
                return stream.totals
        read_at_end(self._read, bytes(self._body[-ANSWER_TAIL:]), totals)
        if totals.usage is None:
            read_at_start(self._read, self._head or bytes(self._body[:ANSWER_TAIL]), totals)
        totals.complete = totals.usage is not None
        totals.output_bytes = self._size if self._generates else 0
        return totals

    def _read_whole(self, body: bytes, totals: AnswerTotals) -> bool:
        try:
            self._read(body, totals)
        except DECODE_ERRORS:
            try:
                read_any(body, totals)
            except DECODE_ERRORS:
                return False
            if totals.usage is None and not totals.output_bytes:
                totals.output_bytes = self._size
        totals.complete = True
        return True
