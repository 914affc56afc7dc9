"""The conditions under which a budget applies to a call, and which of them does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from querybudget.adapters.base import SESSION, UNREADABLE, Call
from querybudget.adapters.model_names import one_spelling
from querybudget.policy.match import kinds_of, opaque_bits
from querybudget.policy.model import Budget, Mode
from querybudget.units import Unit

ANY_MODEL = "*"
"""Stands for the models of a call that names none, so that its server chooses."""

UNMETERED = frozenset({Unit.REQUESTS, Unit.CONCURRENT, Unit.BUCKETS})
"""Units of which every call uses an amount that is known when it arrives."""

ASK_NO_MODEL = frozenset({"other", "handshake", SESSION})
"""Operations that use no tokens, so budgets of tokens, money and buckets do not apply."""

SHOW_NOTHING = ASK_NO_MODEL | {"count_tokens"}
"""Operations that no model answers: budgets of buckets do not apply, and nothing is embedded."""

TEACH_NOTHING = frozenset({"embeddings", "moderations", "rerank"})
"""Operations whose answers are numbers that no copy of a model that writes can learn from.

A caller that indexes documents sends all of them once, about any subject. So budgets of buckets,
and those of what cannot be read, apply to these operations only if they name them.
"""


class Mismatch(msgspec.Struct, frozen=True):
    """The first condition of a budget that a call does not meet.

    Attributes:
        condition: ``exempt``, ``path``, ``method``, ``model``, ``operation``, ``tier``,
            ``stream``, ``capability``, ``opaque``, or ``unit`` where the call uses nothing that the
            budget counts (tokens of a path that is no model's, buckets of a WebSocket).
        wanted: Patterns or names that the budget asks for, or that exempt the path; for ``stream``
            ``true`` or ``false``, for ``unit`` the budget's unit.
        actual: What the call has instead; empty for nothing. For ``unit``, its operation.
    """

    condition: str
    wanted: tuple[str, ...]
    actual: str

    @property
    def nearest(self) -> str:
        """The member of `wanted` that is most similar to `actual`."""
        import difflib  # noqa: PLC0415 - only `explain` asks

        return difflib.get_close_matches(self.actual, self.wanted, n=1, cutoff=0)[0]


def route_mismatch(budget: Budget, method: str, paths: Sequence[str]) -> Mismatch | None:
    """Return why a budget does not apply to a method and path; None if it may.

    Args:
        budget: The budget.
        method: HTTP method or ``WEBSOCKET``.
        paths: What the path may be taken for; it is enough that one of them matches.
    """
    match = budget.match
    if match.path and not any(_matches(match.path, path) for path in paths):
        return Mismatch("path", match.path, paths[0])
    if not _matches(match.method, method):
        return Mismatch("method", match.method, method)
    if method == "WEBSOCKET" and needs_analysis(budget):  # its messages are not analyzed
        return Mismatch("unit", (budget.quota.unit,), "message")
    return None


def call_mismatch(
    budget: Budget,
    tiers: Sequence[str],
    models: tuple[str, ...],
    operation: str,
    *,
    stream: bool | None,
) -> Mismatch | None:
    """Return why a budget does not apply to a call of its route; None if it does.

    It does not check capabilities, which are known later. A call that cannot be read may be of any
    model and operation.

    Args:
        budget: The budget.
        tiers: The caller's tier, and those that apply besides.
        models: Every model that may answer the call.
        operation: `Call.operation`.
        stream: Whether the answer is to be streamed; None if servers differ about that.
    """
    match = budget.match
    if operation != UNREADABLE:
        if not matching(budget, models):
            return Mismatch("model", match.model, ", ".join(models))
        if not _matches(match.operation, operation):
            return Mismatch("operation", match.operation, operation)
        if stream is not None and match.stream not in {None, stream}:
            return Mismatch("stream", (str(match.stream).lower(),), str(stream).lower())
    if match.tier and not any(tier in match.tier for tier in tiers):
        return Mismatch("tier", match.tier, tiers[0])
    unit = budget.quota.unit
    unnamed = operation == SESSION or (operation in TEACH_NOTHING and _looks_into(budget))
    if unnamed and not match.operation:
        return Mismatch("unit", (unit,), operation)
    return None if _counts(unit, operation) else Mismatch("unit", (unit,), operation)


def matching(budget: Budget, models: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of a call's models that a budget matches."""
    patterns = budget.match.model
    if not patterns or ANY_MODEL in models:
        return models
    return tuple(model for model in models if any(is_model(one, model) for one in patterns))


def models_of_call(call: Call) -> tuple[str, ...]:
    """Return the models that may answer a call."""
    if call.any_model:
        return tuple(dict.fromkeys((call.model or ANY_MODEL, *call.other_models, ANY_MODEL)))
    return (call.model, *call.other_models)


def is_model(pattern: str, model: str) -> bool:
    """Return True if some server may take a model's name for one that a pattern matches."""
    if fnmatchcase(model, pattern):
        return True
    return fnmatchcase(one_spelling(model), one_spelling(pattern))


def counts_buckets(budget: Budget) -> bool:
    """Return True if a budget counts buckets."""
    return budget.quota.unit is Unit.BUCKETS


def needs_no_body(budget: Budget) -> bool:
    """Return True if a budget enforces and charges every request alike, whatever its body says."""
    match, unit = budget.match, budget.quota.unit
    asks = match.model or match.operation or match.stream is not None or needs_content(budget)
    pooled = {"model", "template", "route"}.isdisjoint(budget.per)
    counts = unit is Unit.REQUESTS or unit is Unit.CONCURRENT
    return bool(counts and pooled and not asks and budget.mode is Mode.ENFORCE)


def enforces_money(budget: Budget) -> bool:
    """Return True if a budget counts money and refuses."""
    return budget.quota.unit is Unit.USD and budget.mode is Mode.ENFORCE


def needs_content(budget: Budget) -> bool:
    """Return True if a budget depends on what a call contains."""
    return needs_analysis(budget) or bool(budget.match.opaque) or "template" in budget.per


def needs_analysis(budget: Budget) -> bool:
    """Return True if only the analyzed prompt says whether a budget applies, or what it takes."""
    return counts_buckets(budget) or budget.match.analyzed


def opaque_mismatch(budget: Budget, kinds: int) -> Mismatch | None:
    """Return why a budget of opaque calls does not apply to one with these kinds, as bits."""
    wanted = budget.match.opaque
    if not wanted or opaque_bits(wanted) & kinds:
        return None
    return Mismatch("opaque", wanted, ", ".join(kinds_of(kinds)))


def _looks_into(budget: Budget) -> bool:
    return counts_buckets(budget) or bool(budget.match.opaque)


def _counts(unit: Unit, operation: str) -> bool:
    if unit is Unit.BUCKETS:
        return operation not in SHOW_NOTHING
    return unit in UNMETERED or operation not in ASK_NO_MODEL


def _matches(patterns: tuple[str, ...], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)
