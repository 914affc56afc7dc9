"""A record of the traffic log as the limiter takes it: who called, what was asked, how it ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from querybudget.adapters.base import Call, Channel, Dialect, Opaque, Segment, Target, Usage
from querybudget.errors import QueryBudgetError
from querybudget.identity import ANONYMOUS, Identity
from querybudget.identity.tiers import DEFAULT_TIER, tier_rules
from querybudget.limiter import Limiter, Outcome
from querybudget.limiter.conditions import ASK_NO_MODEL
from querybudget.limiter.plans import Caller
from querybudget.limiter.route import Route
from querybudget.limiter.scopes import WEBSOCKET, paths_of, request_scope
from querybudget.policy.match import OPAQUE_TEXT
from querybudget.policy.model import Policy, Tier
from querybudget.traffic.record import TrafficRecord

CACHED = 4_096
"""Routes that are kept; the least recently used is dropped."""

GIVEN_BACK = frozenset({401, 403, 407, 429})
"""Statuses below 500 of answers that nothing is charged for, as in `querybudget.asgi`."""

_PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "count_tokens": "/v1/messages/count_tokens",
    "embeddings": "/v1/embeddings",
    "messages": "/v1/messages",
    "moderations": "/v1/moderations",
    "rerank": "/v1/rerank",
    "responses": "/v1/responses",
}
"""The path of an operation, for logs that have no paths."""

_WRITES_NOTHING = ASK_NO_MODEL | {
    "audio",
    "count_tokens",
    "embeddings",
    "images",
    "moderations",
    "rerank",
    "score",
    "videos",
}

_REFUSED = frozenset({"wait", "never", "unpriced", "blocked", "too_many_delayed"})
"""Verdicts of calls that did not reach the application; `store_error` is one without settlement."""

_LEAST = (b"{}", b'{"model": "m", "max_tokens": 1, "messages": [], "prompt": "", "input": ""}')
"""Bodies that ask as little as a path takes, to learn what it is for."""

_DIALECTS = {"messages": Dialect.ANTHROPIC, "count_tokens": Dialect.ANTHROPIC}
_ANSWERED, _FAILED, _REJECTED = Outcome.ANSWERED, Outcome.FAILED, Outcome.REJECTED


class Asked(msgspec.Struct, frozen=True):
    """Where a record's call was sent.

    Attributes:
        route: The budgets that may apply; None if none does.
        method, path: As matched.
        operation: What the path asks, if the record does not say it.
    """

    route: Route | None
    method: str
    path: str
    operation: str


class Logged:
    """Translates records for a limiter.

    Args:
        policy: The limiter's.
        limiter: Knows the routes.
    """

    def __init__(self, policy: Policy, limiter: Limiter) -> None:
        self._limiter = limiter
        self._partitions = tuple(policy.partitions)
        self._tiers = {tier.name for tier in policy.tiers} | {DEFAULT_TIER}
        decidable = all(map(_is_decidable, policy.tiers))
        self._tier = tier_rules(policy.tiers) if policy.tiers and decidable else None
        if not decidable:  # then tiers are as the log says
            limiter.rules.histories = None
        self.asked: Callable[[str, str, str], Asked] = lru_cache(CACHED)(self._asked)
        self._callers: Callable[[str, str, str], Caller] = lru_cache(CACHED)(self._caller)
        self.strange_tiers = set[str]()
        """Tiers of records that the policy does not have."""
        self.unnamed = set[str]()
        """Partitions of which records do not say the pool."""

    def caller(self, record: TrafficRecord) -> Caller:
        """Return the sender of a record's call: its identity is hashed already."""
        caller = self._callers(record.identity, record.source, record.tier)
        if self._partitions:
            return replace(caller, pools=self._pools(record, caller.identity.key))
        return caller

    def _caller(self, key: str, source: str, tier: str) -> Caller:
        identity = Identity(key or ANONYMOUS, source)
        tiers: tuple[str, ...] = (tier,)
        if self._tier is not None:
            tiers = self._tier(identity, _SCOPE)
        elif tier not in self._tiers:
            if len(self.strange_tiers) < CACHED:
                self.strange_tiers.add(tier)
            tiers = (DEFAULT_TIER,)
        return Caller(identity, tiers, _SCOPE)

    def _pools(self, record: TrafficRecord, key: str) -> dict[str, str]:
        """Return the pools of a caller; each whose pool the log does not say is on its own."""
        pools: dict[str, str] = {}
        for name in self._partitions:
            pool = record.partitions.get(name, "")
            if not pool:
                self.unnamed.add(name)
                pool = f"none:{key}"
            pools[name] = pool if pool.startswith(f"{name}:") else f"{name}:{pool}"
        return pools

    def call(self, record: TrafficRecord, asked: Asked) -> Call | None:
        """Return what a record's call asks; None if it asks no model."""
        operation = asked.operation
        if operation == "other":
            return None
        model, texts, opaque = record.model, record.texts, record.opaque
        return Call(
            _DIALECTS.get(operation, Dialect.OPENAI),
            operation,
            model,
            record.stream,
            record.items,
            record.choices,
            record.max_output,
            record.input_bytes,
            record.input_tokens,
            record.images,
            generates=operation not in _WRITES_NOTHING,
            any_model=not model and operation not in ASK_NO_MODEL,
            segments=_segments(record) if texts else (),
            opaque=_opaque(opaque, found=bool(texts)) if opaque else (),
        )

    def _asked(self, method: str, path: str, operation: str) -> Asked:
        path = path or _PATHS.get(operation, _PATHS["chat"])
        scope = request_scope(path, method=method)
        route = self._limiter.route_for(method, *paths_of(scope))
        if route is not None and not operation:
            operation = _operation(route, path)
        if method == WEBSOCKET and operation == "message" and route is not None:
            route = route.messages or route
        return Asked(route, method, path, operation or "other")


_SCOPE = request_scope("/")
"""The scope of every caller: a log has none. What resolvers would find is in the record."""


def was_refused(record: TrafficRecord) -> bool:
    """Return True if a record's call did not reach the application."""
    verdict = record.verdict
    if verdict == "admit":
        return False
    return verdict in _REFUSED or (verdict == "store_error" and not record.settlement)


def outcome_of(record: TrafficRecord) -> Outcome:
    """Return how a call ended by the status of its answer, as the middleware does.

    A call without a status did not come over HTTP, or its client left: it was answered if it used
    anything, or if the log does not say.
    """
    status, usage = record.status, record.usage
    if 200 <= status < 300 or status == 101:  # noqa: PLR2004 - HTTP's own
        return _ANSWERED
    if not status:
        return _FAILED if record.settlement and usage == Usage() else _ANSWERED
    if status in GIVEN_BACK or status >= 500:  # noqa: PLR2004 - HTTP's own
        return _FAILED
    return _REJECTED


def _segments(record: TrafficRecord) -> tuple[Segment, ...]:
    return tuple(
        Segment(Channel.FED if each.fed else Channel.SAID, each.text)
        for each in record.texts
        if each.text
    )


def _opaque(kinds: tuple[str, ...], *, found: bool) -> tuple[Opaque, ...]:
    """Return what cannot be read; if texts are logged, text that is no language is found there."""
    return tuple(Opaque(kind, "") for kind in kinds if kind != OPAQUE_TEXT or not found)


def _operation(route: Route, path: str) -> str:
    """Return what a path asks, as its adapter says of a body that asks for little."""
    if route.adapter is None:
        return "other"
    for body in _LEAST:
        try:
            return route.adapter.parse(Target(path, texts=False), body).operation
        except QueryBudgetError:
            continue
    return "chat"


def _is_decidable(tier: Tier) -> bool:
    """Return True if a record says all that a tier's rule asks."""
    rules = [rule for rule in (tier.when, tier.when.excluded) if rule is not None]
    return not any(rule.claims or rule.headers or rule.partitions or rule.callers for rule in rules)
