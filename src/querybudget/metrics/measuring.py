"""Turns an event, and the state of a limiter, into measurements."""

from __future__ import annotations

from collections.abc import Iterator

from querybudget.adapters.base import Usage
from querybudget.events import DecisionEvent, EventStage, EventVerdict, Settlement
from querybudget.ledger.types import LineStatus, Standing
from querybudget.limiter import Limiter
from querybudget.metrics import series
from querybudget.metrics.labels import OTHER, TOKEN_KINDS, Labels
from querybudget.metrics.series import Metric
from querybudget.overrides import Effect
from querybudget.policy.model import Mode, Policy
from querybudget.units import MICRO, SECOND

Measured = tuple[Metric, tuple[str, ...], float]
"""A metric, the values of its labels in their order, and what is added, observed or set."""

_REFUSED = frozenset(EventVerdict) - {EventVerdict.ADMIT, EventVerdict.STORE_ERROR}
_MODES = (Mode.ENFORCE, Mode.SHADOW)


def measure(event: DecisionEvent, labels: Labels, policy: Policy) -> Iterator[Measured]:
    """Yield what an event measures.

    Args:
        event: One call.
        labels: Which values labels may take.
        policy: The policy that decided.
    """
    tier, model = labels.of("tier", event.tier), labels.model(event.model)
    yield series.CALLS, (tier, model, event.verdict), 1
    if event.settlement:
        yield series.SETTLEMENTS, (event.settlement, event.store), 1
        yield series.DURATION, (model,), event.duration / SECOND
    units = {budget.name: budget.quota.unit for budget in policy.budgets}
    for name, amount in event.charged.items():
        if name in units and amount > 0:
            yield series.CHARGED, (name, units[name]), amount / MICRO
    if event.usage is not None:
        yield from _tokens(event.usage, tier, model)
    for mode, refusing in zip(_MODES, (event.violated, event.shadowed), strict=True):
        for budget in refusing:
            yield series.REFUSALS, (labels.of("budget", budget), tier, mode), 1
    if is_disturbed(event):
        yield series.DISTURBED, (tier, Mode.ENFORCE), 1
    if event.shadowed or event.shadow_stage != EventStage.NONE:
        yield series.DISTURBED, (tier, Mode.SHADOW), 1
    if event.decision is not None:
        yield from _lines(event.decision.lines, labels, policy, tier, model)
    yield from _coverage(event, labels, tier)


def open_calls(limiter: Limiter) -> int:
    """Return how many calls of a process are open."""
    return len(limiter.renewals)


def overrides_by_effect(limiter: Limiter) -> dict[Effect, int]:
    """Return how many overrides the store keeps that have not ended, by what they do."""
    now = limiter.clock()
    present = [one.effect for one in limiter.feed.stored if not one.until or now < one.until]
    return {effect: present.count(effect) for effect in Effect if effect is not Effect.LOGOUT}


def is_disturbed(event: DecisionEvent) -> bool:
    """Return True if a call was refused, slowed or degraded."""
    refused = event.verdict is EventVerdict.STORE_ERROR and event.settlement is Settlement.NONE
    return refused or event.verdict in _REFUSED or event.stage != EventStage.NONE


def _tokens(usage: Usage, tier: str, model: str) -> Iterator[Measured]:
    cached, written, reasoning = usage.cached_input, usage.cache_write, usage.reasoning
    plain = max(0, usage.input - cached - written), cached, written
    figures = (*plain, max(0, usage.output - reasoning), reasoning)
    for kind, count in zip(TOKEN_KINDS, figures, strict=True):
        if count:
            yield series.USED_TOKENS, (tier, model, kind), count
    if usage.input or usage.output:
        yield series.CALL_TOKENS, (model, "input"), usage.input
        yield series.CALL_TOKENS, (model, "output"), usage.output


def _lines(
    lines: tuple[LineStatus, ...], labels: Labels, policy: Policy, tier: str, model: str
) -> Iterator[Measured]:
    pools = {budget.name: budget.per for budget in policy.budgets}
    for status in lines:
        quota = status.line.quota
        if quota.apart:
            continue
        used, name = 1 - status.remaining / quota.limit, labels.of("budget", quota.name)
        yield series.BUDGET_USED, (name,), used
        per = pools.get(quota.name, ())
        if status.line.standing is not Standing.FIXED or ("model" in per and model == OTHER):
            continue
        of = (tier if "tier" in per else "", model if "model" in per else "")
        yield series.POOL_USED, (name, *of), used


def _coverage(event: DecisionEvent, labels: Labels, tier: str) -> Iterator[Measured]:
    stages = zip(_MODES, (event.stage, event.shadow_stage), strict=True)
    for mode, stage in stages:
        if stage != EventStage.NONE:
            yield series.STAGED, (tier, stage, mode), 1
    if event.delay:
        yield series.DELAY, (tier,), event.delay / SECOND
    if event.novelty and event.decision is not None and event.decision.admitted:
        yield series.NEW_BUCKETS, (), event.novelty
    for name in event.capabilities:
        yield series.CAPABILITY_CALLS, (labels.of("capability", name),), 1
    for kind in event.opaque:
        yield series.OPAQUE_CALLS, (labels.of("opaque", kind),), 1
    if event.covered:
        yield series.STRAIN, (tier,), event.strain / MICRO
        yield series.PRICE, (Mode.ENFORCE,), event.price / MICRO
        yield series.PRICE, (Mode.SHADOW,), event.shadow_price / MICRO
