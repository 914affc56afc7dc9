"""Identify who is charged: an ASGI scope to an `Identity`, by resolvers that are tried in order.

A resolver is a function of the scope. It prepares as much as it can when it is made, so that a call
costs about a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterable

from querybudget.errors import SetupError
from querybudget.identity.claims import claim, user
from querybudget.identity.client_address import client_address
from querybudget.identity.credentials import header
from querybudget.identity.identity import (
    ANONYMOUS,
    CONTRADICTORY,
    Identity,
    KeyedHash,
    Resolver,
    Scope,
    identify,
)
from querybudget.identity.keys import api_key
from querybudget.identity.networks import UNIX, networks
from querybudget.identity.tiers import DEFAULT_TIER, tier_rules
from querybudget.policy.carriers import DEFAULT_CARRIERS
from querybudget.policy.model import ResolverSpec
from querybudget.text import listed, nearest

__all__ = [
    "ANONYMOUS",
    "CONTRADICTORY",
    "DEFAULT_TIER",
    "UNIX",
    "Identity",
    "KeyedHash",
    "Resolver",
    "Scope",
    "api_key",
    "chain",
    "claim",
    "client_address",
    "header",
    "identify",
    "networks",
    "resolver",
    "tier_rules",
    "user",
]

_KINDS = ("user", "api_key", "header", "claim", "client_address")


def resolver(spec: ResolverSpec) -> Resolver:
    """Make the resolver that a policy describes.

    Raises:
        SetupError: The kind is unknown.
        ValueError: A trusted proxy is not a network.
    """
    match spec.kind:
        case "user":
            return user()
        case "api_key":
            return api_key(spec.carriers or DEFAULT_CARRIERS, first=spec.first)
        case "header":
            return header(spec.name, spec.trusted_proxies)
        case "claim":
            return claim(spec.name)
        case "client_address":
            return client_address(spec.ipv4_prefix, spec.ipv6_prefix, spec.trusted_proxies)
        case kind:
            near = nearest(kind, _KINDS)
            raise SetupError(f"expected {listed(_KINDS)}, found `{kind}`{near}")


def chain(specs: Iterable[ResolverSpec]) -> tuple[tuple[str, Resolver], ...]:
    """Make the links for `identify`: the `Identity.source` and the resolver of each.

    Raises:
        SetupError: A kind is unknown.
        ValueError: A trusted proxy is not a network.
    """
    return tuple(
        (f"{spec.kind}:{spec.name}" if spec.name else spec.kind, resolver(spec)) for spec in specs
    )
