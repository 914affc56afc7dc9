"""From the policy's words to resolvers."""

from __future__ import annotations

from collections.abc import Iterable

from querybudget.errors import SetupError
from querybudget.identity.claims import claim, user
from querybudget.identity.client_address import client_address
from querybudget.identity.credentials import api_key, header
from querybudget.identity.identity import Resolver
from querybudget.policy.model import ResolverSpec
from querybudget.text import listed, nearest

__all__ = ["chain", "resolver", "source_of"]

_KINDS = ("user", "api_key", "header", "claim", "client_address")


def resolver(spec: ResolverSpec) -> Resolver:
    """The resolver that a policy asks for.

    Raises:
        SetupError: There is no such kind.
        ValueError: A network among the trusted proxies cannot be read.
    """
    match spec.kind:
        case "user":
            return user()
        case "api_key":
            return api_key()
        case "header":
            return header(spec.name, spec.trusted_proxies)
        case "claim":
            return claim(spec.name)
        case "client_address":
            return client_address(spec.ipv4_prefix, spec.ipv6_prefix, spec.trusted_proxies)
        case kind:
            near = nearest(kind, _KINDS)
            raise SetupError(f"expected {listed(_KINDS)}, found `{kind}`{near}")


def source_of(spec: ResolverSpec) -> str:
    """What `Identity.source` says of a link: ``api_key``, ``header:x-end-user``."""
    return f"{spec.kind}:{spec.name}" if spec.name else spec.kind


def chain(specs: Iterable[ResolverSpec]) -> tuple[tuple[str, Resolver], ...]:
    """Source and resolver of each link, for `identify`.

    Raises:
        SetupError: There is no such kind.
        ValueError: A network among the trusted proxies cannot be read.
    """
    return tuple((source_of(spec), resolver(spec)) for spec in specs)
