"""The tier of a caller: the first tier whose rule holds, and those that apply besides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from querybudget.identity.claims import claim_texts
from querybudget.identity.credentials import header
from querybudget.identity.identity import Identity, Resolver, Scope
from querybudget.policy.history import NEWCOMER, History
from querybudget.policy.model import Tier, TierRule
from querybudget.policy.naming import CallerName

DEFAULT_TIER = "default"
"""The tier of callers for whom no rule holds."""

SOURCES = 64
"""Sources of identities of which a rule remembers what it says; a policy has few."""

_Condition = Callable[[Identity, Scope], bool]
_KeyOf = Callable[[CallerName], str]

TiersOf = Callable[[Identity, Scope, History, int], tuple[str, ...]]
"""From a caller, its request, its history and the moment in µs to its tiers."""


def tier_rules(
    tiers: Sequence[Tier],
    key_of: _KeyOf | None = None,
    partitions: Mapping[str, Resolver] | None = None,
) -> Callable[[Identity, Scope], tuple[str, ...]]:
    """Compile tiers, in the policy's order, into one function.

    Args:
        tiers: The tiers.
        key_of: The key of the identity that a name stands for; needed where rules name callers.
        partitions: The resolver of each partition; needed where rules name pools.

    Returns:
        A function of a caller and its request. It returns the name of the first tier without `also`
        whose rule holds, or `DEFAULT_TIER`; then those of the tiers with `also` whose rules hold.
        Each caller is taken for a newcomer: `tiers_by_history` is told what the store knows.

    Raises:
        ValueError: A trusted proxy is not a network.
    """
    compiled = tuple((tier, _conditions(tier.when, key_of, partitions or {})) for tier in tiers)
    naming = tuple(((tier.name,), holds) for tier, holds in compiled if not tier.also)
    besides = tuple((tier.name, holds) for tier, holds in compiled if tier.also)
    default = (DEFAULT_TIER,)

    def tier(identity: Identity, scope: Scope) -> tuple[str, ...]:
        for name, conditions in naming:
            for holds in conditions:
                if not holds(identity, scope):
                    break
            else:
                return name
        return default

    def tiers_of(identity: Identity, scope: Scope) -> tuple[str, ...]:
        tiers = tier(identity, scope)
        for name, conditions in besides:
            if _all(conditions, identity, scope):
                tiers += (name,)
        return tiers

    return tiers_of if besides else tier


def tiers_by_history(
    tiers: Sequence[Tier],
    key_of: _KeyOf | None = None,
    partitions: Mapping[str, Resolver] | None = None,
) -> TiersOf:
    """Compile tiers as `tier_rules` does, into a function that takes a caller's history too."""
    compiled = tuple(
        (tier, _conditions(tier.when, key_of, partitions or {}, ask_history=False))
        for tier in tiers
    )

    def tiers_of(identity: Identity, scope: Scope, history: History, now: int) -> tuple[str, ...]:
        named, besides = "", list[str]()
        for tier, conditions in compiled:
            rule = tier.when.history
            if (named and not tier.also) or not (rule is None or rule.holds(history, now)):
                continue
            if _all(conditions, identity, scope):
                if tier.also:
                    besides.append(tier.name)
                else:
                    named = tier.name
        return (named or DEFAULT_TIER, *besides)

    return tiers_of


def asks_history(tiers: Sequence[Tier]) -> bool:
    """Return True if any tier depends on what the store knows of callers."""
    return any(tier.when.history is not None for tier in tiers)


def _all(conditions: Sequence[_Condition], identity: Identity, scope: Scope) -> bool:
    for holds in conditions:  # noqa: SIM110 - a generator takes calls, for each tier of each call
        if not holds(identity, scope):
            return False
    return True


def _conditions(
    rule: TierRule,
    key_of: _KeyOf | None,
    partitions: Mapping[str, Resolver],
    *,
    ask_history: bool = True,
) -> tuple[_Condition, ...]:
    conditions: list[_Condition] = []
    if ask_history and rule.history is not None and not rule.history.holds(NEWCOMER, 0):
        conditions.append(lambda _identity, _scope: False)
    if rule.sources:
        conditions.append(_by_source(rule.sources))
    if rule.callers and key_of is not None:
        conditions.append(_by_key(frozenset(map(key_of, rule.callers))))
    conditions += (_by_claim(path, accepted) for path, accepted in rule.claims.items())
    conditions += (
        _by_header(name, accepted, rule.trusted_proxies) for name, accepted in rule.headers.items()
    )
    conditions += (
        _by_pool(partitions[name], accepted) for name, accepted in rule.partitions.items()
    )
    if rule.excluded is not None:
        conditions.append(_not(_conditions(rule.excluded, key_of, partitions)))
    return tuple(conditions)


def _by_source(accepted: frozenset[str]) -> _Condition:
    @lru_cache(SOURCES)
    def accepts(source: str) -> bool:
        return source in accepted or source.partition(":")[0] in accepted

    return lambda identity, _: accepts(identity.source)


def _by_key(accepted: frozenset[str]) -> _Condition:
    return lambda identity, _: identity.key in accepted


def _by_claim(path: str, accepted: frozenset[str]) -> _Condition:
    texts = claim_texts(path)
    return lambda _, scope: not accepted.isdisjoint(texts(scope))


def _by_header(name: str, accepted: frozenset[str], trusted_proxies: tuple[str, ...]) -> _Condition:
    value = header(name, trusted_proxies)
    return lambda _, scope: value(scope) in accepted


def _by_pool(resolve: Resolver, accepted: frozenset[str]) -> _Condition:
    return lambda _, scope: resolve(scope) in accepted


def _not(conditions: tuple[_Condition, ...]) -> _Condition:
    return lambda identity, scope: not _all(conditions, identity, scope)
