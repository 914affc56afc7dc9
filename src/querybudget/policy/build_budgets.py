"""Budgets, from the file's words to the policy's types."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, tzinfo
from fnmatch import fnmatchcase

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from querybudget.ledger.calendar import Calendar
from querybudget.notation import Limit, check_whole
from querybudget.policy import buckets, file
from querybudget.policy.build_identity import POOLS, check_name
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.model import OPERATIONS, Budget, Match, Mode, TokenWeights
from querybudget.text import listed, nearest
from querybudget.units import Algorithm, Period, Quota, Unit

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
    given: tuple[file.BudgetFile, ...] | UnsetType, known: Known, problems: Problems
) -> tuple[Budget, ...]:
    """The budgets in order; those with a mistake are noted and left out."""
    if given is UNSET:
        return ()
    if not given:
        problems.add(("budgets",), "expected at least one budget, found none")
    _check_names(given, problems)
    found = (
        _budget(budget, ("budgets", index), known, problems) for index, budget in enumerate(given)
    )
    return tuple(budget for budget in found if budget is not None)


def _budget(given: file.BudgetFile, path: Path, known: Known, problems: Problems) -> Budget | None:
    per = _per(given.per, (*path, "per"), known, problems)
    match = _match(given.match, (*path, "match"), known, problems)
    zone = _zone(given, path, problems)
    if given.burst is not None and given.window not in ("gcra", UNSET):
        problems.add((*path, "burst"), "expected no burst without `window: gcra`, found one")
    if given.limit is UNSET:
        buckets.response(given, None, path, problems)
        return None
    if given.limit.unit is Unit.USD and not known.priced:
        message = "expected prices in `models` for a budget in usd, found none"
        problems.add((*path, "limit"), message)
    weights = _weights(given.weights, given.limit.unit, (*path, "weights"), problems)
    quota = _quota(given, given.limit, zone, path, problems)
    response = buckets.response(given, given.limit, path, problems)
    # Nobody is refused by a statistic that the operator has not watched first.
    usual = Mode.SHADOW if quota.unit is Unit.BUCKETS else known.mode
    mode = given.mode or usual
    return Budget(quota, per, match, weights, mode, given.on_store_error, response)


def _check_names(given: tuple[file.BudgetFile, ...], problems: Problems) -> None:
    seen: set[str] = set()
    for index, budget in enumerate(given):
        path = ("budgets", index, "name")
        if budget.name is UNSET:
            continue
        check_name(budget.name, path, problems)
        if budget.name in seen:
            problems.add(path, f"expected each name once, found `{budget.name}` again")
        seen.add(budget.name)


def _quota(
    given: file.BudgetFile, limit: Limit, zone: tzinfo, path: Path, problems: Problems
) -> Quota:
    algorithm = _algorithm(given, limit, path, problems)
    calendar = algorithm is Algorithm.CALENDAR and limit.period is not None
    return Quota(
        name="" if given.name is UNSET else given.name,
        unit=limit.unit,
        limit=limit.amount,
        window=limit.window,
        algorithm=algorithm,
        burst=_burst(given, limit, (*path, "burst"), problems),
        bounds=Calendar(limit.period, zone) if calendar and limit.period else None,
    )


def _algorithm(given: file.BudgetFile, limit: Limit, path: Path, problems: Problems) -> Algorithm:
    window = given.window or "sliding"
    if limit.unit is Unit.BUCKETS:
        return Algorithm.DISTINCT
    if limit.period is None:
        if given.window:
            message = f"expected no window for concurrency, found `{window}`"
            problems.add((*path, "window"), message)
        return Algorithm.LEASE
    if window == "calendar" and (limit.period is Period.SECOND or limit.count != 1):
        found = f"{limit.count} {limit.period}{'s' * (limit.count != 1)}"
        periods = "one minute, hour, day, week, month or year"
        message = f"expected {periods} for `window: calendar`, found {found}"
        problems.add((*path, "limit"), message)
    return Algorithm(window)


def _zone(given: file.BudgetFile, path: Path, problems: Problems) -> tzinfo:
    name = given.timezone
    if name is None:
        return UTC
    if given.window not in ("calendar", UNSET):
        message = f"expected no time zone without `window: calendar`, found `{name}`"
        problems.add((*path, "timezone"), message)
    try:
        return UTC if name == "UTC" else zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        near = nearest(name, zoneinfo.available_timezones())
        message = f"expected a time zone such as `Europe/Berlin`, found `{name}`{near}"
        problems.add((*path, "timezone"), message)
        return UTC


def _burst(given: file.BudgetFile, limit: Limit, path: Path, problems: Problems) -> int:
    if given.burst is None:
        return limit.amount
    amount, unit = given.burst
    if unit not in (None, limit.unit):
        problems.add(path, f"expected a burst in {limit.unit}, found {unit}")
    try:
        check_whole(amount, limit.unit)
    except ValueError as error:
        problems.add(path, str(error))
    return amount


def _weights(
    weights: TokenWeights | None, unit: Unit, path: Path, problems: Problems
) -> TokenWeights:
    if weights is None:
        return TokenWeights()
    written = problems.keys(path)
    if unit not in _TOKENS:
        problems.add(path, f"expected no weights for a limit in {unit}, found some")
    for kind in weights.__struct_fields__:
        if unit in _TOKENS and kind not in _TOKENS[unit] and kind in written:
            message = f"expected weights of what {unit} counts, found `{kind}`"
            problems.add((*path, kind), message)
    usual = {
        "cached_input": weights.input,
        "cache_write": weights.input,
        "reasoning": weights.output,
    }
    return replace(weights, **{kind: usual[kind] for kind in usual if kind not in written})


def _per(given: tuple[str, ...], path: Path, known: Known, problems: Problems) -> tuple[str, ...]:
    pools = (*POOLS, *known.partitions)
    _check_words(given, pools, "a partition", path, problems)
    if len(set(given)) < len(given):
        problems.add(path, "expected each partition once, found one again")
    if not given:
        problems.add(path, "expected at least one partition, found none (did you mean `everyone`?)")
    return given


def _match(match: Match, path: Path, known: Known, problems: Problems) -> Match:
    method = tuple(word.upper() for word in match.method)
    operations = (*OPERATIONS, *known.operations)
    unknown = tuple(
        pattern
        for pattern in match.operation
        if not any(fnmatchcase(operation, pattern) for operation in operations)
    )
    for key, words, allowed, what in (
        ("method", method, _METHODS, "an HTTP method"),
        ("tier", match.tier, (*known.tiers, "default"), "a tier"),
        ("operation", unknown, operations, "an operation"),
        ("capability", match.capability, known.capabilities, "a capability"),
    ):
        _check_words(words, allowed, what, (*path, key), problems)
    check_paths(match.path, (*path, "path"), problems)
    return replace(match, method=method)


def check_paths(patterns: tuple[str, ...], path: Path, problems: Problems) -> None:
    """Patterns over paths start as paths do, or with a wildcard."""
    for pattern in patterns:
        if not pattern.startswith(("/", "*", "?", "[")):
            where = problems.item(path, pattern)
            problems.add(where, f"expected a path such as `/v1/*`, found `{pattern}`")


def _check_words(
    words: tuple[str, ...], known: Collection[str], what: str, path: Path, problems: Problems
) -> None:
    for word in words:
        if word not in known:
            message = f"expected {what} of {listed(known)}, found `{word}`{nearest(word, known)}"
            problems.add(problems.item(path, word), message)
