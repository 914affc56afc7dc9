"""A minimal client of Redis and Valkey for tests: one command in RESP2."""

from __future__ import annotations

import socket
from typing import IO, Any

__all__ = ["ReplyError", "call"]

TIMEOUT = 10


class ReplyError(RuntimeError):
    """The server answered with an error, which is the message."""


def call(address: tuple[str, int], *words: str | bytes | float) -> Any:
    """Send one command on a new connection.

    Returns:
        str, int, None, or a list of them. Bytes that are no UTF-8 are kept as surrogates, so that
        they can be sent again as they were.

    Raises:
        ReplyError: The server answered with an error.
        OSError: It could not be reached, or did not answer in time.
    """
    with socket.create_connection(address, TIMEOUT) as connection:
        connection.sendall(_packed(words))
        with connection.makefile("rb") as stream:
            reply = _parsed(stream)
    if isinstance(reply, ReplyError):
        raise reply
    return reply


def _packed(words: tuple[str | bytes | float, ...]) -> bytes:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode(errors="surrogateescape")
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def _parsed(stream: IO[bytes]) -> Any:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection before its answer ended")
    kind, rest = line[:1], line[1:-2].decode(errors="surrogateescape")
    match kind:
        case b"+":
            return rest
        case b"-":
            return ReplyError(rest)
        case b":":
            return int(rest)
        case b"$":
            return None if rest == "-1" else _bulk(stream, int(rest))
        case b"*":
            return None if rest == "-1" else [_parsed(stream) for _ in range(int(rest))]
        case _:
            raise ConnectionError(f"expected RESP2, found {line!r}")


def _bulk(stream: IO[bytes], length: int) -> str:
    return stream.read(length + 2)[:-2].decode(errors="surrogateescape")
