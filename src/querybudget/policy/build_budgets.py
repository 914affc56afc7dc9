"""Budgets: from the file's structs to the policy's types, every problem noted."""

from __future__ import annotations

import zoneinfo
from collections import Counter
from collections.abc import Collection
from datetime import UTC, tzinfo
from fnmatch import fnmatchcase

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from querybudget.coverage.observation import FINE
from querybudget.coverage.response import BucketResponse, Curve
from querybudget.ledger.calendar import Calendar
from querybudget.notation import Limit, check_whole
from querybudget.policy import file
from querybudget.policy.build_identity import POOLS, check_name
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.linking import GROUP
from querybudget.policy.match import ANY_OPAQUE, OPAQUE, OPERATIONS, Match
from querybudget.policy.model import Budget, Mode
from querybudget.policy.prices import TokenWeights, completed_weights
from querybudget.policy.stage_words import stages
from querybudget.policy.suspect_words import suspects
from querybudget.text import in_units, listed, nearest
from querybudget.units import MICRO, SECOND, Algorithm, Period, Quota, Unit

MAX_BUCKETS = FINE * 100 * MICRO
"""More than all buckets there are, each at the largest weight."""

MAX_DELAY = 60 * SECOND
MAX_PRICE = 1_000 * MICRO

_EXAMPLE_ZONE = "Europe/Berlin"
_BUCKET_KEYS = ("price", "then", "delay", "score", "suspects")
_METHODS = (
    "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY WEBSOCKET".split()  # noqa: SIM905
)
_PROMPT = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "image_input")
_GENERATED = ("output", "reasoning", "audio_output", "image_output")
_WEIGHTS = {
    Unit.TOKENS: (*_PROMPT, *_GENERATED, "logprobs"),
    Unit.INPUT_TOKENS: (*_PROMPT, "logprobs"),
    Unit.OUTPUT_TOKENS: (*_GENERATED, "logprobs"),
}


class Known(Struct, frozen=True):
    """What the rest of the policy says that budgets refer to.

    Attributes:
        mode: Mode of budgets without one.
        partitions: Names.
        tiers: Names.
        operations: Names of generic routes.
        capabilities: Names.
        priced: Whether there are models with prices.
        links: Mode of linking; None where no accounts are linked.
    """

    mode: Mode
    partitions: Collection[str]
    tiers: Collection[str]
    operations: Collection[str]
    capabilities: Collection[str]
    priced: bool
    links: Mode | None = None


def budgets(
    written: tuple[file.BudgetFile, ...] | UnsetType, known: Known, problems: Problems
) -> tuple[Budget | None, ...]:
    """Build the budgets in order; None in place of one without a usable limit."""
    if written is UNSET:
        return ()
    if not written:
        problems.add(("budgets",), "expected at least one budget, found none")
    _check_names(written, problems)
    return tuple(
        _budget(budget, ("budgets", index), known, problems) for index, budget in enumerate(written)
    )


def check_paths(patterns: tuple[str, ...], path: Path, problems: Problems) -> None:
    """Check that patterns over paths start as paths do, or with a wildcard."""
    for pattern in patterns:
        if not pattern.startswith(("/", "*", "?", "[")):
            where = problems.item(path, pattern)
            problems.add(where, f"expected a path such as `/v1/*`, found `{pattern}`")


def _check_braces(patterns: tuple[str, ...], path: Path, problems: Problems) -> None:
    """Check that no pattern has a name in braces, which frameworks know: it would match nothing."""
    for pattern in patterns:
        name, closed, _ = pattern.partition("{")[2].partition("}")
        if closed:
            wild = pattern.replace(f"{{{name}}}", "*")
            where = problems.item(path, pattern)
            problems.add(where, f"expected a pattern such as `{wild}`, found `{pattern}`")


def _budget(budget: file.BudgetFile, path: Path, known: Known, problems: Problems) -> Budget | None:
    _check_per(budget.per, (*path, "per"), known, problems)
    match = _match(budget.match, (*path, "match"), known, problems)
    zone = _zone(budget, path, problems)
    if budget.burst is not None and budget.window not in ("gcra", UNSET):
        problems.add((*path, "burst"), "expected no burst without `window: gcra`, found one")
    if budget.limit is UNSET:
        _response(budget, path, problems)
        return None
    unit = budget.limit.unit
    if unit is Unit.USD and not known.priced:
        message = "expected prices in `models` for a budget in usd, found none"
        problems.add((*path, "limit"), message)
    # A statistic refuses no call until the operator has looked at it and sets `mode: enforce`.
    shadowed = GROUP in budget.per and known.links is Mode.SHADOW
    default_mode = Mode.SHADOW if unit is Unit.BUCKETS else known.mode
    return Budget(
        weights=_weights(budget.weights, unit, (*path, "weights"), problems),
        quota=_quota(budget, budget.limit, zone, path, problems),
        response=_bucket_response(budget, budget.limit, path, problems),
        counted=budget.score != "only",
        per=budget.per,
        match=match,
        mode=Mode.SHADOW if shadowed else budget.mode or default_mode,
        on_store_error=budget.on_store_error,
    )


def _check_names(written: tuple[file.BudgetFile, ...], problems: Problems) -> None:
    seen: set[str] = set()
    for index, budget in enumerate(written):
        path = ("budgets", index, "name")
        if budget.name is UNSET:
            continue
        check_name(budget.name, path, problems)
        if budget.name in seen:
            problems.add(path, f"expected each name once, found `{budget.name}` again")
        seen.add(budget.name)


def _check_per(per: tuple[str, ...], path: Path, known: Known, problems: Problems) -> None:
    _check_words(per, (*POOLS, *known.partitions), "a partition", path, problems)
    repeated = next((name for name, count in Counter(per).items() if count > 1), None)
    if repeated:
        problems.add(path, f"expected each partition once, found `{repeated}` again")
    if not per:
        problems.add(path, "expected at least one partition, found none (did you mean `everyone`?)")


def _match(match: Match, path: Path, known: Known, problems: Problems) -> Match:
    operations = (*OPERATIONS, *known.operations)
    methods = tuple(word for word in match.method if word.upper() not in _METHODS)
    kinds = tuple(word for word in match.opaque if word != ANY_OPAQUE)
    unmatched = tuple(
        pattern
        for pattern in match.operation
        if not any(fnmatchcase(operation, pattern) for operation in operations)
    )
    for key, words, allowed, what in (
        ("method", methods, _METHODS, "an HTTP method"),
        ("tier", match.tier, (*known.tiers, "default"), "a tier"),
        ("operation", unmatched, operations, "an operation"),
        ("capability", match.capability, known.capabilities, "a capability"),
        ("opaque", kinds, OPAQUE, "`true` or a kind"),
    ):
        _check_words(words, allowed, what, (*path, key), problems)
    check_paths(match.path, (*path, "path"), problems)
    _check_braces(match.path, (*path, "path"), problems)
    for key in problems.keys(path):
        if getattr(match, key, None) == () and not problems.wrong((*path, key)):
            wanted = "`true` or at least one kind" if key == "opaque" else f"at least one {key}"
            problems.add((*path, key), f"expected {wanted}, found none")
    opaque = OPAQUE if ANY_OPAQUE in match.opaque else match.opaque
    return replace(match, method=tuple(word.upper() for word in match.method), opaque=opaque)


def _check_words(
    words: tuple[str, ...], known: Collection[str], what: str, path: Path, problems: Problems
) -> None:
    for word in words:
        if word not in known:
            message = f"expected {what} of {listed(known)}, found `{word}`{nearest(word, known)}"
            problems.add(problems.item(path, word), message)


# -- Quotas ----------------------------------------------------------------------------------------


def _quota(
    budget: file.BudgetFile, limit: Limit, zone: tzinfo, path: Path, problems: Problems
) -> Quota:
    algorithm = _algorithm(budget, limit, path, problems)
    calendar = algorithm is Algorithm.CALENDAR and limit.period is not None
    return Quota(
        name="" if budget.name is UNSET else budget.name,
        unit=limit.unit,
        limit=limit.amount,
        window=limit.window,
        algorithm=algorithm,
        burst=_burst(budget, limit, (*path, "burst"), problems),
        bounds=Calendar(limit.period, zone) if calendar and limit.period else None,
    )


def _algorithm(budget: file.BudgetFile, limit: Limit, path: Path, problems: Problems) -> Algorithm:
    window = budget.window or "sliding"
    if limit.unit is Unit.BUCKETS:
        return Algorithm.SLIDING
    if limit.period is None:
        if budget.window:
            message = f"expected no window for concurrency, found `{window}`"
            problems.add((*path, "window"), message)
        return Algorithm.LEASE
    if window == "calendar" and (limit.period is Period.SECOND or limit.count != 1):
        periods = "one minute, hour, day, week, month or year"
        message = f"expected {periods} for `window: calendar`, found {_every(limit)}"
        problems.add((*path, "limit"), message)
    return Algorithm(window)


def _zone(budget: file.BudgetFile, path: Path, problems: Problems) -> tzinfo:
    name = budget.timezone
    if name is None:
        return UTC
    if budget.window not in ("calendar", UNSET):
        message = f"expected no time zone without `window: calendar`, found `{name}`"
        problems.add((*path, "timezone"), message)
    try:
        return UTC if name == "UTC" else zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        problems.add((*path, "timezone"), _no_zone(name, zoneinfo.available_timezones()))
        return UTC


def _no_zone(name: str, known: Collection[str]) -> str:
    """Say what is wrong: the name, or this machine's database of time zones."""
    if _EXAMPLE_ZONE not in known:
        return (
            f"expected the time zone `{name}` in this machine's zone database, found"
            f" {'an incomplete one' if known else 'none'}: pip install tzdata"
        )
    return f"expected a time zone such as `{_EXAMPLE_ZONE}`, found `{name}`{nearest(name, known)}"


def _burst(budget: file.BudgetFile, limit: Limit, path: Path, problems: Problems) -> int:
    if budget.burst is None:
        return limit.amount
    amount, unit = budget.burst
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
    if unit not in _WEIGHTS:
        problems.add(path, f"expected no weights for a limit in {unit}, found some")
    for kind in weights.__struct_fields__:
        if unit in _WEIGHTS and kind not in _WEIGHTS[unit] and kind in written:
            message = f"expected weights of tokens that {unit} counts, found `{kind}`"
            problems.add((*path, kind), message)
    return completed_weights(weights, written)


# -- Buckets: what spending them leads to ----------------------------------------------------------


def _bucket_response(
    budget: file.BudgetFile, limit: Limit, path: Path, problems: Problems
) -> BucketResponse | None:
    """Build the response of a budget in buckets; check that others have none of its keys."""
    if limit.unit is Unit.BUCKETS:
        _check_bucket_limit(budget, limit, path, problems)
        return _response(budget, path, problems)
    for key in _BUCKET_KEYS:
        if getattr(budget, key) is not None:
            message = f"expected a limit in buckets beside `{key}`, found one in {limit.unit}"
            problems.add((*path, key), message)
    return None


def _check_bucket_limit(
    budget: file.BudgetFile, limit: Limit, path: Path, problems: Problems
) -> None:
    if budget.window and budget.window != "sliding":
        message = f"expected `window: sliding` for a limit in buckets, found `{budget.window}`"
        problems.add((*path, "window"), message)
    if limit.amount > MAX_BUCKETS:
        most, found = MAX_BUCKETS // MICRO, in_units(limit.amount)
        message = f"expected at most {most} buckets, found `{found}`"
        problems.add((*path, "limit"), message)
    if not Period.MINUTE.length <= limit.window <= 400 * Period.DAY.length:
        message = f"expected buckets per 1 minute to 400 days, found {_every(limit)}"
        problems.add((*path, "limit"), message)


def _response(budget: file.BudgetFile, path: Path, problems: Problems) -> BucketResponse | None:
    """Build the response; None where there is a problem with it."""
    price = budget.price or file.PriceFile()
    begins = tuple(stages(budget.then, (*path, "then"), problems))
    _check_price(price, (*path, "price"), problems)
    _check_delay(budget, path, problems)
    where = (*path, "suspects")
    whom = suspects(budget.suspects, budget.per, budget.score, where, problems)
    if any(problems.wrong((*path, key)) for key in _BUCKET_KEYS):
        return None
    default = BucketResponse()
    return BucketResponse(
        free=default.free if price.free is None else price.free,
        cap=MICRO if price.curve == "none" else price.cap or default.cap,
        curve=_curve(price),
        slope=price.slope or default.slope,
        stages=begins,
        delay=budget.delay or default.delay,
        scored=budget.score != "false",
        suspects=whom,
    )


def _curve(price: file.PriceFile) -> Curve:
    if price.curve in {"b4b", "linear"}:
        return Curve(price.curve)
    return Curve.LINEAR if price.curve is None and price.slope is not None else Curve.EXPONENTIAL


def _check_price(price: file.PriceFile, path: Path, problems: Problems) -> None:
    if price.curve == "none":
        if price != file.PriceFile(curve="none"):
            problems.add(path, "expected no figures with `curve: none`, found some")
        return
    if price.cap is not None and not MICRO < price.cap <= MAX_PRICE:
        message = f"expected a highest price above 1, up to {in_units(MAX_PRICE)}"
        problems.add((*path, "cap"), f"{message} (`price: none` keeps the price at 1)")
    if price.slope == 0:
        problems.add((*path, "slope"), "expected a slope above zero, found 0")
    if price.slope is not None and price.curve in {"exponential", "b4b"}:
        message = f"expected a slope with `curve: linear`, found one with `{price.curve}`"
        problems.add((*path, "slope"), message)


def _check_delay(budget: file.BudgetFile, path: Path, problems: Problems) -> None:
    if budget.delay is None:
        return
    if budget.delay > MAX_DELAY:
        problems.add((*path, "delay"), "expected a delay of at most 60s, found a longer one")
    slowed = budget.then is not None and budget.then.slow is not None
    if not slowed and not problems.wrong((*path, "then")):
        message = "expected `slow` under `then` beside `delay`, found none"
        problems.add((*path, "delay"), message)


def _every(limit: Limit) -> str:
    return f"{limit.count} {limit.period}{'s' * (limit.count != 1)}"
