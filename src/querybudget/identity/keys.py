"""The key of a request, wherever the server takes it from, and one name for it however it is sent.

A server may take a key from several places and read it in a lenient way. A caller who can state one
key in two ways has two budgets, so whatever is not the one plain way to state a key is
`CONTRADICTORY`. Nothing here says whether a key is a good one.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote_plus

from querybudget.identity.identity import CONTRADICTORY, Resolver, Scope
from querybudget.identity.tokens import canonical_token
from querybudget.policy.carriers import DEFAULT_CARRIERS, Carrier

_BLANK = b" \t"
_KEY = re.compile(rb"[^\x00-\x20\x7f-\xa0,]+")
"""A key has no white space or control character, as Latin-1 and ASCII have them, and no comma: some
servers split there, or strip it."""

_PLAIN_BEARER = re.compile(rb"[Bb]earer ([\x21-\x2b\x2d-\x7e\xa1-\xff]+)")
_SCHEME = re.compile(rb"([^ \t]+)[ \t]+(.+)", re.DOTALL)
_SIGNED = (b"digest", b"negotiate", b"ntlm", b"hawk", b"oauth", b"signature", b"scram-", b"aws4-")
"""Beginnings of schemes that sign each request, so that no part of the header is the caller's."""

LONGEST_QUERY = 16 * 1024
"""Bytes of a query that is read; a longer one contradicts itself."""

_CUT = b"&"

_Read = Callable[[bytes], str | None]
"""The key of a field's value; None if there is none."""


def api_key(carriers: tuple[Carrier, ...] = DEFAULT_CARRIERS, *, first: bool = False) -> Resolver:
    """The key of a request, from the places where the server takes it from.

    The same key in two places is one. Two different ones contradict each other, unless the server's
    order says which of them counts. Repeated with another value in one place they always do.

    Args:
        carriers: The places, in the server's order.
        first: Whether the first place that has a key decides.

    Returns:
        A resolver of keys.
    """
    places = _Places(carriers)
    names, queries, takes_bearer = places.names, places.queries, places.bearer >= 0
    read_plain = _PLAIN_BEARER.fullmatch

    def resolve(scope: Scope) -> str | None:
        fields: list[tuple[bytes, bytes]] = []
        for pair in scope.get("headers", ()):
            if pair[0] in names:
                fields.append(pair)  # noqa: PERF401 - a comprehension takes a call
        query = scope.get("query_string") if queries else b""
        if takes_bearer and len(fields) == 1 and not query:
            field, value = fields[0]
            if field == b"authorization" and (plain := read_plain(value)):  # as most keys are sent
                key = plain[1].decode("latin-1")
                return key if key[0] != "e" else canonical_token(key)
        best, found = -1, None
        for rank, name in places.keys(fields, query or b""):
            if found is None or (first and rank < best):
                best, found = rank, name
            elif name != found and (rank == best or not first):
                if not first:
                    return CONTRADICTORY
                found = CONTRADICTORY
        return found

    return resolve


class _Places:
    """The carriers by where they are in a scope, each with its rank in the server's order."""

    def __init__(self, carriers: tuple[Carrier, ...]) -> None:
        self.headers: dict[bytes, tuple[int, _Read]] = {}
        self.queries: dict[str, int] = {}
        self.cookies: dict[bytes, int] = {}
        self.bearer = self.basic = -1
        self.part = ""
        for rank, carrier in enumerate(carriers):
            name = carrier.name.encode("latin-1", "replace")
            match carrier.kind:
                case "authorization":
                    self.bearer = rank
                case "basic":
                    self.basic, self.part = rank, carrier.name
                case "header":
                    self.headers.setdefault(name.lower(), (rank, _plain))
                case "query":
                    self.queries.setdefault(carrier.name, rank)
                case "cookie":
                    self.cookies.setdefault(name, rank)

    @property
    def names(self) -> frozenset[bytes]:
        """The headers that matter, in lower case."""
        names = {b"authorization", *self.headers}
        return frozenset(names | {b"cookie"} if self.cookies else names)

    def keys(
        self, fields: Iterable[tuple[bytes, bytes]], query: bytes
    ) -> Iterator[tuple[int, str]]:
        """Each key in fields and a query, with the rank of its carrier."""
        for name, value in fields:
            if name == b"authorization":
                yield from self._authorized(value)
            elif name in self.headers:
                rank, read = self.headers[name]
                if (key := read(value)) is not None:
                    yield rank, key
            elif name == b"cookie" and self.cookies:
                yield from self._in_cookies(value)
        if len(query) > LONGEST_QUERY:
            yield min(self.queries.values()), CONTRADICTORY
        elif query:
            yield from self._in_query(query)

    def _authorized(self, value: bytes) -> Iterator[tuple[int, str]]:
        value = value.strip(_BLANK)
        if value[:5].lower() == b"basic" and value[5:6].strip(_BLANK) == b"":
            key, rank = _login(value[5:], self.part), self.basic
            rank = rank if rank >= 0 else self.bearer
        else:
            key, rank = _bearer(value), self.bearer
        if key is not None and rank >= 0:
            yield rank, key

    def _in_query(self, query: bytes) -> Iterator[tuple[int, str]]:
        for pair in query.split(_CUT):
            name, _, value = pair.partition(b"=")
            rank = self.queries.get(_unquoted(name))
            if rank is None:
                continue
            text = _unquoted(value)
            if text:
                packed = text.encode("latin-1", "replace")
                strange = b";" in value or not value.isascii() or packed.decode("latin-1") != text
                yield rank, CONTRADICTORY if strange else _checked(packed)

    def _in_cookies(self, value: bytes) -> Iterator[tuple[int, str]]:
        for pair in value.split(b";"):
            name, _, text = pair.partition(b"=")
            rank = self.cookies.get(name.strip(_BLANK))
            if rank is None:
                continue
            key = text.strip(_BLANK)
            if len(key) > 1 and key[:1] == key[-1:] == b'"':
                key = key[1:-1]
            if key:
                # Some servers decode these: one key would have many spellings.
                escaped = any(mark in key for mark in (b"%", b"\\", b'"'))
                yield rank, CONTRADICTORY if escaped else _checked(key)


def canonical_key(text: str) -> str:
    """Return the name of whoever sends a key; `CONTRADICTORY` if nobody can send it."""
    return _checked(text.encode())


def _checked(key: bytes) -> str:
    return canonical_token(key.decode("latin-1")) if _KEY.fullmatch(key) else CONTRADICTORY


def _plain(value: bytes) -> str | None:
    """The key in a header of its own, with or without a scheme before it."""
    value = value.strip(_BLANK)
    scheme = _SCHEME.fullmatch(value)
    if scheme and scheme[1].lower() == b"bearer":
        value = scheme[2]
    elif value.lower() == b"bearer":
        return None
    return _checked(value) if value else None


def _bearer(value: bytes) -> str | None:
    """The token in ``Authorization``, whatever its scheme: some servers look only at the token."""
    scheme, lower = _SCHEME.fullmatch(value), value.lower()
    if lower.startswith(_SIGNED):
        return None
    if scheme is not None:
        return _checked(scheme[2])
    if not value or lower == b"bearer":
        return None
    return CONTRADICTORY if lower.startswith(b"bearer") else _checked(value)


def _login(encoded: bytes, part: str) -> str | None:
    """The key in a Basic login (RFC 7617).

    If the policy does not say which part is the key, it is known only where the other is empty: for
    a server that ignores the other part, each user name or password would be a new caller.
    """
    encoded = encoded.strip(_BLANK)
    if not encoded:
        return None
    try:
        login = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        return CONTRADICTORY
    text = _decoded(login)
    user, colon, password = text.partition(":")
    if not colon:
        return CONTRADICTORY if login else None
    if part == "pair":
        return text if user or password else None
    key = {"password": password, "user": user}.get(part)
    if key is None:
        if user and password:
            return CONTRADICTORY
        key = user or password
    return _checked(key.encode("latin-1", "replace")) if key else None


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _unquoted(text: bytes) -> str:
    return unquote_plus(text.decode("latin-1"))
