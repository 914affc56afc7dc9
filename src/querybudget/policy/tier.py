"""Tiers, and when they apply."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from querybudget.policy.naming import CallerName


class TierRule(Struct, frozen=True):
    """When a tier applies: every part that is given must hold.

    Attributes:
        sources: Identity sources (``anonymous``, ``client_address``, ...); empty for any.
        claims: Claim path to the accepted values, as text.
        headers: Header name (lower case) to the accepted values.
        trusted_proxies: Networks that may set those headers; empty for none.
        callers: The callers, by name; empty for any.
        partitions: Partition to the names of the accepted pools.
        excluded: A rule that must not hold; None for none.
    """

    sources: frozenset[str] = frozenset()
    claims: Mapping[str, frozenset[str]] = {}
    headers: Mapping[str, frozenset[str]] = {}
    trusted_proxies: tuple[str, ...] = ()
    callers: tuple[CallerName, ...] = ()
    partitions: Mapping[str, frozenset[str]] = {}
    excluded: TierRule | None = None


class Tier(Struct, frozen=True):
    """A class of callers whose limits are scaled.

    The first tier whose rule holds applies, and each one with `also` whose rule holds.

    Attributes:
        name: Its name; callers without a tier have tier ``default``.
        when: The rule.
        scale: Budget name or unit to a factor in millionths; a budget's name wins over its unit.
        also: Whether it applies besides the caller's tier, whose name it does not change.
    """

    name: str
    when: TierRule
    scale: Mapping[str, int] = {}
    also: bool = False
