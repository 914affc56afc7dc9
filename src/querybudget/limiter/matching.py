"""Which budgets apply to a call, and why another does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from querybudget.adapters import adapter_for
from querybudget.adapters.base import UNREADABLE, Adapter, Call
from querybudget.adapters.places import AnyOf, At
from querybudget.adapters.routing import carries_body
from querybudget.identity import ANONYMOUS, KeyedHash
from querybudget.ledger import Charge
from querybudget.limiter.conditions import (
    ANY_MODEL,
    SHOW_NOTHING,
    UNMETERED,
    Mismatch,
    call_mismatch,
    counts_buckets,
    enforces_money,
    matching,
    models_of_call,
    needs_analysis,
    needs_content,
    needs_no_body,
    opaque_mismatch,
    route_mismatch,
)
from querybudget.limiter.cost import cost_function, dearest, price_of
from querybudget.limiter.examined import NOT_EXAMINED, Examined
from querybudget.limiter.lines import Lines
from querybudget.limiter.partitions import Partitions, pools_of, standing_of
from querybudget.limiter.plans import Caller, Matched, Plan
from querybudget.limiter.route import Route
from querybudget.limiter.scaling import Scales
from querybudget.limiter.scopes import WEBSOCKET
from querybudget.paths import is_plain, readings
from querybudget.policy.linking import GROUP
from querybudget.policy.match import opaque_bits
from querybudget.policy.model import Budget, Mode, Policy
from querybudget.policy.prices import ModelPrice
from querybudget.policy.routes import Unknown
from querybudget.units import Unit

if TYPE_CHECKING:
    from querybudget.limiter.rules import Rules

LONGEST_KEY = 200
"""Paths and model names longer than this are not cached."""

CACHED = 4096
"""Routes, and plans, in the caches; the least recently used is dropped."""

FEW_READINGS = 8
"""Routes of paths that may be taken for more than this are not cached."""

_ORDINARY = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_NOTHING_HELD = (0, 0, 0, False)
_IDENTITY = ("identity",)


class Matcher:
    """Finds the budgets of a call.

    Args:
        policy: Budgets, tiers, partitions, prices, routes.
        hashed: Hashes the names of partitions.
        capabilities: Names of capabilities, by their bits in `Observation.capabilities`.
        rules: What the matcher is a part of.
        former: The matcher that this one replaces: it has learnt which names are shared.

    Attributes:
        hashed, capabilities: As given.
        refuses: Whether any partition refuses callers whom it does not name.
        counts_buckets: Whether any budget counts buckets.
        learns: Whether accounts depend on what was answered before.
        ordinary: The route of an ordinary request, by method and path: one that budgets apply to,
            with a path that every server reads alike. None of any other, of which there is more to
            see. The path has at most `LONGEST_KEY` characters and no ``root_path``.
        partitions: Names the accounts.
        templates: `Partitions.templates`.
        scaled: `Scales.scaled`.
        lines: `Lines.of`.
        profiled: `Lines.profiled`.
        calibration: `Lines.calibration`.
    """

    def __init__(
        self,
        policy: Policy,
        hashed: KeyedHash,
        capabilities: Sequence[str] = (),
        *,
        rules: Rules | None = None,
        former: Matcher | None = None,
    ) -> None:
        self._policy = policy
        self._answered = (policy.health, policy.metrics.prometheus)
        self._rules = rules
        self.hashed = hashed
        self.capabilities = tuple(capabilities)
        scales = Scales(policy.tiers)
        self.scaled, self._response = scales.scaled, scales.response
        self.partitions: Partitions = Partitions(
            policy, hashed, former.partitions if former else None
        )
        words = {word for budget in policy.budgets for word in budget.per}
        self.counts_buckets = any(map(counts_buckets, policy.budgets))
        self.refuses = bool(self.partitions.refusing)
        asks = [tier.when.history for tier in policy.tiers if tier.when.history is not None]
        self.learns = bool(asks) or not words.isdisjoint({"template", "model"})
        self._asks_spent = any(rule.spent is not None for rule in asks)
        self.templates = self.partitions.templates
        lines = Lines(policy, self.partitions, self.capabilities)
        self.lines, self.profiled = lines.of, lines.profiled
        self.ordinary = lru_cache(CACHED)(self._find_ordinary)
        self.calibration = lines.calibration
        self._routes = lru_cache(CACHED)(self._find_route)
        self._plans = lru_cache(CACHED)(self._make_plan)

    def route(self, method: str, *paths: str) -> Route | None:
        """Return what applies to a method and path; None if no budget does.

        Args:
            method: HTTP method or ``WEBSOCKET``.
            paths: The path, and what else it may be taken for.
        """
        short = len(paths[0]) <= LONGEST_KEY and len(paths) <= FEW_READINGS
        return (self._routes if short else self._find_route)(method, *paths)

    def _find_ordinary(self, method: str, path: str) -> Route | None:
        if method not in _ORDINARY or path in self._answered or not is_plain(path):
            return None
        route = self._find_route(method, path)
        return route if route is None or route.unknown is not Unknown.REFUSE else None

    def _find_route(self, method: str, *paths: str) -> Route | None:
        if self._exempt(method, paths[0]):
            return None
        adapter = self._adapter(method, paths)
        unknown = None
        if adapter is None and carries_body(method):
            unknown = self._policy.unknown
            if unknown is Unknown.REFUSE:
                return Route(None, 0, unknown=unknown, rules=self._rules)
            if unknown is Unknown.PASS:
                return None
        bits = unleased = 0
        asked: set[str] = set()
        opaque, examined = 0, False
        for index, budget in enumerate(self._policy.budgets):
            if route_mismatch(budget, method, paths) is None:
                bits |= 1 << index
                unleased |= (budget.quota.unit is not Unit.CONCURRENT) << index
                asked.update(budget.match.capability)
                opaque |= opaque_bits(budget.match.opaque)
                examined = examined or needs_content(budget)
        if not bits:
            return None
        if method == WEBSOCKET:
            messages = Route(None, unleased, rules=self._rules)
            return Route(None, bits, messages, rules=self._rules)
        early = sum(1 << i for i, one in enumerate(self._policy.budgets) if needs_no_body(one))
        decides_early = adapter is not None and bits & early
        return Route(
            adapter,
            bits,
            capabilities=self._bits(asked),
            opaque=opaque,
            examined=examined,
            unknown=unknown,
            before_body=Route(None, bits & early, rules=self._rules) if decides_early else None,
            rules=self._rules,
        )

    def _adapter(self, method: str, paths: Sequence[str]) -> Adapter | None:
        """Return the adapter of a path; of all its readings, if servers may read it differently.

        The path in lower case is tried last: few servers ignore case.
        """
        for tried in (paths, [path.lower() for path in paths]):
            found: list[Adapter] = []
            for path in tried:
                one = adapter_for(path, method, self._policy.routes, self._policy.server)
                if one is not None:
                    found.append(one if path == paths[0] else At(one, path))
            if found:
                return found[0] if len(found) == 1 or is_plain(paths[0]) else AnyOf(found)
        return None

    def plan(
        self,
        caller: Caller,
        route: Route,
        call: Call,
        examined: Examined = NOT_EXAMINED,
    ) -> Plan:
        """Return the budgets of a call, scaled for the caller's tier.

        Args:
            caller: The sender.
            route: Of the request.
            call: What is asked.
            examined: What it contains. If `Plan.needs_analysis`, call again once that is known.
        """
        names: tuple[str, ...] = (call.model,)
        longest = len(call.model)
        if call.any_model or call.other_models:
            names = models_of_call(call)
            longest = max(map(len, names))
        return (self._plans if longest <= LONGEST_KEY else self._make_plan)(
            route.budgets,
            names,
            call.operation,
            None if call.ambiguous else call.stream,
            caller.tiers,
            caller.identity.key == ANONYMOUS,
            _NOTHING_HELD if examined is NOT_EXAMINED else _held(examined, route),
        )

    def _make_plan(
        self,
        bits: int,
        names: tuple[str, ...],
        operation: str,
        stream: bool | None,  # noqa: FBT001 - part of the cache key
        tiers: tuple[str, ...],
        anonymous: bool,  # noqa: FBT001 - part of the cache key
        held: tuple[int, int, int, bool],
    ) -> Plan:
        capabilities, opaque, pools, subject = held
        models = self._policy.models
        readable = operation != UNREADABLE
        prices = [price_of(models, name) for name in names] if readable else [*models.values()]
        if ANY_MODEL in names and None not in prices:
            prices = [*models.values()]
        known = [price for price in prices if price is not None]
        likely = [
            budget
            for index, budget in enumerate(self._policy.budgets)
            if bits >> index & 1
            and not call_mismatch(budget, tiers, names, operation, stream=stream)
        ]
        # A body that cannot be read may be of any capability, and is opaque.
        budgets = [
            budget
            for budget in likely
            if not readable or not self._content_mismatch(budget, capabilities, opaque)
        ]
        price = dearest(known)
        matched = tuple(
            self._matched(budget, tiers, price, name, pool, operation, anonymous=anonymous)
            for budget in budgets
            for name in self._models_of(budget, names)
            for pool in pools_of(budget, pools, subject=subject)
        )
        budgets = [one.budget for one in matched]
        unpriced = len(known) < max(1, len(prices)) and self._policy.unpriced == "refuse"
        return Plan(
            budgets=matched,
            private=frozenset(
                budget.name
                for budget in budgets
                if not anonymous and "identity" in budget.per and not counts_buckets(budget)
            ),
            needs_usage=self._asks_spent or any(one.needs_usage for one in matched),
            unpriced=unpriced and any(map(enforces_money, budgets)),
            counts_buckets=any(one.counts_buckets for one in matched),
            needs_analysis=(
                readable and operation not in SHOW_NOTHING and any(map(needs_analysis, likely))
            ),
            on_error=tuple(budget.on_store_error for budget in budgets),
            own=all(one.own and not one.counts_buckets for one in matched),
            fixed=not any(one.needs_usage or one.counts_buckets for one in matched),
            tier="+".join(tiers),
        )

    def _models_of(self, budget: Budget, names: tuple[str, ...]) -> Iterable[str]:
        """Return the models whose accounts a call is charged to; one name if it has only one."""
        if "model" not in budget.per:
            return names[:1]
        return dict.fromkeys(map(self.partitions.model_of, matching(budget, names) or names))

    def nameless(self, charge: Charge, caller: Caller, plan: Plan) -> frozenset[str]:
        """Return the enforced budgets whose partition refuses a caller that it does not name."""
        refuses = self.partitions.nameless
        return frozenset(
            one.budget.name
            for one, line in zip(plan.budgets, charge.lines, strict=True)
            if not line.shadow and refuses(one.budget, caller)
        )

    def pools(self, caller: Caller) -> dict[str, str]:
        """Return the policy's partitions, and the key of a caller's pool in each; and its group."""
        linked = (GROUP,) * (caller.identity.key in self.partitions.groups)
        words = (*self._policy.partitions, *linked)
        return {word: self.partitions.key(word, caller, "", "") for word in words}

    def note(self, caller: str, call: Call) -> None:
        """Note an answered call of a verified caller, by the key of its identity."""
        if self.partitions.note(caller, call):
            self._plans.cache_clear()

    def _matched(
        self,
        budget: Budget,
        tiers: tuple[str, ...],
        price: ModelPrice | None,
        model: str,
        pool: int,
        operation: str,
        *,
        anonymous: bool,
    ) -> Matched:
        return Matched(
            budget,
            self.scaled(budget.quota, tiers),
            cost_function(budget, price),
            budget.quota.unit not in UNMETERED,
            budget.mode is Mode.SHADOW,
            counts_buckets(budget),
            budget.response and self._response(budget.response, tiers),
            budget.per == _IDENTITY,
            model,
            pool,
            standing_of(budget, anonymous=anonymous),
            anonymous or "identity" not in budget.per,
            budget.counted,
            operation if "route" in budget.per else "",
        )

    def why_not(
        self,
        budget: Budget,
        method: str,
        path: str,
        caller: Caller | None = None,
        call: Call | None = None,
        examined: Examined = NOT_EXAMINED,
    ) -> Mismatch | None:
        """Return the first reason why a budget does not apply; None if it applies.

        Args:
            budget: One of the policy's.
            method: HTTP method or ``WEBSOCKET``.
            path: The path asked for.
            caller: The sender; None together with `call` to ask about method and path alone.
            call: What is asked.
            examined: What it contains.
        """
        if exempt := self._exempt(method, path):
            return Mismatch("exempt", exempt, path)
        mismatch = route_mismatch(budget, method, readings(path))
        if mismatch is not None or caller is None or call is None:
            return mismatch
        operation = call.operation
        models, stream = models_of_call(call), call.stream
        mismatch = call_mismatch(
            budget,
            caller.tiers,
            models,
            operation,
            stream=None if call.ambiguous else stream,
        )
        if mismatch is not None or operation == UNREADABLE:
            return mismatch
        return self._content_mismatch(budget, examined.capabilities, examined.opaque)

    def _exempt(self, method: str, path: str) -> tuple[str, ...]:
        policy = self._policy
        patterns = policy.exempt if carries_body(method) else policy.exempt + policy.probes
        if not is_plain(path):  # it may lead anywhere
            return ()
        bare = path.rstrip("/")
        return tuple(p for p in patterns if fnmatchcase(path, p) or (bare and fnmatchcase(bare, p)))

    def _content_mismatch(self, budget: Budget, capabilities: int, opaque: int) -> Mismatch | None:
        wanted = budget.match.capability
        if not wanted or self._bits(wanted) & capabilities:
            return opaque_mismatch(budget, opaque)
        return Mismatch("capability", wanted, ", ".join(self.names(capabilities)))

    def _bits(self, names: Iterable[str]) -> int:
        return sum(1 << bit for bit, name in enumerate(self.capabilities) if name in names)

    def names(self, capabilities: int) -> tuple[str, ...]:
        """Return the names of capabilities by their bits."""
        return tuple(n for bit, n in enumerate(self.capabilities) if capabilities >> bit & 1)


def _held(examined: Examined, route: Route) -> tuple[int, int, int, bool]:
    """Return what a plan depends on of a call's content.

    Bits of capabilities and of opaque kinds, number of pools, whether there is one of a subject.
    """
    asked = examined.capabilities & route.capabilities, examined.opaque & route.opaque
    return *asked, len(examined.pools), bool(examined.subject)
