"""The target and the header fields that are sent on to the next connection (RFC 9110, 7.6).

Fields that belong to one connection are not sent on. The ``Connection`` field of an answer may name
more of them. That of a request may not: budgets may have been found by the fields that it names,
and the server would not see who is charged. The path is sent on as it was received for the same
reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote, unquote_to_bytes

from querybudget.asgi.types import Scope
from querybudget.identity.networks import Networks

Header = tuple[bytes, bytes]

PSEUDONYM = b"querybudget"
"""This proxy's name in ``Via``."""

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

_ABOUT_THE_BODY = frozenset({b"content-encoding", b"content-length", b"content-type", b"range"})
"""Fields of an answer that ``Connection`` cannot take away: the meter has read it by them."""

_FORWARDED = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)
_X_FORWARDED = b"x-forwarded-"
"""Others begin so too, such as the prefix of the path or the user that a login proxy has found."""

_NO_BODY = frozenset({204, 304})

_NO_TARGET = re.compile(rb"[^!-~]|#")
"""What no target holds (RFC 9112, section 3.2). Some servers drop what follows a ``#``, and would
answer another path than the one whose budgets were found."""


def target_of(scope: Scope, prefix: bytes = b"") -> bytes | None:
    """Return the target to ask a server for, as it was received.

    Args:
        scope: The request's.
        prefix: Path that is put before it.

    Returns:
        Path and query. None if they cannot be sent on as they are, or might lead out of `prefix`.
    """
    path: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    path = path.partition(b"?")[0]
    query: bytes = scope.get("query_string", b"")
    if path == b"*" and scope.get("method") == "OPTIONS" and not prefix:
        return path
    target = prefix + path + b"?" + query if query else prefix + path
    if not path.startswith(b"/") or _NO_TARGET.search(target):
        return None
    return None if prefix and _leads_out(path) else target


def _leads_out(path: bytes) -> bool:
    for _ in range(2):  # some servers decode twice
        if b".." in path.replace(b"\\", b"/").replace(b";", b"/").split(b"/"):
            return True
        path = unquote_to_bytes(path)
    return b".." in path.replace(b"\\", b"/").replace(b";", b"/").split(b"/")


def request_headers(
    scope: Scope, host: bytes, trusted: Networks, drop: Callable[[bytes], bool] | None = None
) -> list[Header]:
    """Return the header fields to send to a server.

    Args:
        scope: The request's.
        host: For ``Host``; empty for the caller's own.
        trusted: Networks whose ``X-Forwarded-*`` are believed.
        drop: Returns True for the names of further fields to leave out.
    """
    received: list[Header] = [(name.lower(), value) for name, value in scope["headers"]]
    chunked = any(name == b"transfer-encoding" for name, _ in received)
    believed = bool(trusted) and trusted.trusts_peer(scope)
    kept: list[Header] = []
    for name, value in received:
        plain = name.replace(b"_", b"-")  # CGI and its kind take both for the same
        if plain in _HOP_BY_HOP or plain in _FORWARDED or plain in {b"host", b"expect", b"via"}:
            continue
        if plain.startswith(_X_FORWARDED) and not believed:
            continue
        if plain != name and plain in _ABOUT_THE_BODY:
            continue
        if (chunked and name == b"content-length") or (drop is not None and drop(name)):
            continue
        kept.append((name, value))
    if chunked:
        kept.append((b"transfer-encoding", b"chunked"))
    asked = _value(received, b"host")
    version = str(scope.get("http_version", "1.1")).encode("latin-1")
    vias = [*_values(received, b"via"), version + b" " + PSEUDONYM]
    first = (b"host", host or asked)
    return [
        first,
        *kept,
        (b"via", b", ".join(vias)),
        *_forwarded(scope, received, asked, believed=believed),
    ]


def answer_headers(status: int, received: Sequence[Header], date: bytes = b"") -> list[Header]:
    """Return the header fields of an answer to send to the caller.

    Args:
        status: The answer's.
        received: Its fields, as the server sent them.
        date: For ``Date``, if the server sent none.
    """
    lowered = [(name.lower(), value) for name, value in received]
    hops = _hops(lowered) - _ABOUT_THE_BODY
    sized = status not in _NO_BODY and not any(n == b"transfer-encoding" for n, _ in lowered)
    kept = [
        (name, value)
        for name, value in lowered
        if name not in hops and (sized or name != b"content-length")
    ]
    if date and not any(name == b"date" for name, _ in kept):
        kept.append((b"date", date))
    return kept


def _hops(headers: Iterable[Header]) -> frozenset[bytes]:
    """Return the names of fields that belong to one connection."""
    named = {
        option.strip().lower()
        for name, value in headers
        if name == b"connection"
        for option in value.split(b",")
    }
    return _HOP_BY_HOP | named if named else _HOP_BY_HOP


def _forwarded(
    scope: Scope, received: Sequence[Header], host: bytes, *, believed: bool
) -> list[Header]:
    """Say who asked, for what host, and how: once more if a trusted proxy has said so before."""
    client = scope.get("client")
    peer = str(client[0]).encode("latin-1", "replace") if client and client[0] else b"unknown"
    scheme = {"wss": b"https", "https": b"https"}.get(scope.get("scheme", ""), b"http")
    if not believed:
        said = [(b"x-forwarded-for", peer), (b"x-forwarded-proto", scheme)]
        return [*said, (b"x-forwarded-host", host)] if host else said
    fors = [*_values(received, b"x-forwarded-for"), peer]
    added = [(b"x-forwarded-for", b", ".join(fors))]
    for name, value in ((b"x-forwarded-proto", scheme), (b"x-forwarded-host", host)):
        if value := _value(received, name) or value:
            added.append((name, value))
    added += [pair for pair in received if pair[0] in {b"x-forwarded-port", b"x-real-ip"}]
    if elements := _values(received, b"forwarded"):
        node = b'"[' + peer + b']"' if b":" in peer else peer
        elements = [*elements, b"for=" + node + b";proto=" + scheme]
        added.append((b"forwarded", b", ".join(elements)))
    return added


def _values(headers: Iterable[Header], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _value(headers: Iterable[Header], name: bytes) -> bytes:
    return next((value for key, value in headers if key == name), b"")
