"""Streams that end with what they used, although their clients did not ask for it.

The option goes into the request, and the event that answers it is taken out of the stream again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable

from querybudget.adapters.answer_form import Form, form_of
from querybudget.adapters.base import Adapter
from querybudget.adapters.sse import EventStream
from querybudget.adapters.usage_request import ask_for_usage, is_usage_event
from querybudget.asgi.body import Received, decoded, rewritten
from querybudget.asgi.types import Message, Scope, Send
from querybudget.limiter import Admission
from querybudget.policy.model import Policy, StreamUsage

HELD = 64 * 1024
"""Most bytes of an unfinished event that are held back; of a longer one, all is passed on."""

_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
"""The line that ends an event: a blank one, after the end of another."""
_CUT = b"\n\r"
"""The end of what is held where a line feed may follow that belongs to the same blank line."""
_OVERLAP = 3  # an end may begin this many bytes before the place where a stream is cut
_FIRST = 1024  # bytes of white space after which an answer is taken for no stream
_USAGE = b'"usage"'


def ask_of_stream(
    policy: Policy, admission: Admission, adapter: Adapter | None, received: Received, scope: Scope
) -> Scope | None:
    """Ask a server for the usage of an admitted stream, if something counts by it.

    Args:
        policy: Says whether to ask.
        admission: The call's.
        adapter: Its adapter.
        received: Its body, which is replaced.
        scope: Its scope.

    Returns:
        The scope for the new body; None if nothing was asked, because the client asks itself, or
        nothing needs to know, or it is no stream of a dialect that has the option.
    """
    if (
        not admission.plan.needs_usage
        or policy.streams.usage is not StreamUsage.ASK
        or not getattr(adapter, "has_usage_option", False)
    ):
        return None
    body = decoded(scope, received.body, policy.body.limit)
    if body is None:
        return None
    asking = ask_for_usage(body)
    if asking is body:
        return None
    received.replace(asking)
    asked = rewritten(scope, len(asking))
    # The event can only be taken out of a stream that is not compressed.
    asked["headers"] = [pair for pair in asked["headers"] if pair[0] != b"accept-encoding"]
    return asked


class WithoutUsageEvent:
    """Passes a stream on without the event that only reports usage, however its bytes are cut.

    All other bytes stay as they are. It holds back an unfinished event, which no client could read
    yet, and nothing of an answer that is no stream of events.
    """

    __slots__ = ("_held", "_passes", "_sure")

    def __init__(self) -> None:
        self._held = bytearray()
        self._passes = False  # no stream of events
        self._sure = False  # a stream of events

    def start(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Take the answer's headers; return those to pass on.

        A stream becomes shorter, so it has no ``content-length``. An answer with one that is no
        stream by its type, or is compressed, is passed on.
        """
        kind = b"".join(value for name, value in headers if name.lower() == b"content-type")
        names = {name.lower() for name, _ in headers}
        if b"content-encoding" in names:
            self._passes = True
        elif b"content-length" in names:
            if b"text/event-stream" not in kind.lower():
                self._passes = True
            else:
                return [pair for pair in headers if pair[0].lower() != b"content-length"]
        return headers

    def sending(self, send: Send) -> Send:
        """Return what sends an answer's messages by `send`, without the event."""

        def send_without(message: Message) -> Awaitable[None]:
            if message["type"] != "http.response.body":
                return send(message)
            left = self.pass_on(message)
            return _nothing() if left is None else send(left)

        return send_without

    def pass_on(self, message: Message) -> Message | None:
        """Return a message of the answer's body as it is passed on; None for none."""
        chunk: bytes = message.get("body", b"")
        if self._sure and not self._held and chunk.endswith(b"\n\n") and _USAGE not in chunk:
            return message  # whole events, as servers send them
        more = bool(message.get("more_body"))
        kept = self._kept(chunk)
        if not more and self._held:
            kept += self._rest()
        if kept == chunk:
            return message
        return {**message, "body": kept} if kept or not more else None

    def _kept(self, chunk: bytes) -> bytes:
        if self._passes:
            return chunk
        before = len(self._held)
        self._held += chunk
        if not self._sure:
            form, _ = form_of(bytes(self._held), labelled=False)
            if form is None and len(self._held) <= _FIRST:
                return b""
            self._sure = form is Form.EVENTS
            if form is not Form.EVENTS:
                self._passes = True
                return self._flush()
        kept = self._whole_events(max(0, before - _OVERLAP))
        return kept + self._flush() if len(self._held) > HELD else kept

    def _whole_events(self, start: int) -> bytes:
        """Take out the events that have ended; return those to pass on."""
        kept, begin = bytearray(), 0
        cut = len(self._held) if self._held.endswith(_CUT) else -1
        for end in _END.finditer(self._held, start):
            if end.end() == cut:
                break
            event = bytes(self._held[begin : end.end()])
            if not _reports_usage(event):
                kept += event
            begin = end.end()
        del self._held[:begin]
        return bytes(kept)

    def _rest(self) -> bytes:
        """Take out what is held at the end of the answer."""
        rest = self._flush()
        return b"" if _reports_usage(rest) else rest

    def _flush(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held


async def _nothing() -> None:
    """Send nothing."""


def _reports_usage(event: bytes) -> bool:
    if _USAGE not in event:
        return False
    stream = EventStream()
    return any(is_usage_event(data) for data in (*stream.feed(event), *stream.end()))
