"""Callers and their pseudonyms: what a resolver returns, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from querybudget.errors import SetupError

Scope = Mapping[str, Any]
"""An ASGI connection scope (``http`` or ``websocket``)."""

Resolver = Callable[[Scope], str | None]
"""Returns the caller's name, or None if the scope does not say it.

A name is raw: a key, an account, an address. It is dropped at the end of the request, and only its
keyed hash is kept. `CONTRADICTORY` means that the caller gave two different names.
"""

ANONYMOUS = "anonymous"
"""Key and source of the identity that all unidentified callers share."""

CONTRADICTORY = ""
"""The name of a caller that gave two different ones. It ends the chain at `ANONYMOUS`: otherwise a
caller could fall through to the next link by adding a header."""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The caller that is charged.

    Attributes:
        key: A keyed hash of the caller's name, 32 hexadecimal digits; or ``anonymous``.
        source: The link of the chain that identified the caller: a resolver's kind, followed by the
            name of its header or claim if it has one (``header:x-end-user``); or ``anonymous``.
    """

    key: str
    source: str


_ANONYMOUS = Identity(ANONYMOUS, ANONYMOUS)


class KeyedHash:
    """Turns names into pseudonyms: 128 bits of keyed BLAKE2b (RFC 7693), one domain for each kind.

    The same secret gives the same pseudonyms in every process. Without the secret, a
    pseudonym can neither be made, nor reversed by trying names.

    Args:
        secret: At least one byte; use 16 random bytes or more.

    Raises:
        SetupError: The secret is empty.
    """

    __slots__ = ("_key", "_started")

    def __init__(self, secret: bytes) -> None:
        if not secret:
            raise SetupError(
                "expected a secret to hash identities with, found an empty one: set `secret` in the"
                " policy, or pass random bytes"
            )
        self._key = blake2b(secret).digest()
        self._started: dict[str, blake2b] = {}

    def __call__(self, kind: str, name: str) -> str:
        """Return the pseudonym of a name: 32 hexadecimal digits.

        Args:
            kind: The kind of name (``api_key``, a partition's name). A policy has few, and each is
                kept. The same name has unrelated pseudonyms under two kinds.
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
    """Identify the caller by the first link that returns a name.

    Args:
        links: Pairs of source and resolver, as `chain` makes them.
        hashed: Source and name to a pseudonym; a `KeyedHash`.
        scope: The request's scope.

    Returns:
        The caller's identity. It is the anonymous one if no link returns a name, or if the caller
        contradicts itself.
    """
    for source, resolve in links:
        name = resolve(scope)
        if name is None:
            continue
        return Identity(hashed(source, name), source) if name else _ANONYMOUS
    return _ANONYMOUS
