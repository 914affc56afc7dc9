"""Who is charged: an ASGI scope to an `Identity`, by resolvers that are tried in order.

    names.py        Identity, KeyedHash, the Resolver contract, and the chain
    credentials.py  what came with the request: api_key, header
    claims.py       what ran further out and verified: user, claim
    addresses.py    addresses, networks, and whom to trust
    forwarding.py   client_address, through proxies
    tiers.py        which class of callers somebody is of

A resolver is a function of the scope. Everything that can be worked out ahead is worked out where
it is made, so that asking it costs about a microsecond.
"""

from __future__ import annotations

from querybudget.identity.claims import claim, user
from querybudget.identity.client_address import client_address
from querybudget.identity.credentials import api_key, header
from querybudget.identity.identity import (
    ANONYMOUS,
    CONTRADICTORY,
    Identity,
    KeyedHash,
    Resolver,
    Scope,
    identify,
)
from querybudget.identity.networks import UNIX, networks
from querybudget.identity.specs import chain, resolver, source_of
from querybudget.identity.tiers import DEFAULT_TIER, tier_of, tier_rules

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
    "source_of",
    "tier_of",
    "tier_rules",
    "user",
]
