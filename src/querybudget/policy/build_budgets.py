"""Budgets, from the file's words to the policy's types."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, tzinfo
from fnmatch import fnmatchcase

from msgspec import UNSET, UnsetType

from querybudget.ledger.calendar import Calendar
from querybudget.policy import buckets, file
from querybudget.policy.build_identity import POOLS, check_name
from querybudget.policy.diagnostics import Mistakes, Path
from querybudget.policy.model import OPERATIONS, Budget, Match, Mode, TokenWeights
from querybudget.policy.notation import Limit, Period, check_whole, listed, nearest
from querybudget.units import MICRO, Algorithm, Quota, Unit

__all__ = ["Known", "budgets", "check_paths"]

_METHODS = (
    "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY WEBSOCKET".split()  # noqa: SIM905
)
_TOKENS = {
    Unit.TOKENS: ("input", "cached_input", "cache_write", "output", "reasoning", "logprobs"),
    Unit.INPUT_TOKENS: ("input", "cached_input", "cache_write", "logprobs"),
    Unit.OUTPUT_TOKENS: ("output", "reasoning", "logprobs"),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What the rest of the policy says that budgets refer to.

    Attributes:
        mode: Of budgets that name none.
        partitions: Names.
        tiers: Names.
        operations: Names of generic routes.
        capabilities: Names.
        priced: Whether there are models with prices.
    """

    mode: Mode
    partitions: Collection[str]
    tiers: Collection[str]
    operations: Collection[str]
    capabilities: Collection[str]
    priced: bool


def budgets(
    given: tuple[file.BudgetFile, ...] | UnsetType, known: Known, mistakes: Mistakes
) -> tuple[Budget, ...]:
    """The budgets in order; those with a mistake are noted and left out."""
    if given is UNSET:
        return ()
    if not given:
        mistakes.add(("budgets",), "expected at least one budget, found none")
    _check_names(given, mistakes)
    found = (
        _budget(budget, ("budgets", index), known, mistakes) for index, budget in enumerate(given)
    )
    return tuple(budget for budget in found if budget is not None)


def _budget(given: file.BudgetFile, path: Path, known: Known, mistakes: Mistakes) -> Budget | None:
    per = _per(given.per, (*path, "per"), known, mistakes)
    match = _match(given.match, (*path, "match"), known, mistakes)
    zone = _zone(given, path, mistakes)
    if given.burst is not None and given.window not in ("gcra", UNSET):
        mistakes.add((*path, "burst"), "expected no burst without `window: gcra`, found one")
    if given.limit is UNSET:
        buckets.response(given, None, path, mistakes)
        return None
    if given.limit.unit is Unit.USD and not known.priced:
        message = "expected prices in `models` for a budget in usd, found none"
        mistakes.add((*path, "limit"), message)
    weights = _weights(given.weights, given.limit.unit, (*path, "weights"), mistakes)
    quota = _quota(given, given.limit, zone, path, mistakes)
    response = buckets.response(given, given.limit, path, mistakes)
    # Nobody is refused by a statistic that the operator has not watched first.
    usual = Mode.SHADOW if quota.unit is Unit.BUCKETS else known.mode
    mode = given.mode or usual
    return Budget(quota, per, match, weights, mode, given.on_store_error, response)


def _check_names(given: tuple[file.BudgetFile, ...], mistakes: Mistakes) -> None:
    seen: set[str] = set()
    for index, budget in enumerate(given):
        path = ("budgets", index, "name")
        if budget.name is UNSET:
            continue
        check_name(budget.name, path, mistakes)
        if budget.name in seen:
            mistakes.add(path, f"expected each name once, found `{budget.name}` again")
        seen.add(budget.name)


def _quota(
    given: file.BudgetFile, limit: Limit, zone: tzinfo, path: Path, mistakes: Mistakes
) -> Quota:
    algorithm = _algorithm(given, limit, path, mistakes)
    calendar = algorithm is Algorithm.CALENDAR and limit.period is not None
    return Quota(
        name="" if given.name is UNSET else given.name,
        unit=limit.unit,
        limit=limit.amount,
        window=limit.window,
        algorithm=algorithm,
        burst=_burst(given, limit, (*path, "burst"), mistakes),
        bounds=Calendar(limit.period, zone) if calendar and limit.period else None,
    )


def _algorithm(given: file.BudgetFile, limit: Limit, path: Path, mistakes: Mistakes) -> Algorithm:
    window = given.window or "sliding"
    if limit.unit is Unit.BUCKETS:
        return Algorithm.DISTINCT
    if limit.period is None:
        if given.window:
            message = f"expected no window for concurrency, found `{window}`"
            mistakes.add((*path, "window"), message)
        return Algorithm.LEASE
    if window == "calendar" and (limit.period is Period.SECOND or limit.count != 1):
        found = f"{limit.count} {limit.period}{'s' * (limit.count != 1)}"
        periods = "one minute, hour, day, week, month or year"
        message = f"expected {periods} for `window: calendar`, found {found}"
        mistakes.add((*path, "limit"), message)
    return Algorithm(window)


def _zone(given: file.BudgetFile, path: Path, mistakes: Mistakes) -> tzinfo:
    name = given.timezone
    if name is None:
        return UTC
    if given.window not in ("calendar", UNSET):
        message = f"expected no time zone without `window: calendar`, found `{name}`"
        mistakes.add((*path, "timezone"), message)
    try:
        return UTC if name == "UTC" else zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        near = nearest(name, zoneinfo.available_timezones())
        message = f"expected a time zone such as `Europe/Berlin`, found `{name}`{near}"
        mistakes.add((*path, "timezone"), message)
        return UTC


def _burst(given: file.BudgetFile, limit: Limit, path: Path, mistakes: Mistakes) -> int:
    if given.burst is None:
        return limit.amount
    amount, unit = given.burst
    if unit not in (None, limit.unit):
        mistakes.add(path, f"expected a burst in {limit.unit}, found {unit}")
    try:
        check_whole(amount, limit.unit)
    except ValueError as error:
        mistakes.add(path, str(error))
    return amount


def _weights(
    given: file.WeightsFile | None, unit: Unit, path: Path, mistakes: Mistakes
) -> TokenWeights:
    if given is None:
        return TokenWeights()
    if unit not in _TOKENS:
        mistakes.add(path, f"expected no weights for a limit in {unit}, found some")
    for kind in given.__struct_fields__:
        if unit in _TOKENS and kind not in _TOKENS[unit] and getattr(given, kind) is not None:
            message = f"expected weights of what {unit} counts, found `{kind}`"
            mistakes.add((*path, kind), message)
    entered = MICRO if given.input is None else given.input
    made = MICRO if given.output is None else given.output
    return TokenWeights(
        input=entered,
        cached_input=entered if given.cached_input is None else given.cached_input,
        cache_write=entered if given.cache_write is None else given.cache_write,
        output=made,
        reasoning=made if given.reasoning is None else given.reasoning,
        logprobs=TokenWeights().logprobs if given.logprobs is None else given.logprobs,
    )


def _per(given: tuple[str, ...], path: Path, known: Known, mistakes: Mistakes) -> tuple[str, ...]:
    pools = (*POOLS, *known.partitions)
    _check_words(given, pools, "a partition", path, mistakes)
    if len(set(given)) < len(given):
        mistakes.add(path, "expected each partition once, found one again")
    if not given:
        mistakes.add(path, "expected at least one partition, found none (did you mean `everyone`?)")
    return given


def _match(given: file.MatchFile, path: Path, known: Known, mistakes: Mistakes) -> Match:
    method = tuple(word.upper() for word in given.method)
    _check_words(method, _METHODS, "an HTTP method", (*path, "method"), mistakes)
    _check_words(given.tier, (*known.tiers, "default"), "a tier", (*path, "tier"), mistakes)
    operations = (*OPERATIONS, *known.operations)
    for pattern in given.operation:
        if not any(fnmatchcase(operation, pattern) for operation in operations):
            _check_words((pattern,), operations, "an operation", (*path, "operation"), mistakes)
    check_paths(given.path, (*path, "path"), mistakes)
    where = (*path, "capability")
    _check_words(given.capability, known.capabilities, "a capability", where, mistakes)
    return Match(
        given.path,
        method,
        given.model,
        given.operation,
        given.tier,
        given.stream,
        given.capability,
    )


def check_paths(patterns: tuple[str, ...], path: Path, mistakes: Mistakes) -> None:
    """Patterns over paths start as paths do, or with a wildcard."""
    for pattern in patterns:
        if not pattern.startswith(("/", "*", "?", "[")):
            where = mistakes.item(path, pattern)
            mistakes.add(where, f"expected a path such as `/v1/*`, found `{pattern}`")


def _check_words(
    words: tuple[str, ...], known: Collection[str], what: str, path: Path, mistakes: Mistakes
) -> None:
    for word in words:
        if word not in known:
            message = f"expected {what} of {listed(known)}, found `{word}`{nearest(word, known)}"
            mistakes.add(mistakes.item(path, word), message)
