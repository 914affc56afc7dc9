"""What is sent on from one connection to the next: targets and header fields (RFC 9110, 7.6).

Pure. Fields that belong to one connection stay there, also those that ``Connection`` names. The
path is sent on as it was received, because the budgets were found by it.
"""

from __future__ import annotations

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

_ABOUT_THE_BODY = frozenset(
    {b"content-encoding", b"content-length", b"content-type", b"host", b"range"}
)
"""Fields that ``Connection`` cannot take away: budgets were found by what they say."""

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
_NO_BODY = frozenset({204, 304})


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
    if not path.startswith(b"/") or not all(0x21 <= byte <= 0x7E for byte in target):  # noqa: PLR2004 - what a target may hold
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
        drop: Returns True for the names of fields to leave out besides.
    """
    received: list[Header] = [(name.lower(), value) for name, value in scope["headers"]]
    hops = _hops(received) - _ABOUT_THE_BODY
    chunked = any(name == b"transfer-encoding" for name, _ in received)
    kept: list[Header] = []
    for name, value in received:
        if name in hops or name in _FORWARDED or name in {b"host", b"expect", b"via"}:
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
    return [first, *kept, (b"via", b", ".join(vias)), *_forwarded(scope, received, asked, trusted)]


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
    scope: Scope, received: Sequence[Header], host: bytes, trusted: Networks
) -> list[Header]:
    """Say who asked, for what host, and how: once more if a trusted proxy has said so before."""
    client = scope.get("client")
    peer = str(client[0]).encode("latin-1", "replace") if client and client[0] else b"unknown"
    scheme = {"wss": b"https", "https": b"https"}.get(scope.get("scheme", ""), b"http")
    if not trusted or not trusted.trusts_peer(scope):
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
