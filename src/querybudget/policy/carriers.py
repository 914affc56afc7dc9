"""Where a server takes its callers' keys from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from querybudget.policy.fields import doc

Kind = Literal["authorization", "basic", "header", "query", "cookie"]
BasicPart = Literal["password", "user", "pair"]

_QUERY = "?"


class Carrier(Struct, frozen=True):
    """One place where a key may be.

    Attributes:
        kind: ``authorization`` is a token in that header, with or without a scheme. ``basic`` is a
            login there (RFC 7617).
        name: The header's in lower case, the query's or the cookie's; for ``basic`` the part that
            is the key: ``password``, ``user`` or ``pair``. Empty for ``authorization``.
    """

    kind: Kind
    name: str = ""


class CarrierFile(Struct, frozen=True):
    """One place where a key may be; a name alone is a header."""

    header: Annotated[str, doc("A header's name; `authorization` with any scheme.")] | None = None
    basic: (
        Annotated[BasicPart, doc("Which part of a Basic login is the key; `pair` for both.")] | None
    ) = None
    query: Annotated[str, doc("A query parameter's name.")] | None = None
    cookie: Annotated[str, doc("A cookie's name.")] | None = None


CarrierItem = Annotated[
    CarrierFile,
    Meta(
        extra={
            "short": "header",
            "one": True,
            "expected": "a header such as `x-api-key`, or `{query: key}`",
        }
    ),
]

DEFAULT_CARRIERS = (
    Carrier("authorization"),
    *(Carrier("header", name) for name in ("x-api-key", "api-key")),
    *(Carrier("header", name) for name in ("x-litellm-api-key", "x-goog-api-key")),
    *(Carrier("query", name) for name in ("key", "api_key", "access_token")),
    Carrier("cookie", "token"),
)
"""Where some server or other takes keys from. If two of them state different keys, nobody but the
server knows which one counts."""


def carrier_of(word: str) -> Carrier:
    """Return the carrier that one word names: a header, or ``?key`` for a query parameter."""
    if word.startswith(_QUERY):
        return Carrier("query", word.removeprefix(_QUERY))
    name = word.lower()
    return Carrier("authorization") if name == "authorization" else Carrier("header", name)


def shown(carriers: Sequence[Carrier]) -> str:
    """Return carriers for people: ``authorization, x-api-key, query key``."""
    return ", ".join(
        carrier.name if carrier.kind == "header" else f"{carrier.kind} {carrier.name}".strip()
        for carrier in carriers
    )
