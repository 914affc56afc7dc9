"""The tier of a caller: the first tier whose rule holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from querybudget.identity.claims import claim_texts
from querybudget.identity.credentials import header
from querybudget.identity.identity import Identity, Scope
from querybudget.policy.model import Tier, TierRule

DEFAULT_TIER = "default"
"""The tier of callers for whom no rule holds."""

_Condition = Callable[[Identity, Scope], bool]


def tier_rules(tiers: Sequence[Tier]) -> Callable[[Identity, Scope], str]:
    """Compile tiers, in the policy's order, into one function.

    Returns:
        A function of a caller and its request that returns the name of the first tier whose rule
        holds, or `DEFAULT_TIER`.

    Raises:
        ValueError: A trusted proxy is not a network.
    """
    compiled = tuple((tier.name, _conditions(tier.when)) for tier in tiers)

    def tier(identity: Identity, scope: Scope) -> str:
        for name, conditions in compiled:
            for holds in conditions:
                if not holds(identity, scope):
                    break
            else:
                return name
        return DEFAULT_TIER

    return tier


def _conditions(rule: TierRule) -> tuple[_Condition, ...]:
    conditions: list[_Condition] = []
    if rule.sources:
        conditions.append(_by_source(rule.sources))
    conditions += (_by_claim(path, accepted) for path, accepted in rule.claims.items())
    conditions += (
        _by_header(name, accepted, rule.trusted_proxies) for name, accepted in rule.headers.items()
    )
    return tuple(conditions)


def _by_source(accepted: frozenset[str]) -> _Condition:
    def holds(identity: Identity, _: Scope) -> bool:
        source = identity.source
        return source in accepted or source.partition(":")[0] in accepted

    return holds


def _by_claim(path: str, accepted: frozenset[str]) -> _Condition:
    texts = claim_texts(path)
    return lambda _, scope: not accepted.isdisjoint(texts(scope))


def _by_header(name: str, accepted: frozenset[str], trusted_proxies: tuple[str, ...]) -> _Condition:
    value = header(name, trusted_proxies)
    return lambda _, scope: value(scope) in accepted
