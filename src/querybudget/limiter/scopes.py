"""What an ASGI scope says of a request, and the scope of a call that did not come over ASGI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from querybudget.adapters.base import Target
from querybudget.identity.networks import parse_address
from querybudget.paths import is_plain, readings

_METHODS = frozenset(
    "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY".split()  # noqa: SIM905
)

WEBSOCKET = "WEBSOCKET"
"""The method of WebSocket scopes, in policies and events."""


def request_scope(
    path: str,
    *,
    method: str = "POST",
    headers: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]] = (),
    client: str = "",
    **more: Any,  # noqa: ANN401 - what resolvers read: `user`, `state`
) -> dict[str, Any]:
    """Return the scope of a call that came over gRPC, from a queue or in a batch.

    Args:
        path: What the policy matches as the path: ``/v1/chat/completions``, or a gRPC method.
        method: What it matches as the method.
        headers: What `identity` reads: credentials, or metadata that names the caller. Pairs keep
            a name that is sent twice, which a mapping cannot: a caller with two different
            credentials is anonymous.
        client: The caller's address alone, without a port: ``192.0.2.7``, ``2001:db8::7``. Empty if
            it is not known.
        more: Other members that the policy's resolvers read, as ``state={"claims": {...}}``.

    Raises:
        TypeError: A header is neither text nor bytes.
        ValueError: `client` is not an address, or a text is not Unicode.
    """
    if client and parse_address(client) is None:
        raise ValueError(f"`client` must be an IP address without a port, found {client!r}")
    path.encode()  # a lone surrogate would fail in the store
    pairs: Any = headers.items() if isinstance(headers, Mapping) else headers  # pyright: ignore[reportUnknownVariableType] - a mapping may be an iterable of pairs too
    return {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(_bytes(name).lower(), _bytes(value)) for name, value in pairs],
        "client": (client, 0) if client else None,
        **more,
    }


def _bytes(text: object) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    raise TypeError(f"a header must be text or bytes, found {type(text).__name__}")


def method_of(scope: Mapping[str, Any]) -> str:
    """Return the HTTP method of a scope in upper case, or ``WEBSOCKET``.

    Some servers pass a method on as it was sent. One that HTTP does not know is ``POST`` if a body
    may come with it, since whatever serves it may read that body, and otherwise ``OTHER``.
    """
    if scope["type"] == "websocket":
        return WEBSOCKET
    method: str = scope.get("method", "POST")
    if method in _METHODS:
        return method
    method = method.upper()
    if method in _METHODS:
        return method
    return "POST" if _may_have_body(scope) else "OTHER"


def is_preflight(scope: Mapping[str, Any]) -> bool:
    """Return True for a browser's CORS preflight, which asks whether a request may be made.

    An ``OPTIONS`` request of the form that the fetch standard gives it, without a body.
    """
    names = {name for name, _ in scope["headers"]}
    asks = {b"origin", b"access-control-request-method"} <= names
    return asks and scope.get("method", "").upper() == "OPTIONS" and not _announces_body(scope)


def _may_have_body(scope: Mapping[str, Any]) -> bool:
    """Return True if a request's headers announce a body, or need not announce one (HTTP/2)."""
    if not str(scope.get("http_version", "1.1")).startswith("1"):
        return True
    return _announces_body(scope)


def _announces_body(scope: Mapping[str, Any]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 \t"))
        for name, value in scope["headers"]
    )


def path_of(scope: Mapping[str, Any]) -> str:
    """Return the path of a scope without its ``root_path``."""
    path: str = scope["path"]
    return _below(root, path) if (root := scope.get("root_path", "")) else path


def paths_of(scope: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every path that a scope may be routed by; `path_of` comes first.

    These are the readings of the path, and those of the path with the ``root_path`` before it: some
    servers leave it in ``path`` and some do not, and a client sees both as one.
    """
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    if root:
        path = _below(root, path)
    elif is_plain(path):
        return (path,)
    raw: bytes = scope.get("raw_path") or b""
    sent = _below(root, raw.decode("latin-1")) if raw else ""
    found = readings(path, sent)
    root = root.rstrip("/")
    return found + readings(root + path, root + sent if sent else "") if root else found


def _below(root: str, path: str) -> str:
    """Return a path without a root that it begins with."""
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"/", ""}:
        return path[len(root) :]
    return path


def target_of(scope: Mapping[str, Any], path: str, *, texts: bool = True) -> Target:
    """Return where an HTTP scope is sent, of which `path` was matched.

    Args:
        scope: The scope.
        path: The path.
        texts: Whether what the model reads is wanted.
    """
    query: bytes = scope.get("query_string", b"")
    return Target(path, query.decode("latin-1") if query else "", scope["headers"], texts)
