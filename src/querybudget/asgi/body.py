"""Request bodies: read once, within a limit, and passed on exactly as they arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from querybudget.adapters.base import Adapter, Call, Target
from querybudget.adapters.media import may_be_plain
from querybudget.adapters.reading import read_call, unreadable_call
from querybudget.asgi.encodings import (
    RATIO,
    SMALL,
    BombError,
    DamagedError,
    codings_of,
    decoder_for,
)
from querybudget.asgi.types import Message, Receive, Scope

LONG_BODY = 256 * 1024
"""Bytes of a body above which it is read in a thread, so that other requests go on meanwhile."""

MANY_VALUES = 16_384
"""Commas, brackets and braces of a body above which it is read in a thread, too: each may begin a
value, which takes 1 to 3 µs, as long as 100 bytes of text."""

SHORT_BODY = LONG_BODY // RATIO
"""Bytes of a body that is not long, whatever it decodes to."""

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

_DIGITS = 18  # a longer Content-Length exceeds any limit


class BodyTooLarge(Exception):  # noqa: N818 - a condition the edge answers, not an error of ours
    """A body exceeds the limit, as sent or decompressed."""


class Received:
    """What has been received of a request: its body, and what came after it.

    Attributes:
        headers: The last value of each of the request's headers.
        messages: Those that the application has not received yet; the first has the body.
        body: The whole body, as sent; empty once it is passed on.
        gone: Whether the client disconnected before the body's end.
        held: Bytes that an `Intake` counts for it.
        identity: Whose they are.
    """

    __slots__ = ("_receive", "body", "gone", "headers", "held", "identity", "messages")

    def __init__(
        self, message: Message, body: bytes, receive: Receive, headers: Mapping[bytes, bytes]
    ) -> None:
        self.messages = deque((message,))
        self._receive = receive
        self.headers = headers
        self.body = body
        self.gone = message["type"] == "http.disconnect"
        self.held = 0
        self.identity = ""

    async def listen(self) -> bool:
        """Wait for the client's next message and keep it.

        Returns:
            True if the client has disconnected.
        """
        message = await self._receive()
        self.messages.append(message)
        return bool(message["type"] == "http.disconnect")

    def replace(self, body: bytes) -> None:
        """Pass on another body instead of the one received."""
        self.messages[0] = {"type": "http.request", "body": body, "more_body": False}
        self.body = body


def rewritten(scope: Scope, size: int) -> Scope:
    """Return a copy of a request's scope for another, uncompressed body of `size` bytes."""
    headers = [pair for pair in scope["headers"] if pair[0].lower() not in _BODY_HEADERS]
    headers.append((b"content-length", b"%d" % size))
    return {**scope, "headers": headers}


def check_declared(headers: Mapping[bytes, bytes], limit: int) -> None:
    """Check what a request's headers say of the size of its body.

    Raises:
        BodyTooLarge: It has more than `limit` bytes.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and (len(declared) > _DIGITS or int(declared) > limit):
        raise BodyTooLarge


def is_long(scope: Scope, body: bytes) -> bool:
    """Return True if a body is read in a thread: it is long, or may be once it is decoded."""
    size = len(body)
    if size > LONG_BODY or size * RATIO <= LONG_BODY:
        return size > LONG_BODY
    if header(scope, b"content-encoding"):
        return True
    return size > MANY_VALUES and size - len(body.translate(None, b",[{")) > MANY_VALUES


def call_of(adapter: Adapter, target: Target, scope: Scope, body: bytes, limit: int) -> Call:
    """Return what a request asks, from its body as sent.

    A body in a coding that cannot be decoded is unreadable; the application may be able to read it,
    so it counts as what it may become at most.

    Raises:
        BodyTooLarge: The body would have more than `limit` bytes when decompressed.
    """
    plain = decoded(scope, body, limit)
    if plain is None:
        return unreadable_call(adapter.dialect, body, _largest(body, limit))
    return read_call(adapter, target, plain)


def decoded(scope: Scope, body: bytes, limit: int) -> bytes | None:
    """Return a request body without its content codings.

    Data that is damaged is returned as far as it can be decoded, as lenient servers read it; what
    is no compressed data at all as it is, as servers read it that ignore codings.

    Returns:
        The body; None if it is in a coding that cannot be decoded here. None also if it may be JSON
        or a form before it is decoded: servers that decode bodies, and others, read different
        requests.

    Raises:
        BodyTooLarge: The result would have more than `limit` bytes, or is too large for the body's
            own size.
    """
    codings = codings_of(scope["headers"])
    if not codings or not body:
        return body
    decoder = decoder_for(codings)
    if decoder is None:
        return None
    most, pieces, size = _largest(body, limit), list[bytes](), 0
    try:
        for piece in decoder.decode(body):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise BodyTooLarge
    except BombError:
        raise BodyTooLarge from None
    except DamagedError:
        pass
    if not size:
        return body
    return None if may_be_plain(scope["headers"], body) else b"".join(pieces)


def _largest(body: bytes, limit: int) -> int:
    """Return how many bytes a compressed body may become."""
    return min(limit, max(SMALL, RATIO * len(body)))


def header(scope: Scope, name: bytes) -> bytes:
    """Return a request header's first value; empty if it is missing."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""
