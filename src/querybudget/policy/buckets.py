"""Budgets in buckets: what follows from spending them, from the file's words to the types."""

from __future__ import annotations

from collections.abc import Iterator

from querybudget.coverage.observation import FINE
from querybudget.coverage.response import BucketResponse, Curve, Stage
from querybudget.notation import Limit
from querybudget.policy import file
from querybudget.policy.diagnostics import Path, Problems
from querybudget.text import in_units
from querybudget.units import MICRO, SECOND, Period, Unit

__all__ = ["response"]

SHORTEST = Period.MINUTE.length
LONGEST = 400 * Period.DAY.length
LONGEST_DELAY = 60 * SECOND
LARGEST_CAP = 1_000 * MICRO
MOST = FINE * 100 * MICRO
"""All buckets there are, at the largest weight: a limit that only the score can spend."""

_KEYS = ("price", "then", "delay", "score")


def response(
    given: file.BudgetFile, limit: Limit | None, path: Path, problems: Problems
) -> BucketResponse | None:
    """What follows from spending it; None for other units, and where there is a mistake in it."""
    if limit is not None:
        if limit.unit is not Unit.BUCKETS:
            _check_other(given, limit.unit, path, problems)
            return None
        _check_limit(given, limit, path, problems)
    price = given.price or file.PriceFile()
    stages = tuple(_stages(given.then, (*path, "then"), problems))
    _check_price(price, (*path, "price"), problems)
    _check_delay(given, path, problems)
    if any(problems.wrong((*path, key)) for key in _KEYS):
        return None
    usual = BucketResponse()
    linear = price.curve == "linear" or (price.curve is None and price.slope is not None)
    return BucketResponse(
        free=usual.free if price.free is None else price.free,
        cap=MICRO if price.curve == "none" else price.cap or usual.cap,
        curve=Curve.B4B if price.curve == "b4b" else Curve.LINEAR if linear else usual.curve,
        slope=price.slope or usual.slope,
        stages=stages,
        delay=given.delay or usual.delay,
        scored=given.score is not False,
    )


def _check_other(given: file.BudgetFile, unit: Unit, path: Path, problems: Problems) -> None:
    """A limit in any other unit has none of the keys that are for buckets."""
    for key in _KEYS:
        if getattr(given, key) is not None:
            message = f"expected `{key}` with a limit in buckets, found it with one in {unit}"
            problems.add((*path, key), message)


def _check_limit(given: file.BudgetFile, limit: Limit, path: Path, problems: Problems) -> None:
    """There are only so many buckets, and they are kept for a sliding window of some length."""
    if given.window and given.window != "sliding":
        message = f"expected `window: sliding` for a limit in buckets, found `{given.window}`"
        problems.add((*path, "window"), message)
    if limit.amount > MOST:
        message = f"expected at most {MOST // MICRO} buckets, which no weight makes of the {FINE}"
        problems.add((*path, "limit"), f"{message}, found `{in_units(limit.amount)}`")
    if not SHORTEST <= limit.window <= LONGEST:
        message = "expected buckets per 1 minute to 400 days, found"
        period = f"{limit.period}{'s' * (limit.count != 1)}"
        problems.add((*path, "limit"), f"{message} {limit.count} {period}")


def _check_price(price: file.PriceFile, path: Path, problems: Problems) -> None:
    if price.curve == "none":
        if price != file.PriceFile(curve="none"):
            problems.add(path, "expected no figures with `curve: none`, found some")
        return
    if price.cap is not None and not MICRO < price.cap <= LARGEST_CAP:
        message = "expected a highest price above 1, up to 1000"
        problems.add((*path, "cap"), f"{message} (`price: none` is for none)")
    if price.slope == 0:
        problems.add((*path, "slope"), "expected a slope above zero, found 0")
    if price.slope is not None and price.curve in {"exponential", "b4b"}:
        message = f"expected a slope with `curve: linear`, found one with `{price.curve}`"
        problems.add((*path, "slope"), message)


def _stages(
    then: file.ThenFile | None, path: Path, problems: Problems
) -> Iterator[tuple[Stage, int]]:
    last, least = "", 0
    for stage in (Stage.SLOW, Stage.DEGRADE, Stage.REFUSE):
        name = stage.name.lower()
        begin: int | None = None if then is None else getattr(then, name)
        if begin is None:
            continue
        if begin <= least:
            after = f"`{last}`, which begins at {in_units(least)}" if last else "zero"
            message = f"expected `{name}` to begin above {after}, found `{in_units(begin)}`"
            problems.add((*path, name), message)
        last, least = name, begin
        yield stage, begin


def _check_delay(given: file.BudgetFile, path: Path, problems: Problems) -> None:
    if given.delay is None:
        return
    if given.delay > LONGEST_DELAY:
        problems.add((*path, "delay"), "expected a delay of at most 60s, found a longer one")
    slowed = given.then is not None and given.then.slow is not None
    if not slowed and not problems.wrong((*path, "then")):
        message = "expected a delay with `slow` under `then`, found one without"
        problems.add((*path, "delay"), message)
