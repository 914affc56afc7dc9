"""Names and their hashes: what a resolver answers, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from querybudget.errors import SetupError

__all__ = [
    "ANONYMOUS",
    "CONTRADICTORY",
    "Identity",
    "KeyedHash",
    "Resolver",
    "Scope",
    "identify",
]

Scope = Mapping[str, Any]
"""An ASGI connection scope (``http`` or ``websocket``)."""

Resolver = Callable[[Scope], str | None]
"""The caller's name as one link of the chain knows it; None where it knows nothing.

A name is raw: a key, an account, an address. It lives as long as the request does, and only its
keyed hash is kept. `CONTRADICTORY` says that the caller named itself twice, differently.
"""

ANONYMOUS = "anonymous"
"""Key and source of the identity that all callers share whom no resolver knows."""

CONTRADICTORY = ""
"""The name of a caller that gave two different ones. It ends the chain at `ANONYMOUS`: were the
next link asked, a caller could choose its budget by adding a header."""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Who is charged.

    Attributes:
        key: 32 hexadecimal digits, a keyed hash of the caller's name; or ``anonymous``.
        source: The link of the chain that knew the caller: a resolver's kind, with the name of
            the header or the claim where it has one (``header:x-end-user``); or ``anonymous``.
    """

    key: str
    source: str


_NOBODY = Identity(ANONYMOUS, ANONYMOUS)


class KeyedHash:
    """Names to pseudonyms: BLAKE2b (RFC 7693) under a secret, 128 bits, one domain for each kind.

    The same secret gives the same pseudonyms in every process; without the secret, a pseudonym
    can be neither made nor reversed by trying names.

    Args:
        secret: Any number of bytes, but at least one. Make it 16 random ones or more.

    Raises:
        SetupError: The secret is empty.
    """

    __slots__ = ("_key", "_started")

    def __init__(self, secret: bytes) -> None:
        if not secret:
            raise SetupError(
                "identities are hashed under a secret, and this one is empty: set `secret` in the"
                " policy, or pass random bytes"
            )
        self._key = blake2b(secret).digest()
        self._started: dict[str, blake2b] = {}

    def __call__(self, kind: str, name: str) -> str:
        """The pseudonym of a name: 32 hexadecimal digits.

        Args:
            kind: What sort of name it is (``api_key``, a partition's name); a few, from the
                policy. The same name under two kinds has unrelated pseudonyms.
            name: The raw name, of any length.
        """
        state = (self._started.get(kind) or self._start(kind)).copy()
        state.update(name.encode("utf-8", "surrogatepass"))
        return state.hexdigest()

    def __repr__(self) -> str:
        return "KeyedHash(...)"

    def _start(self, kind: str) -> blake2b:
        domain = kind.encode("utf-8", "surrogatepass")
        started = blake2b(
            len(domain).to_bytes(8) + domain, digest_size=16, key=self._key, person=b"querybudget"
        )
        self._started[kind] = started
        return started


def identify(
    links: Sequence[tuple[str, Resolver]], hashed: Callable[[str, str], str], scope: Scope
) -> Identity:
    """Ask each link in turn; the first that knows the caller wins.

    Args:
        links: Source and resolver, as `chain` makes them.
        hashed: Source and name to a pseudonym; a `KeyedHash`.
        scope: The request's scope.

    Returns:
        The caller's identity; the anonymous one where no link knows it, or where one finds that
        it contradicts itself.
    """
    for source, resolve in links:
        name = resolve(scope)
        if name is None:
            continue
        return Identity(hashed(source, name), source) if name else _NOBODY
    return _NOBODY
