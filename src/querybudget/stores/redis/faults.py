"""What a server's errors mean: whether it may answer later, or never as it is set up."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import TypeAlias

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    ClusterCrossSlotError,
    InvalidResponse,
    NoPermissionError,
    ReadOnlyError,
    ResponseError,
)

from querybudget.errors import StoreError, UnusableStoreError

_REFUSED = "check the user and password in the URL, in which / is written %2F and @ is written %40"
_LOCKED = "the server wants a password, as in redis://:password@host"
_OPEN = "the server has no password: leave it out of the URL"
_NODE = "the server is a node of a cluster: expected redis+cluster:// before its address"
_NO_CLUSTER = "the server is no cluster: expected redis:// before its address"
_PERMISSIONS = (
    "let the user run what the page on stores lists under Permissions, on keys with the prefix"
)
_OLD = "expected Redis 5 or newer"

Kinds: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]

_ONE_SERVER: tuple[tuple[Kinds, str], ...] = (
    ((ClusterCrossSlotError, AskError), _NODE),  # AskError includes MovedError
    (
        ReadOnlyError,
        "the server is a read-only replica: name its master, or its sentinels by redis+sentinel://",
    ),
)
"""What only a server alone says: in a cluster, or behind sentinels, it says so for a moment."""

_BY_TYPE: tuple[tuple[Kinds, str], ...] = (
    (NoPermissionError, _PERMISSIONS),
    (
        AuthenticationWrongNumberOfArgsError,
        "the server is older than 6 and knows no users: leave the user out of the URL",
    ),
    (InvalidResponse, "no Redis or Valkey answers there: check host and port"),
)
_BY_WORDS = (
    ("without any password configured", _OPEN),
    ("no password is set", _OPEN),
    ("authentication required", _LOCKED),
    ("client already authenticated", _LOCKED),
    ("user executing the script", _PERMISSIONS),
    ("running in protected mode", "it takes no other hosts without a password: set one"),
    ("db index", "expected the number of a database that the server has"),
    ("not allowed in cluster mode", _NODE),
    ("cluster mode is not enabled", _NO_CLUSTER),
    ("cluster support disabled", _NO_CLUSTER),
    ("unknown command", f"the server lacks a command that the store needs: {_OLD}"),
    ("after non deterministic commands", f"its scripts cannot read the time and write: {_OLD}"),
    (
        "wrong kind of value",
        "another program has keys with this prefix: set another `prefix` under `store`",
    ),
)
_BY_CAUSE: tuple[tuple[Kinds, str], ...] = (
    ((AuthenticationError, AuthorizationError), _REFUSED),
    (ssl.SSLError, "check `ssl_ca_certs` and the name of the host, and that the server speaks TLS"),
    (PermissionError, "this process's user may not use the socket file that the URL names"),
)


class UnansweredError(StoreError):
    """It is unknown whether a request was carried out."""


def store_error(error: BaseException, *, alone: bool = True) -> StoreError:
    """Return what a client's error is raised as.

    Args:
        error: The client's.
        alone: Whether the server is neither in a cluster nor behind sentinels.
    """
    if isinstance(error, StoreError):
        return error
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    advice = _advice(error, alone=alone)
    if advice:
        return UnusableStoreError(f"the server refused: {message.rstrip('.')}; {advice}")
    if isinstance(error, ResponseError):
        return StoreError(f"the server refused: {message}")
    return UnansweredError(f"the server did not answer: {message}")


def _advice(error: BaseException, *, alone: bool) -> str:
    """Return what to do about an error that will not go away; empty if it may."""
    for kinds, advice in (*_ONE_SERVER, *_BY_TYPE) if alone else _BY_TYPE:
        if isinstance(error, kinds):
            return advice
    words = str(error).lower()
    for part, advice in _BY_WORDS:
        if part in words:
            return advice
    causes = list(_causes(error))
    for kinds, advice in _BY_CAUSE:
        if any(isinstance(cause, kinds) for cause in causes):
            return advice
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it: a client raises its own for those of a socket."""
    for _ in range(5):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
