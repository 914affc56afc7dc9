"""From strain (the share of a bucket budget spent, or a sweep score) to a price and a stage.

Strain is in millionths: 0 is an ordinary caller; 1_000_000 is a caller whose budget is spent, or
whose score is equally bad. Prices come from a table of whole percents, so every store, in whatever
language it is written, computes the same integer.
"""

from __future__ import annotations

import enum
import math
from functools import cached_property
from itertools import pairwise

import msgspec

from querybudget.units import MICRO, NO_TIME, SECOND, Micros, Millionths

HYSTERESIS = 100_000
"""How far strain must fall below a stage's threshold for the stage to end."""

SUSPECT_SCORE = 650_000
"""Score of evidence that makes a caller suspect: where the default price passes 2."""

PERCENT = MICRO // 100

B4B_LAMBDA = 1e-6
"""Lambda of B4B's cost: how little is charged while little is covered."""


class Stage(enum.IntEnum):
    """What happens to a call, mildest first."""

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
    """cap to the power of x: each step multiplies the price by the same factor."""
    LINEAR = "linear"
    """1 + slope x, up to the cap."""
    B4B = "b4b"
    """1 + lambda (exp(x ln(alpha / lambda)) - 1) with alpha = cap - 1 and lambda = 10^-6: almost
    nothing for long, then steep (Dubiński et al., "Bucks for Buckets", arXiv 2310.08571)."""


DEFAULT_STAGES = ((Stage.SLOW, SUSPECT_SCORE), (Stage.DEGRADE, 850_000), (Stage.REFUSE, 1_000_000))
"""Threshold of each stage, unless the policy sets its own."""


class Suspects(msgspec.Struct, frozen=True):
    """At which shares of honest callers among those touched the population test acts.

    Attributes:
        slow: Share in millionths at which a member counts as suspect.
        refuse: Share at which it may be refused, if another kind of evidence agrees.
        alike: Whether members have a template in common. Then they may all be users of one
            honest application, and lie in a tail together.
        together: Whether all members are suspect too while the group's own score says so.
    """

    slow: int = 100_000
    refuse: int = 10_000
    alike: bool = False
    together: bool = False


class BucketResponse(msgspec.Struct, frozen=True, dict=True):
    """Price, stage and delay at each strain.

    Attributes:
        free: Strain up to which the price is 1.
        cap: The highest price, in millionths.
        curve: How the price gets there.
        slope: Slope of a linear curve, in millionths; other curves ignore it.
        stages: Pairs of a stage and its threshold, both ascending; empty for a price only.
        delay: The longest delay in µs, reached at full strain; a quarter of it at the threshold
            of `SLOW`.
        scored: Whether the sweep score counts as strain too.
        suspects: Of a group's budget: only members that the population test touches spend it, and
            it affects nobody else; None for all.

    Raises:
        ValueError: A value is out of range.
    """

    free: int = 500_000
    cap: int = 10 * MICRO
    curve: Curve = Curve.EXPONENTIAL
    slope: int = 9 * MICRO
    stages: tuple[tuple[Stage, int], ...] = ()
    delay: int = 5 * SECOND
    scored: bool = True
    suspects: Suspects | None = None

    def __post_init__(self) -> None:
        _check(self)

    @cached_property
    def prices(self) -> tuple[Millionths, ...]:
        """The price at each whole percent of strain, in millionths."""
        return tuple(Millionths(_price(self, percent * PERCENT)) for percent in range(101))

    def price(self, strain: int) -> Millionths:
        """Return the factor on a call's cost, in millionths; it never falls as strain rises."""
        return self.prices[min(max(strain, 0) // PERCENT, 100)]

    def stage(self, strain: int, previous: Stage) -> Stage:
        """Return the stage at `strain`, given the previous one.

        A stage ends only when strain is clearly below its threshold, so that callers do not
        oscillate between stages.
        """
        result = Stage.NONE
        for stage, start in self.stages:
            if strain >= (start if stage > previous else _end(start)):
                result = stage
        return result

    def threshold(self, stage: Stage, previous: Stage) -> int:
        """Return the strain from which one of its stages applies, given the previous one."""
        start = next(start for known, start in self.stages if known is stage)
        return start if stage > previous else _end(start)

    def milder(self, stage: Stage) -> Stage:
        """Return the severest of its stages that is milder than `stage`."""
        return max((known for known, _ in self.stages if known < stage), default=Stage.NONE)

    def delay_at(self, strain: int) -> Micros:
        """Return the µs by which a slowed call is delayed; 0 without the stage `SLOW`."""
        for stage, start in self.stages:
            if stage is Stage.SLOW:
                shortest = self.delay // 4
                if strain >= MICRO:
                    return Micros(self.delay)
                if strain <= start:
                    return Micros(shortest)
                rising = (self.delay - shortest) * (strain - start) // (MICRO - start)
                return Micros(shortest + rising)
        return NO_TIME


def _end(start: int) -> int:
    """Return the strain below which a stage ends that starts at `start`."""
    return start - min(HYSTERESIS, start // 2)


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
        raise ValueError(f"the cap must be at least {MICRO} (a price of 1), found {response.cap}")
    if response.slope < 0 or response.delay < 0:
        raise ValueError("neither slope nor delay may be negative")
    stages = response.stages
    rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(stages))
    if not rising or any(stage is Stage.NONE or start <= 0 for stage, start in stages):
        raise ValueError(f"stages and their thresholds must both ascend from 1, found {stages}")
