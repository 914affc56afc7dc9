"""Tiers: from the file's structs to the policy's types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import UNSET, Struct, structs

from querybudget.backends import guarantees_of
from querybudget.notation import LARGEST
from querybudget.policy import file
from querybudget.policy.build_identity import FORGED, check_name, header_name, networks
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.history import HistoryRule, Span
from querybudget.policy.model import ResolverSpec, Tier, TierRule
from querybudget.policy.naming import CallerName
from querybudget.policy.stage_words import stages
from querybudget.policy.tier_words import (
    CallsFile,
    DollarsFile,
    DurationsFile,
    NotFile,
    TierFile,
    WhenFile,
)
from querybudget.text import listed, nearest
from querybudget.units import MICRO, Period, Unit

MAX_FACTOR = 1_000 * MICRO
"""The largest factor on prices and delays."""

PRICE, DELAY = "price", "delay"
"""Words of `scale` that are neither a budget's nor a unit's, unless a budget is named so."""

_HISTORY = ("age", "calls", "spent", "clean")
_WHO = ("user", "api_key", "account")
_PARTS = ("source", "claim", "header", "partition", *_WHO)
_YEAR = Period.YEAR.length


class Known(Struct, frozen=True):
    """What the rest of the policy says that tiers refer to.

    Attributes:
        budgets: As written.
        chain: How callers are identified.
        partitions: Names.
        priced: Whether there are models with prices.
        store: URL of the store; empty if it is wrong.
    """

    budgets: tuple[file.BudgetFile, ...]
    chain: Sequence[ResolverSpec]
    partitions: Sequence[str]
    priced: bool
    store: str


def tiers(written: Mapping[str, TierFile], known: Known, problems: Problems) -> tuple[Tier, ...]:
    """Build the tiers in order; check that their factors are of budgets or units that exist.

    Args:
        written: The tiers as written.
        known: What they refer to.
        problems: Takes what is wrong.
    """
    limits = _largest_limits(known.budgets)
    built = tuple(_tier(name, tier, limits, known, problems) for name, tier in written.items())
    identified = {"account", *(spec.kind for spec in known.chain)}
    for tier in built:
        for rule, word in ((tier.when, ()), (tier.when.excluded, ("not",))):
            kinds = {who.kind for who in rule.callers} - identified if rule else set[str]()
            for kind in sorted(kinds):
                message = f"expected `{kind}` in `identity` too: nobody is identified by it"
                problems.add(("tiers", tier.name, "when", *word, kind), message)
    return built


def _largest_limits(budgets: tuple[file.BudgetFile, ...]) -> dict[str, int]:
    """Return the limit of each budget by its name, and the largest one in each unit."""
    limits = dict.fromkeys(Unit, 0) | {
        budget.name: 0 if budget.limit is UNSET else budget.limit.amount
        for budget in budgets
        if budget.name is not UNSET
    }
    for budget in budgets:
        if budget.limit is not UNSET:
            unit, amount = budget.limit.unit, budget.limit.amount
            limits[unit] = max(limits[unit], amount)
    return {str(name): amount for name, amount in limits.items()}


def _tier(
    name: str, tier: TierFile, limits: Mapping[str, int], known: Known, problems: Problems
) -> Tier:
    path = ("tiers", name)
    check_name(name, path, problems)
    if name == "default":
        problems.add(
            path, "expected another name, found `default`, the tier of callers without one"
        )
    others = {key: tier.scale[key] for key in (PRICE, DELAY) if key in {*tier.scale} - {*limits}}
    scale = {key: factor for key, factor in tier.scale.items() if key not in others}
    for key, factor in scale.items():
        _check_factor(key, factor, limits, (*path, "scale", key), problems)
    for key, factor in others.items():
        if factor > MAX_FACTOR:
            message = f"expected a factor up to {MAX_FACTOR // MICRO}, found a larger one"
            problems.add((*path, "scale", key), message)
    if not limits[Unit.BUCKETS]:
        for place in (*(("scale", key) for key in others), *[("then",)] * (tier.then is not None)):
            message = f"expected a budget in buckets beside `{place[-1]}`, found none"
            problems.add((*path, *place), message)
    rule = TierRule() if tier.when is UNSET else _when(tier.when, (*path, "when"), known, problems)
    begins = None if tier.then is None else tuple(stages(tier.then, (*path, "then"), problems))
    factors = others.get(PRICE, MICRO), others.get(DELAY, MICRO)
    return Tier(name, rule, scale, tier.also, *factors, begins)


def _check_factor(
    key: str, factor: int, limits: Mapping[str, int], path: Path, problems: Problems
) -> None:
    if key not in limits:
        near = nearest(key, [*limits, PRICE, DELAY])
        problems.add(
            path, f"expected a budget or a unit, `{PRICE}` or `{DELAY}`, found `{key}`{near}"
        )
    if factor == 0:
        problems.add(path, "expected a factor above zero, found 0")
    if limits.get(key, 0) * factor > LARGEST * MICRO:
        problems.add(path, "expected a smaller factor: the scaled limit is too large to count")


def _when(when: WhenFile, path: Path, known: Known, problems: Problems) -> TierRule:
    history = _history(when, path, known, problems)
    more = when.excluded is not None or history is not None
    rule = structs.replace(_rule(when, path, known, problems, more=more), history=history)
    if when.excluded is None:
        return rule
    excluded = _rule(when.excluded, (*path, "not"), known, problems)
    return structs.replace(rule, excluded=excluded)


def _rule(
    when: NotFile, path: Path, known: Known, problems: Problems, *, more: bool = False
) -> TierRule:
    headers = {
        header_name(name, (*path, "header", name), problems): frozenset(values)
        for name, values in when.header.items()
    }
    if headers and not when.trusted_proxies:
        problems.add((*path, "header"), FORGED)
    for name in when.partition:
        if name not in known.partitions:
            near = nearest(name, known.partitions)
            message = f"expected one of `partitions`, found `{name}`{near}"
            problems.add((*path, "partition", name), message)
    callers = [CallerName(kind, value) for kind in _WHO for value in getattr(when, kind)]
    given = (when.source, when.claim, when.header, when.partition, callers, more)
    if not (any(given) or problems.wrong(path)):
        parts = _PARTS if path[-1] == "not" else (*_PARTS, *_HISTORY)
        problems.add(path, f"expected one of {listed(parts)}, found none of them")
    return TierRule(
        frozenset(when.source),
        {name: frozenset(values) for name, values in when.claim.items()},
        headers,
        networks(when.trusted_proxies, (*path, "trusted_proxies"), problems),
        tuple(callers),
        {name: frozenset(values) for name, values in when.partition.items()},
    )


def _history(when: WhenFile, path: Path, known: Known, problems: Problems) -> HistoryRule | None:
    """Build what a tier asks of a caller's history; None if it asks nothing."""
    asked = {word: getattr(when, word) for word in _HISTORY if getattr(when, word) is not None}
    if not asked:
        return None
    spans = {word: _span(each, (*path, word), problems) for word, each in asked.items()}
    guarantees = guarantees_of(known.store) if known.store else None
    if guarantees is not None and not guarantees.profiles:
        scheme = known.store.partition("://")[0]
        message = f"expected a store that knows callers, found `{scheme}://`, which only counts"
        problems.add((*path, next(iter(asked))), message)
    if "spent" in asked and not known.priced:
        message = "expected prices in `models` for `spent`, found none"
        problems.add((*path, "spent"), message)
    clean = spans.get("clean", Span())
    if max(clean.at_least, clean.below) > _YEAR:
        problems.add((*path, "clean"), "expected at most a year, found more")
    return HistoryRule(**spans)


def _span(written: DurationsFile | CallsFile | DollarsFile, path: Path, problems: Problems) -> Span:
    at_least, below = written.at_least or 0, written.below or 0
    if not at_least and not below and not problems.wrong(path):
        problems.add(path, "expected `at_least` or `below`, found none of them")
    if 0 < below <= at_least:
        problems.add((*path, "below"), "expected more than `at_least`, found no more")
    return Span(at_least, below)
