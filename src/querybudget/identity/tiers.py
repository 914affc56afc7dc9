"""Which tier a caller is of: the first whose rule holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from querybudget.identity.claims import claim_texts
from querybudget.identity.credentials import header
from querybudget.identity.identity import Identity, Scope
from querybudget.policy.model import Tier, TierRule

__all__ = ["DEFAULT_TIER", "tier_of", "tier_rules"]

DEFAULT_TIER = "default"
"""The tier of callers whom no rule holds for."""

_Rule = Callable[[Identity, Scope], bool]


def tier_rules(tiers: Sequence[Tier]) -> Callable[[Identity, Scope], str]:
    """Compile tiers into one function of a caller.

    Args:
        tiers: In the policy's order.

    Returns:
        The name of the first tier whose rule holds, or `DEFAULT_TIER`.

    Raises:
        ValueError: A network among the trusted proxies cannot be read.
    """
    compiled = tuple((tier.name, _parts(tier.when)) for tier in tiers)

    def tier(identity: Identity, scope: Scope) -> str:
        for name, parts in compiled:
            for part in parts:
                if not part(identity, scope):
                    break
            else:
                return name
        return DEFAULT_TIER

    return tier


def tier_of(tiers: Sequence[Tier], identity: Identity, scope: Scope) -> str:
    """The tier of one caller. Where there are many to ask for, compile with `tier_rules` once."""
    return tier_rules(tiers)(identity, scope)


def _parts(rule: TierRule) -> tuple[_Rule, ...]:
    parts: list[_Rule] = []
    if rule.sources:
        parts.append(_of_source(rule.sources))
    parts += (_of_claim(path, accepted) for path, accepted in rule.claims.items())
    parts += (
        _of_header(name, accepted, rule.trusted_proxies) for name, accepted in rule.headers.items()
    )
    return tuple(parts)


def _of_source(accepted: frozenset[str]) -> _Rule:
    def holds(identity: Identity, _: Scope) -> bool:
        source = identity.source
        return source in accepted or source.partition(":")[0] in accepted

    return holds


def _of_claim(path: str, accepted: frozenset[str]) -> _Rule:
    texts = claim_texts(path)
    return lambda _, scope: not accepted.isdisjoint(texts(scope))


def _of_header(name: str, accepted: frozenset[str], trusted_proxies: tuple[str, ...]) -> _Rule:
    value = header(name, trusted_proxies)
    return lambda _, scope: value(scope) in accepted
