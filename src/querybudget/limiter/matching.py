"""Which budgets apply to a call, and the ledger lines they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import msgspec

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Adapter, Call
from querybudget.identity import ANONYMOUS, Identity, KeyedHash, Resolver, resolver
from querybudget.ledger import Line
from querybudget.limiter.cost import CostFunction, cost_function, dearest, price_of
from querybudget.limiter.estimation import Estimate
from querybudget.policy.model import Budget, Match, Mode, Policy
from querybudget.units import MICRO, Quota, Unit

__all__ = ["Caller", "Matched", "Matcher", "Plan", "Route"]

LONGEST_KEY = 200
"""Paths and model names longer than this are matched anew each time rather than remembered."""

REMEMBERED = 4096
"""Routes, and plans, remembered at most."""

UNMETERED = frozenset({Unit.REQUESTS, Unit.CONCURRENT, Unit.BUCKETS})
IDENTITY = ("identity",)

UNREADABLE = "unreadable"
"""The operation of a body that its path's adapter cannot read. Whoever sends one to a server that
can meets every budget of the path, whatever it is matched on, at the dearest price."""

ASK_NO_MODEL = frozenset({"other", "handshake"})
"""Operations that use no tokens, so that budgets of tokens, money and buckets do not apply."""

SHOW_NOTHING = ASK_NO_MODEL | {"count_tokens"}
"""Operations that no model answers: budgets of buckets do not apply, and nothing is embedded."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class Route(msgspec.Struct, frozen=True, eq=False):
    """What is known from method and path alone.

    Attributes:
        adapter: Reads the body; None where the path is no model's.
        budgets: Those that may match.
        messages: For WebSockets, the route of each message: no leases, the connection holds them.
        capabilities: Bits of the capabilities that any of the budgets is matched on.
    """

    adapter: Adapter | None
    budgets: tuple[Budget, ...]
    messages: Route | None = None
    capabilities: int = 0


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
    """A budget that applies, with its quota scaled for the caller's tier.

    Attributes:
        budget: As the policy has it.
        quota: Scaled.
        cost_function: What a call takes from it.
        needs_usage: Whether it counts tokens or money, of which only a part may be sure.
        shadow: Whether it only says what it would refuse.
        counts_buckets: Whether it counts buckets, so that only an answered call takes any.
    """

    budget: Budget
    quota: Quota
    cost_function: CostFunction
    needs_usage: bool
    shadow: bool
    counts_buckets: bool = False


class Plan(msgspec.Struct, frozen=True):
    """Everything that is known of a call from its route, model, stream, tier and capabilities.

    Attributes:
        budgets: Those that apply, in the policy's order.
        private: Names of those whose figures are the caller's own, so that they may be shown.
        needs_usage: Whether any counts tokens or money, so that the answer has to be read.
        unpriced: Whether an enforced one counts money and the model has no price.
        counts_buckets: Whether any counts buckets.
        needs_analysis: Whether the prompts must be analyzed, for buckets or to know which budgets
            apply.
    """

    budgets: tuple[Matched, ...]
    private: frozenset[str]
    needs_usage: bool
    unpriced: bool
    counts_buckets: bool = False
    needs_analysis: bool = False


class Matcher:
    """Finds the budgets of a call.

    Args:
        policy: Budgets, tiers, partitions, prices, routes.
        hashed: Hashes the names of partitions.
        capabilities: Names of capabilities, by their bits in `Observation.capabilities`.
    """

    def __init__(self, policy: Policy, hashed: KeyedHash, capabilities: Sequence[str] = ()) -> None:
        self._policy = policy
        self._hash = hashed
        self.capabilities = tuple(capabilities)
        weights = {capability.name: capability.weight for capability in policy.capabilities}
        self._weights = tuple(weights.get(name, MICRO) for name in self.capabilities)
        self._weighed: dict[int, int] = {}
        self._scales = {tier.name: tier.scale for tier in policy.tiers}
        self._partitions: dict[str, Resolver] = {
            name: resolver(partition.resolver) for name, partition in policy.partitions.items()
        }
        self._routes: dict[tuple[str, str], Route | None] = {}
        self._plans: dict[tuple[Route, str, str, bool, str, bool, int], Plan] = {}

    def route(self, method: str, path: str) -> Route | None:
        """What applies to a method and path; None where the request is nobody's business."""
        key = (method, path)
        if key in self._routes:
            return self._routes[key]
        route = self._find_route(method, path)
        if len(path) <= LONGEST_KEY:
            _remember(self._routes, key, route)
        return route

    def _find_route(self, method: str, path: str) -> Route | None:
        if any(fnmatchcase(path, pattern) for pattern in self._policy.exempt):
            return None
        socket = method == "WEBSOCKET"
        budgets = tuple(
            budget
            for budget in self._policy.budgets
            if _any(budget.match.path, path)
            and _any(budget.match.method, method)
            and not (socket and _needs_analysis(budget))  # nobody reads what its messages ask
        )
        if not budgets:
            return None
        if socket:
            unleased = tuple(b for b in budgets if b.quota.unit is not Unit.CONCURRENT)
            return Route(None, budgets, Route(None, unleased))
        asked = {name for budget in budgets for name in budget.match.capability}
        return Route(
            adapter_for(path, method, self._policy.routes), budgets, None, self._bits(asked)
        )

    def plan(self, caller: Caller, route: Route, call: Call, capabilities: int = 0) -> Plan:
        """The budgets of a call, scaled for the caller's tier.

        Args:
            caller: Who.
            route: Of the request.
            call: What is asked.
            capabilities: `Observation.capabilities`; where `Plan.needs_analysis`, ask again once
                they are known.
        """
        anonymous = caller.identity.key == ANONYMOUS
        bits = capabilities & route.capabilities
        key = (route, call.model, call.operation, call.stream, caller.tier, anonymous, bits)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make_plan(caller, route, call, bits)
            if len(call.model) <= LONGEST_KEY:
                _remember(self._plans, key, plan)
        return plan

    def _make_plan(self, caller: Caller, route: Route, call: Call, capabilities: int) -> Plan:
        models = self._policy.models
        readable = call.operation != UNREADABLE
        price = price_of(models, call.model) if readable else dearest(models)
        meant = [
            budget
            for budget in route.budgets
            if (not budget.match.tier or caller.tier in budget.match.tier)
            and (not readable or _asks(budget.match, call))
            and _counts(budget.quota.unit, call.operation)
        ]
        # What cannot be read might be of any capability.
        budgets = [b for b in meant if not readable or self._is_of(b.match, capabilities)]
        money = any(
            budget.quota.unit is Unit.USD and budget.mode is Mode.ENFORCE for budget in budgets
        )
        own = () if caller.identity.key == ANONYMOUS else budgets
        matched = tuple(
            Matched(
                budget,
                self._scaled(budget, caller.tier),
                cost_function(budget, price),
                budget.quota.unit not in UNMETERED,
                budget.mode is Mode.SHADOW,
                budget.quota.unit is Unit.BUCKETS,
            )
            for budget in budgets
        )
        needs_analysis = (
            readable and any(map(_needs_analysis, meant)) and call.operation not in SHOW_NOTHING
        )
        return Plan(
            budgets=matched,
            private=frozenset(
                budget.name
                for budget in own
                if "identity" in budget.per and budget.quota.unit is not Unit.BUCKETS
            ),
            needs_usage=any(one.needs_usage for one in matched),
            unpriced=money and price is None and self._policy.unpriced == "refuse",
            counts_buckets=any(one.counts_buckets for one in matched),
            needs_analysis=needs_analysis,
        )

    def _bits(self, names: Iterable[str]) -> int:
        return sum(1 << at for at, name in enumerate(self.capabilities) if name in names)

    def _is_of(self, match: Match, capabilities: int) -> bool:
        return not match.capability or bool(self._bits(match.capability) & capabilities)

    def _scaled(self, budget: Budget, tier: str) -> Quota:
        scale = self._scales.get(tier, {})
        factor = scale.get(budget.name, scale.get(budget.quota.unit))
        return budget.quota if factor is None else budget.quota.scaled(factor)

    def lines(
        self,
        caller: Caller,
        plan: Plan,
        call: Call,
        estimate: Estimate,
        capabilities: int = 0,
    ) -> tuple[Line, ...]:
        """The ledger lines of a call: one for each budget, in their order."""
        usage, certain = estimate.usage, estimate.certain
        uncertain = certain is not usage
        weight = self._weight(capabilities) if plan.counts_buckets else 0
        lines: list[Line] = []
        for matched in plan.budgets:
            per = matched.budget.per
            partition = (
                caller.identity.key
                if per == IDENTITY
                else "|".join([self._partition(word, caller, call) for word in per])
            )
            if matched.counts_buckets:
                response = matched.budget.response
                line = Line(partition, matched.quota, weight, weight, matched.shadow, response)
            else:
                amount = matched.cost_function(call, usage)
                minimum = (
                    matched.cost_function(call, certain)
                    if uncertain and matched.needs_usage
                    else amount
                )
                line = Line(partition, matched.quota, amount, minimum, matched.shadow)
            lines.append(line)
        return tuple(lines)

    def profiled(self, caller: Caller, plan: Plan, lines: Sequence[Line]) -> tuple[str, ...]:
        """Accounts that see what is asked: the caller's own first, then those it shares."""
        keys = [caller.identity.key]
        keys += [
            line.partition
            for matched, line in zip(plan.budgets, lines, strict=True)
            if matched.counts_buckets
        ]
        return tuple(dict.fromkeys(keys))

    def names(self, capabilities: int) -> tuple[str, ...]:
        """The names of capabilities by their bits."""
        return tuple(n for at, n in enumerate(self.capabilities) if capabilities >> at & 1)

    def _weight(self, capabilities: int) -> int:
        """What a new bucket counts: as the weightiest of the call's capabilities; 1 without any."""
        weight = self._weighed.get(capabilities)
        if weight is None:
            weights = (w for at, w in enumerate(self._weights) if capabilities >> at & 1)
            weight = max(weights, default=MICRO)
            _remember(self._weighed, capabilities, weight)
        return weight

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
            case "template":
                # Calls without one have nothing in common: each is its caller's own.
                template = call.template
                own = caller.identity.key
                return f"template:{self._hash('template', template)}" if template else own
            case _:
                name = self._partitions[word](caller.scope)
                return f"{word}:{self._hash(word, name) if name else 'none'}"


def _remember(memory: dict[_K, _V], key: _K, value: _V) -> None:
    """Bounded by starting afresh: what is remembered costs little to find again."""
    if len(memory) >= REMEMBERED:
        memory.clear()
    memory[key] = value


def _counts(unit: Unit, operation: str) -> bool:
    """Whether calls of this operation take anything of this unit."""
    if unit is Unit.BUCKETS:
        return operation not in SHOW_NOTHING
    return unit in UNMETERED or operation not in ASK_NO_MODEL


def _needs_analysis(budget: Budget) -> bool:
    """Whether a budget needs to know what a call asks."""
    return budget.quota.unit is Unit.BUCKETS or bool(budget.match.capability)


def _asks(match: Match, call: Call) -> bool:
    return (
        _any(match.model, call.model)
        and _any(match.operation, call.operation)
        and match.stream in {None, call.stream}
    )


def _any(patterns: tuple[str, ...], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
