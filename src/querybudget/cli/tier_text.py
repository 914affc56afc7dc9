"""What `querybudget check` says of tiers: what they ask for, and what they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from querybudget.coverage.response import Stage
from querybudget.limiter.scaling import Scales
from querybudget.policy.history import HistoryRule, Span
from querybudget.policy.model import Policy, Tier
from querybudget.text import dollars, limit, number, share, span
from querybudget.units import MICRO

STAGES = {Stage.SLOW: "slowed", Stage.DEGRADE: "degraded", Stage.REFUSE: "refused"}
"""What a stage does to calls, in a sentence."""


def tiers(policy: Policy) -> Iterator[str]:
    """Yield a line with the names of all tiers, and one for each of which there is more to say."""
    if policy.tiers:
        yield f"tiers: {', '.join(tier.name for tier in policy.tiers)}"
    for tier in policy.tiers:
        parts = [*_asks(tier.when.history or HistoryRule()), *_limits(tier, policy)]
        parts += _changes(tier)
        if parts:
            yield f"  {tier.name}: {'; '.join(parts)}"


def _asks(rule: HistoryRule) -> Iterator[str]:
    if rule.age is not None:
        yield f"known for {_within(rule.age, span)}"
    if rule.calls is not None:
        yield f"{_within(rule.calls, _plain)} calls answered in a year"
    if rule.spent is not None:
        yield f"{_within(rule.spent, dollars)} spent in a year"
    if rule.clean is not None:
        clean = _within(rule.clean, span)
        yield f"neither slowed, degraded nor refused by its own budgets for {clean}"


def _limits(tier: Tier, policy: Policy) -> Iterator[str]:
    """What a tier makes of each limit; of a budget that callers share, of what all of them use."""
    scales = Scales((tier,))
    for budget in policy.budgets:
        scaled = scales.scaled(budget.quota, (tier.name,))
        others = budget.match.tier and tier.name not in budget.match.tier and not tier.also
        if scaled == budget.quota or others:
            continue
        pool = "" if budget.per == ("everyone",) else f" of one {' and '.join(budget.per)}"
        shared = "" if "identity" in budget.per else f", of what all calls{pool} use"
        yield f"{budget.name} becomes {limit(scaled)}{shared}"


def _changes(tier: Tier) -> Iterator[str]:
    if tier.price != MICRO:
        yield f"prices rise {number(tier.price)} times as far"
    if tier.delay != MICRO:
        yield f"delays last {number(tier.delay)} times as long"
    if tier.stages is not None:
        begins = [f"{STAGES[stage]} from {share(begin)}" for stage, begin in tier.stages]
        yield f"calls are {', '.join(begins)}" if begins else "calls are in no stage"


def _within(accepted: Span, words: Callable[[int], str]) -> str:
    least, below = accepted.at_least, accepted.below
    parts = [f"at least {words(least)}"] * bool(least)
    parts += [f"less than {words(below)}"] * bool(below)
    return " and ".join(parts)


def _plain(count: int) -> str:
    return f"{count:,}"
