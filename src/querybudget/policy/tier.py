"""Tiers, and when they apply."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from querybudget.coverage.response import Stage
from querybudget.policy.history import HistoryRule
from querybudget.policy.naming import CallerName
from querybudget.units import MICRO


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
        history: What the store must know of the caller; None to ask nothing of it.
    """

    sources: frozenset[str] = frozenset()
    claims: Mapping[str, frozenset[str]] = {}
    headers: Mapping[str, frozenset[str]] = {}
    trusted_proxies: tuple[str, ...] = ()
    callers: tuple[CallerName, ...] = ()
    partitions: Mapping[str, frozenset[str]] = {}
    excluded: TierRule | None = None
    history: HistoryRule | None = None


class Tier(Struct, frozen=True):
    """A class of callers, with other limits, prices and stages.

    The first tier whose rule holds applies, and each one with `also` whose rule holds.

    Attributes:
        name: Its name; callers without a tier have tier ``default``.
        when: The rule.
        scale: Budget name or unit to a factor in millionths; a budget's name wins over its unit.
        also: Whether it applies besides the caller's tier, whose name it does not change.
        price: Factor in millionths on how far the price of a budget in buckets rises above 1.
        delay: Factor in millionths on the longest delay of such a budget.
        stages: Stages of such budgets, in place of their own where they have any; None to leave
            these as they are.
    """

    name: str
    when: TierRule
    scale: Mapping[str, int] = {}
    also: bool = False
    price: int = MICRO
    delay: int = MICRO
    stages: tuple[tuple[Stage, int], ...] | None = None
