"""Request bodies: read once, within a limit, and passed on exactly as they arrived."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence

from querybudget.adapters.base import Meter
from querybudget.asgi.types import Message, Receive, Scope

_BODY_HEADERS = frozenset(
    {
        b"content-digest",
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"digest",
        b"repr-digest",
        b"transfer-encoding",
    }
)
"""Headers that describe a body as it was sent, and are wrong for another one."""

_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 47}
_DIGITS = 18  # a longer Content-Length exceeds any limit


class BodyTooLarge(Exception):  # noqa: N818 - a condition the edge answers, not an error of ours
    """A body exceeds the limit, as sent or decompressed."""


class Received:
    """What has been received of a request: its messages, and the body in them.

    Attributes:
        body: The whole body, as sent.
        gone: Whether the client disconnected before the body's end.
    """

    __slots__ = ("_messages", "_next", "_receive", "body", "gone")

    def __init__(self, messages: Sequence[Message], body: bytes, receive: Receive) -> None:
        self._messages = messages
        self._next = 0
        self._receive = receive
        self.body = body
        self.gone = bool(messages) and messages[-1]["type"] == "http.disconnect"

    async def replay(self) -> Message:
        """ASGI's `receive`: return the messages read so far, then receive further ones."""
        if self._next < len(self._messages):
            self._next += 1
            return self._messages[self._next - 1]
        return await self._receive()

    async def listen(self) -> bool:
        """Wait for the client's next message and keep it for `replay`.

        Returns:
            True if the client has disconnected.
        """
        message = await self._receive()
        self._messages = (*self._messages, message)
        return bool(message["type"] == "http.disconnect")

    def replace(self, body: bytes) -> None:
        """Pass on another body instead of the one received."""
        others = (m for m in self._messages if m["type"] != "http.request")
        self._messages = ({"type": "http.request", "body": body, "more_body": False}, *others)
        self.body = body


def rewritten(scope: Scope, size: int) -> Scope:
    """Return a copy of a request's scope for another, uncompressed body of `size` bytes."""
    headers = [pair for pair in scope["headers"] if pair[0].lower() not in _BODY_HEADERS]
    headers.append((b"content-length", b"%d" % size))
    return {**scope, "headers": headers}


async def read(scope: Scope, receive: Receive, limit: int) -> Received:
    """Read a request's body to its end.

    Raises:
        BodyTooLarge: The body has more than `limit` bytes, or its headers say so.
    """
    declared = _header(scope, b"content-length")
    if declared.isdigit() and (len(declared) > _DIGITS or int(declared) > limit):
        raise BodyTooLarge
    message = await receive()
    if not message.get("more_body"):
        body = message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLarge
        return Received((message,), body, receive)
    messages, size = [message], len(message.get("body", b""))
    while message.get("more_body"):
        if size > limit:
            raise BodyTooLarge
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
    if size > limit:
        raise BodyTooLarge
    return Received(messages, b"".join(m.get("body", b"") for m in messages), receive)


def inflate(scope: Scope, body: bytes, limit: int) -> bytes:
    """Return a request body decompressed.

    Returns:
        The decompressed body; the body itself if the encoding is unknown or the data is damaged.

    Raises:
        BodyTooLarge: The result would have more than `limit` bytes.
    """
    bits = _WINDOW_BITS.get(_header(scope, b"content-encoding").strip().lower())
    if bits is None:
        return body
    plain, rest = b"", body
    while rest:  # RFC 1952: gzip data may have several members.
        inflater = zlib.decompressobj(bits)
        try:
            plain += inflater.decompress(rest, limit + 1 - len(plain))
        except zlib.error:
            return plain or body
        if len(plain) > limit:
            raise BodyTooLarge
        rest = inflater.unused_data
    return plain


class Inflate:
    """Decompresses an answer chunk by chunk, for its meter only."""

    def __init__(self, encoding: bytes, meter: Meter) -> None:
        self._inflater = zlib.decompressobj(_WINDOW_BITS[encoding.strip().lower()])
        self._meter = meter

    @staticmethod
    def takes(encoding: bytes) -> bool:
        """Return True if this Content-Encoding can be decompressed."""
        return encoding.strip().lower() in _WINDOW_BITS

    def feed(self, chunk: bytes) -> None:
        """Meter what a chunk decompresses to; nothing once the data is damaged."""
        with contextlib.suppress(zlib.error):
            self._meter.feed(self._inflater.decompress(chunk))


def _header(scope: Scope, name: bytes) -> bytes:
    """Return a request header's first value; empty if it is missing."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""
