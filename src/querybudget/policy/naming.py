"""Callers as an operator names them, and what a policy says of them by name."""

from __future__ import annotations

from msgspec import Struct

from querybudget.overrides import Override

RESOLVERS = {"address": "client_address"}
"""The kinds of `CallerName` whose `ResolverSpec` has another kind."""


class CallerName(Struct, frozen=True):
    """A caller, or a pool, by something that an operator has.

    Attributes:
        kind: ``user``, ``api_key``, ``header``, ``claim``, ``address``, ``partition``, or
            ``account`` for a part of an account's key.
        value: Its name, as it is sent; it may be a secret, so no `repr` shows it.
        name: Of the header (lower case), the claim or the partition; empty otherwise.
    """

    kind: str
    value: str
    name: str = ""

    def __repr__(self) -> str:
        return f"CallerName({self.kind!r}, ..., {self.name!r})"


class NamedOverride(Struct, frozen=True):
    """An override of a caller that is not hashed yet.

    Attributes:
        who: The caller.
        override: What changes; its account is empty.
    """

    who: CallerName
    override: Override


class OverrideSource(Struct, frozen=True):
    """Where more overrides are read while the server runs.

    Attributes:
        target: Path of a file, or ``package.module:function``.
        called: Whether it is a function.
        refresh: µs after which it is called again. A file is read when it has changed.
    """

    target: str
    called: bool
    refresh: int
