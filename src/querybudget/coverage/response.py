"""From strain, a share of a bucket budget spent or a sweep score, to a price and a stage.

Strain is in millionths: 0 is an ordinary caller, 1_000_000 one whose budget is spent, or whose
score is as bad as that. Prices are read from a table of whole percents, so that every store, and
every language a store is written in, finds the same integer.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from itertools import pairwise

from querybudget.units import MICRO, SECOND

__all__ = ["DEFAULT_STAGES", "BucketResponse", "Curve", "Stage"]

EASE = 100_000
"""How far strain must fall below where a stage begins, for the stage to end (hysteresis)."""

PERCENT = MICRO // 100

B4B_LAMBDA = 1e-6
"""Lambda of B4B's cost: how little is charged while little is covered."""


class Stage(enum.IntEnum):
    """What is done to a call, mildest first."""

    NONE = 0
    SLOW = 1
    """It is answered after a delay."""
    DEGRADE = 2
    """It is answered with less: no log-probabilities, one choice, a short answer."""
    REFUSE = 3
    """It is refused as abnormal use."""


class Curve(enum.StrEnum):
    """How the price rises from 1 at the free share, where x is 0, to strain 1, where x is 1."""

    EXPONENTIAL = "exponential"
    """cap to the power of x: each step costs as many times more as the one before."""
    LINEAR = "linear"
    """1 + slope x, until the cap."""
    B4B = "b4b"
    """1 + lambda (exp(x ln(alpha / lambda)) - 1) with alpha = cap - 1 and lambda = 10^-6: next to
    nothing for long, then steep (Dubiński et al., "Bucks for Buckets", arXiv 2310.08571)."""


DEFAULT_STAGES = ((Stage.SLOW, 700_000), (Stage.DEGRADE, 850_000), (Stage.REFUSE, 1_000_000))
"""Where each stage begins, unless the policy says otherwise."""


@dataclass(frozen=True, slots=True)
class BucketResponse:
    """What follows from strain.

    Attributes:
        free: Strain up to which the price is 1.
        cap: The highest price, in millionths.
        curve: How the price gets there.
        slope: Of a linear curve, in millionths; no other curve has one.
        stages: Pairs of a stage and the strain it begins at, both ascending; none: price only.
        delay: The longest delay in µs, reached at full strain; a quarter of it where `SLOW` begins.
        scored: Whether the sweep score is strain too.
        prices: The price at each whole percent of strain, in millionths.

    Raises:
        ValueError: A figure is out of its range.
    """

    free: int = 500_000
    cap: int = 10 * MICRO
    curve: Curve = Curve.EXPONENTIAL
    slope: int = 9 * MICRO
    stages: tuple[tuple[Stage, int], ...] = ()
    delay: int = 5 * SECOND
    scored: bool = True
    prices: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)
        prices = tuple(_price(self, percent * PERCENT) for percent in range(101))
        object.__setattr__(self, "prices", prices)

    def price(self, strain: int) -> int:
        """The factor on a call's cost, in millionths; it never falls as strain rises."""
        return self.prices[min(max(strain, 0) // PERCENT, 100)]

    def stage(self, strain: int, before: Stage) -> Stage:
        """What is done at `strain`, where `before` was done last.

        A stage that has begun ends only when strain is clearly below where it begins, so that
        nobody flaps.
        """
        found = Stage.NONE
        for stage, begin in self.stages:
            if strain >= (begin if stage > before else _end(begin)):
                found = stage
        return found

    def begin(self, stage: Stage, before: Stage) -> int:
        """The strain from which `stage`, one of its stages, holds where `before` was done last."""
        begin = next(begin for known, begin in self.stages if known is stage)
        return begin if stage > before else _end(begin)

    def milder(self, stage: Stage) -> Stage:
        """The severest of its stages that is milder than `stage`."""
        return max((known for known, _ in self.stages if known < stage), default=Stage.NONE)

    def pause(self, strain: int) -> int:
        """µs by which a slowed call is delayed; 0 where nothing is slowed."""
        for stage, begin in self.stages:
            if stage is Stage.SLOW:
                least = self.delay // 4
                if strain >= MICRO:
                    return self.delay
                if strain <= begin:
                    return least
                return least + (self.delay - least) * (strain - begin) // (MICRO - begin)
        return 0


def _end(begin: int) -> int:
    """The strain below which a stage ends that begins at `begin`."""
    return begin - min(EASE, begin // 2)


def _price(response: BucketResponse, strain: int) -> int:
    free, cap = response.free, response.cap
    if strain <= free < MICRO:
        return MICRO
    x = (strain - free) / (MICRO - free) if free < MICRO else strain // MICRO
    if response.curve is Curve.LINEAR:
        price = 1 + response.slope / MICRO * x
    elif x == 1:
        return cap
    elif response.curve is Curve.EXPONENTIAL:
        price = (cap / MICRO) ** x
    else:
        alpha = max(cap / MICRO - 1, B4B_LAMBDA)
        price = 1 + B4B_LAMBDA * math.expm1(x * math.log(alpha / B4B_LAMBDA))
    return min(round(price * MICRO), cap)


def _check(response: BucketResponse) -> None:
    if not 0 <= response.free <= MICRO:
        raise ValueError(f"the free share must be from 0 to {MICRO}, found {response.free}")
    if response.cap < MICRO:
        raise ValueError(f"a price is at least {MICRO}, which is 1; found a cap of {response.cap}")
    if response.slope < 0 or response.delay < 0:
        raise ValueError("neither slope nor delay may be negative")
    stages = response.stages
    rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(stages))
    if not rising or any(stage is Stage.NONE or begin <= 0 for stage, begin in stages):
        raise ValueError(f"stages and where they begin must both ascend from 1, found {stages}")
