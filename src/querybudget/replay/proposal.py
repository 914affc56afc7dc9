"""Proposes limits by what the callers of a log need. Pure.

The identities of the log are divided in three by a hash. The first part says how the budgets relate
to each other. The second says by which one factor all limits are multiplied: its size bounds how
sure the proposal is, whatever the distribution. The third is held out: nothing is fitted to it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from querybudget.coverage.response import BucketResponse
from querybudget.policy.model import Budget, Policy
from querybudget.replay.confidence import may_exceed, needed
from querybudget.replay.demand import SCORE, Demand
from querybudget.units import MICRO, Unit

HEADROOM = 5, 4
"""The limit of accounts that callers share, in terms of the highest use that was seen."""

HIGHEST_SCORE = 950_000
"""A free share above this leaves nothing for a price to rise in."""

DIGITS = 2
"""Significant digits of a proposed limit; it is rounded up."""

_PERCENT = MICRO // 100
_WHOLE = frozenset({Unit.REQUESTS, Unit.CONCURRENT, Unit.BUCKETS})


class Part(enum.IntEnum):
    """What an identity is used for."""

    SHAPE = 0
    LIMIT = 1
    HELD_OUT = 2


_PARTS = (Part.SHAPE, Part.LIMIT, Part.LIMIT, Part.LIMIT, Part.HELD_OUT)
"""Of five identities, by hash: three set the limits."""


_SURE = 1.645
"""Standard deviations below the mean, under which a normal draw is once in 20 times."""


class TooFewError(ValueError):
    """There are too few identities for the share that was asked for.

    Args:
        found: Identities in the log.
        wanted: How many are needed, about.
        share: The share, in millionths.

    Attributes:
        more: How many more are needed, about.
    """

    def __init__(self, found: int, wanted: int, share: int) -> None:
        self.more = max(1, wanted - found)
        super().__init__(
            f"expected about {wanted:,} identities to bound a share of {share / 10_000:g} %, found"
            f" {found:,}: log {self.more:,} more, or allow a larger share"
        )


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """What is proposed for one budget.

    Attributes:
        budget: Its name.
        limit: µ-units; 0 to leave it as it is.
        free: Strain up to which the price is 1, in millionths; 0 to leave it as it is.
        stages: Where each stage of the budget begins, by its name, in millionths; empty likewise.
        shadow: Whether the budget can only be in shadow: its score disturbs too many.
        why: What it follows from, for people.
    """

    budget: str
    limit: int = 0
    free: int = 0
    stages: Mapping[str, int] = {}
    shadow: bool = False
    why: str = ""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """What a log says about budgets.

    Attributes:
        identities: How many there are.
        fitted: How many of them set the limits.
        above: How many of these are above a limit.
        levels: Level of each of `Demand.names`, in µ-units or millionths.
    """

    identities: int
    fitted: int
    above: int
    levels: Mapping[str, int]


def part_of(identity: str) -> Part:
    """Return what an identity is used for: the same in every run."""
    return _PARTS[blake2b(identity.encode(), digest_size=4).digest()[0] % len(_PARTS)]


def drawn_for(number: int) -> int:
    """Return how many identities a log needs so that `number` of them set the limits.

    That holds for 19 of 20 logs. Hashes of the identities decide it, so it is a binomial draw, here
    by its normal approximation.
    """
    part = _PARTS.count(Part.LIMIT) / len(_PARTS)
    spread = _SURE * math.sqrt(part * (1 - part))
    root = (spread + math.sqrt(spread * spread + 4 * part * number)) / (2 * part)
    return math.ceil(root * root)


def fit(demand: Demand, share: int) -> Fit:
    """Return levels of all budgets together, which at most a share of identities exceeds anywhere.

    Args:
        demand: What the identities need.
        share: The share, in millionths, above 0 and below `MICRO`.

    Raises:
        TooFewError: The log has too few identities for it.
    """
    shape = [peaks for key, peaks in demand.peaks.items() if part_of(key) is Part.SHAPE]
    limit = [peaks for key, peaks in demand.peaks.items() if part_of(key) is Part.LIMIT]
    above, number = may_exceed(len(limit), share / MICRO), len(demand.peaks)
    if above < 0 or not shape:
        missing = max(needed(share / MICRO) - len(limit), 1)
        raise TooFewError(number, number + drawn_for(missing), share)
    scales = [_scale(column, share) for column in zip(*shape, strict=True)]
    fitted = _ranked(limit, scales)[above]
    # Of the log itself no more than the share asked for may be above, whatever part it is in.
    whole = _ranked(demand.peaks.values(), scales)[number * share // MICRO]
    factor, of = max(fitted, whole, key=lambda one: one[0] / one[1])
    levels = (-(-scale * factor // of) for scale in scales)
    exceeding = sum(1 for one in _ranked(limit, scales) if one[0] * of > factor * one[1])
    return Fit(
        identities=number,
        fitted=len(limit),
        above=exceeding,
        levels=dict(zip(demand.names, levels, strict=True)),
    )


def propose(policy: Policy, demand: Demand, found: Fit, widened: int = MICRO) -> list[Proposed]:
    """Return what is proposed for each budget of a policy.

    Args:
        policy: The policy.
        demand: What its callers need.
        found: What `fit` found.
        widened: Factor on every limit, in millionths.
    """
    return [_proposed(budget, demand, found, widened) for budget in policy.budgets]


def rounded_up(amount: int, unit: Unit) -> int:
    """Return an amount with few digits that is no smaller, in whole units where these count."""
    least = MICRO if unit in _WHOLE else 1
    amount = max(-(-amount // least) * least, least)
    step: int = 10 ** max(0, len(str(amount)) - DIGITS)
    step = max(step, least)
    return -(-amount // step) * step


def _proposed(budget: Budget, demand: Demand, found: Fit, widened: int) -> Proposed:
    name, response = budget.name, budget.response
    score = found.levels.get(f"{SCORE}{name}")
    free, stages, shadow = 0, dict[str, int](), False
    if response is not None and score is not None:
        level = -(-score * widened // MICRO)
        free, stages, shadow = _threshold(response, level)
    limit, why = 0, ""
    if name in demand.pools:
        more, of = HEADROOM
        limit = demand.pools[name] * more // of
        why = "a quarter above the highest use of any account that callers share"
    elif name in found.levels:
        limit, why = found.levels[name], "the use that at most so many identities ever exceed"
    if limit and response is not None:  # the price must not rise, nor a stage begin
        limit = limit * MICRO // (free or response.free or MICRO) + MICRO
        why += ", at the share from which the price rises"
    if score is not None:
        why = f"{why}; " if why else ""
        why += f"so many reach a sweep score of {score / MICRO:.2f}"
    return Proposed(
        budget=name,
        limit=rounded_up(limit * widened // MICRO, budget.quota.unit) if limit else 0,
        free=free,
        stages=stages,
        shadow=shadow,
        why=why,
    )


def _threshold(response: BucketResponse, level: int) -> tuple[int, dict[str, int], bool]:
    """Return the free share and the stages that a score does not reach; or that there are none."""
    free = -(-(level + 1) // _PERCENT) * _PERCENT
    if free > HIGHEST_SCORE:
        return 0, {}, True
    free = max(free, response.free)
    stages = dict[str, int]()
    last = free
    for stage, start in response.stages:
        last = max(start, last + _PERCENT)
        stages[stage.name.lower()] = last
    if last > MICRO:
        return 0, {}, True
    return free, stages, False


def _scale(column: Sequence[int], share: int) -> int:
    """Return the use of one budget that at most a share of some identities exceeds."""
    return max(1, sorted(column, reverse=True)[len(column) * share // MICRO])


def _ranked(peaks: Iterable[Sequence[int]], scales: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each identity its largest need in terms of the scales, as fractions, sorted.

    The largest comes first.
    """
    found = [
        max(zip(one, scales, strict=True), key=lambda pair: pair[0] / pair[1], default=(0, 1))
        for one in peaks
    ]
    return sorted(found, key=lambda pair: pair[0] / pair[1], reverse=True)
