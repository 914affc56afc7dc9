"""Conformal calibration: the deployment's own callers say which score is suspect.

The shipped threshold holds for the sources it was fitted on. A deployment has other callers. Each
established caller (old enough, with enough calls, verified) therefore counts once in a histogram of
the highest scores. The threshold moves to where at most the wanted share of them would ever be
disturbed. If the next caller is exchangeable with these n, the chance that its highest score lies
above the k-th highest of theirs is at most k / (n + 1) (split conformal prediction; Vovk, Gammerman
and Shafer, "Algorithmic Learning in a Random World", 2005).

Callers who sweep count too, and only towards leniency, which is bounded by `Calibration.ceiling`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from querybudget.units import MICRO

BIN = 25_000
"""Width of a bin of the histogram, millionths of a score."""

BINS = 64
"""Bins of the histogram; the last is open."""


class Calibration(msgspec.Struct, frozen=True, gc=False):
    """How scores of one deployment are calibrated.

    Attributes:
        partition: The account of the group whose histogram decides.
        disturb: Share of established callers that may ever be disturbed, in millionths.
        callers: Established callers needed; with fewer, the shipped threshold holds.
        age: µs since its first call from which on a caller may be established.
        calls: Calls from which on a caller may be established.
        floor: Lowest score at which callers may become suspect, in millionths.
        ceiling: Highest score up to which callers may go without becoming suspect, in millionths.
        newcomers: The account of the group that keeps what established callers showed when they
            were new; empty if no budget asks.
    """

    partition: str
    disturb: int = 5_000
    callers: int = 200
    age: int = 7 * 24 * 3_600 * MICRO
    calls: int = 50
    floor: int = 500_000
    ceiling: int = 900_000
    newcomers: str = ""

    @property
    def partitions(self) -> tuple[str, ...]:
        """The accounts that calibrate."""
        return (self.partition, self.newcomers) if self.newcomers else (self.partition,)


def moved(score: int, shift: int) -> int:
    """Return a score that a calibration moves; without a score, none.

    It may make a caller suspect earlier than elsewhere, and refuses nobody: a score of 1 is
    evidence that no honest source ever gave, and what is moved there is less.

    Args:
        score: The score, millionths.
        shift: By which the calibration moves it.
    """
    if not score:
        return 0
    found = max(0, score + shift)
    return min(found, MICRO - 1) if score < MICRO else found


def bin_of(score: int) -> int:
    """Return the bin of a highest score, in millionths."""
    return min(max(score, 0) // BIN, BINS - 1)


def threshold(histogram: Sequence[int], calibration: Calibration, shipped: int) -> int:
    """Return the score from which on callers are suspect, in millionths.

    Args:
        histogram: Callers by the bin of their highest score.
        calibration: What is wanted.
        shipped: The threshold with too few callers.
    """
    total = sum(histogram)
    if total < calibration.callers:
        return shipped
    allowed = calibration.disturb * (total + 1) // MICRO
    above = 0
    number = len(histogram)
    while number and above + histogram[number - 1] < allowed:
        number -= 1
        above += histogram[number]
    return min(max(number * BIN, calibration.floor), calibration.ceiling)
