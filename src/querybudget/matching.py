"""Which budgets apply to a call, and the ledger lines they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from cachetools import LRUCache

from querybudget import pricing
from querybudget.adapters import adapter_for
from querybudget.adapters.call import Adapter, Call
from querybudget.estimates import Foreseen
from querybudget.identity import Identity, KeyedHash, Resolver, resolver
from querybudget.ledger import Line
from querybudget.policy.types import Budget, Mode, ModelPrice, Policy
from querybudget.quota import Quota

__all__ = ["Caller", "Matched", "Matcher", "Route"]

LONGEST_KEY = 200
"""Paths and model names longer than this are matched anew each time rather than remembered."""


class Route(msgspec.Struct, frozen=True):
    """What is known from method and path alone.

    Attributes:
        adapter: Reads the body; None where the path is no model's.
        budgets: Those that may match.
    """

    adapter: Adapter | None
    budgets: tuple[Budget, ...]


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who is calling.

    Attributes:
        identity: Who is charged.
        tier: Their tier; ``default`` where no rule holds.
        scope: The ASGI scope, for partitions.
    """

    identity: Identity
    tier: str
    scope: Mapping[str, Any]


class Matched(msgspec.Struct, frozen=True):
    """A budget that applies, with its quota scaled for the caller's tier."""

    budget: Budget
    quota: Quota
    price: ModelPrice | None


class Matcher:
    """Finds the budgets of a call.

    Args:
        policy: Budgets, tiers, partitions, prices, routes.
        hashed: Hashes the names of partitions.
    """

    def __init__(self, policy: Policy, hashed: KeyedHash) -> None:
        self._policy = policy
        self._hash = hashed
        self._scales = {tier.name: tier.scale for tier in policy.tiers}
        self._partitions: dict[str, Resolver] = {
            name: resolver(partition.resolver) for name, partition in policy.partitions.items()
        }
        self._routes: LRUCache[tuple[str, str], Route | None] = LRUCache(1024)
        self._matches: LRUCache[tuple[Any, ...], tuple[Matched, ...]] = LRUCache(4096)

    def route(self, method: str, path: str) -> Route | None:
        """What applies to a method and path; None where the request is nobody's business."""
        key = (method, path)
        route = self._routes.get(key, _UNSEEN)
        if route is _UNSEEN:
            route = self._find_route(method, path)
            if len(path) <= LONGEST_KEY:
                self._routes[key] = route
        return route

    def _find_route(self, method: str, path: str) -> Route | None:
        if any(fnmatchcase(path, pattern) for pattern in self._policy.exempt):
            return None
        budgets = tuple(
            budget
            for budget in self._policy.budgets
            if _any(budget.match.path, path) and _any(budget.match.method, method)
        )
        return Route(adapter_for(path, method, self._policy.routes), budgets) if budgets else None

    def match(
        self, caller: Caller, route: Route, method: str, path: str, call: Call
    ) -> tuple[Matched, ...]:
        """The budgets of a call, in the policy's order, scaled for the caller's tier."""
        key = (method, path, call.model, call.operation, call.stream, caller.tier)
        matched = self._matches.get(key)
        if matched is None:
            matched = self._find_matches(caller, route, call)
            if len(path) <= LONGEST_KEY and len(call.model) <= LONGEST_KEY:
                self._matches[key] = matched
        return matched

    def _find_matches(self, caller: Caller, route: Route, call: Call) -> tuple[Matched, ...]:
        price = pricing.price_of(self._policy.models, call.model)
        return tuple(
            Matched(budget, self._scaled(budget, caller.tier), price)
            for budget in route.budgets
            if _any(budget.match.model, call.model)
            and _any(budget.match.operation, call.operation)
            and (not budget.match.tier or caller.tier in budget.match.tier)
            and budget.match.stream in {None, call.stream}
        )

    def _scaled(self, budget: Budget, tier: str) -> Quota:
        scale = self._scales.get(tier, {})
        factor = scale.get(budget.name, scale.get(budget.quota.unit))
        return budget.quota if factor is None else budget.quota.scaled(factor)

    def lines(
        self, caller: Caller, matched: Sequence[Matched], call: Call, foreseen: Foreseen
    ) -> tuple[Line, ...]:
        """The ledger lines of a call: one for each budget, in their order."""
        lines: list[Line] = []
        for m in matched:
            budget = m.budget
            amount = pricing.amount(budget, call, foreseen.usage, m.price)
            least = (
                amount
                if foreseen.sure is foreseen.usage
                else pricing.amount(budget, call, foreseen.sure, m.price)
            )
            per = budget.per
            partition = (
                caller.identity.key
                if per == ("identity",)
                else "|".join([self._partition(word, caller, call) for word in per])
            )
            lines.append(Line(partition, m.quota, amount, least, budget.mode is Mode.SHADOW))
        return tuple(lines)

    def _partition(self, word: str, caller: Caller, call: Call) -> str:
        match word:
            case "identity":
                return caller.identity.key
            case "everyone":
                return "everyone"
            case "tier":
                return f"tier:{caller.tier}"
            case "model":
                return f"model:{self._hash('model', call.model)}"
            case _:
                name = self._partitions[word](caller.scope)
                return f"{word}:{self._hash(word, name) if name is not None else 'none'}"


_UNSEEN = Route(None, ())


def _any(patterns: tuple[str, ...], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
