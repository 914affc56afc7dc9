"""Request bodies: read once, within a bound, and handed on exactly as they came."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from querybudget.asgi.types import Message, Receive, Scope

__all__ = ["BodyTooLarge", "Inflate", "Received", "header", "inflate", "read", "rewritten"]

_OF_THE_BODY = frozenset(
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
"""Headers that say how a body came, and are wrong of another."""

_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 47}


class BodyTooLarge(Exception):  # noqa: N818 - a condition the edge answers, not an error of ours
    """A body passes the bound, as it came or once decompressed."""


class Received:
    """What has been received of a request: the messages as they came, and their body.

    Attributes:
        body: The whole body, as sent.
        gone: Whether the client hung up before the body's end.
    """

    __slots__ = ("_messages", "_next", "_receive", "body", "gone")

    def __init__(self, messages: Sequence[Message], body: bytes, receive: Receive) -> None:
        self._messages = messages
        self._next = 0
        self._receive = receive
        self.body = body
        self.gone = bool(messages) and messages[-1]["type"] == "http.disconnect"

    async def replay(self) -> Message:
        """ASGI's `receive`: first what was read, then whatever really comes."""
        if self._next < len(self._messages):
            self._next += 1
            return self._messages[self._next - 1]
        return await self._receive()

    async def listen(self) -> bool:
        """Wait for the client's next message, and keep it for `replay`.

        Returns:
            Whether it was that the client has hung up.
        """
        message = await self._receive()
        self._messages = (*self._messages, message)
        return bool(message["type"] == "http.disconnect")

    def replace(self, body: bytes) -> None:
        """Hand on another body than the one received."""
        later = (m for m in self._messages if m["type"] != "http.request")
        self._messages = ({"type": "http.request", "body": body, "more_body": False}, *later)
        self.body = body


def rewritten(scope: Scope, size: int) -> Scope:
    """The scope of a request whose body was replaced by a plain one; the given one stays as it is.

    Args:
        scope: Of the request.
        size: Bytes of the new body.
    """
    headers = [pair for pair in scope["headers"] if pair[0].lower() not in _OF_THE_BODY]
    headers.append((b"content-length", b"%d" % size))
    return {**scope, "headers": headers}


async def read(scope: Scope, receive: Receive, limit: int) -> Received:
    """Read a request's body to its end.

    Args:
        scope: Its headers may say beforehand that the body is too large.
        receive: ASGI's.
        limit: Bytes at most.

    Raises:
        BodyTooLarge: The body is larger than `limit`.
    """
    declared = header(scope, b"content-length")
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


def inflate(body: bytes, encoding: bytes, limit: int) -> bytes:
    """A request body as it was before compression.

    Args:
        body: As sent.
        encoding: Its Content-Encoding.
        limit: Bytes at most, once decompressed.

    Returns:
        The body decompressed; unchanged where the encoding is none we know or the data is damaged.

    Raises:
        BodyTooLarge: It would be larger than `limit`.
    """
    bits = _WINDOW_BITS.get(encoding.strip().lower())
    if bits is None:
        return body
    plain, rest = b"", body
    while rest:  # RFC 1952: a gzip body may be several, one after the other.
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
    """Decompresses an answer chunk by chunk, for the meter alone."""

    def __init__(self, encoding: bytes) -> None:
        self._inflater = zlib.decompressobj(_WINDOW_BITS[encoding.strip().lower()])

    @staticmethod
    def takes(encoding: bytes) -> bool:
        """Whether this Content-Encoding can be read."""
        return encoding.strip().lower() in _WINDOW_BITS

    def feed(self, chunk: bytes) -> bytes:
        """The plain bytes that a chunk completes; nothing once the data is damaged."""
        try:
            return self._inflater.decompress(chunk)
        except zlib.error:
            return b""


def header(scope: Scope, name: bytes) -> bytes:
    """A request header's first value; empty where there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


_DIGITS = 18
