"""Why a score is what it is."""

from __future__ import annotations

import msgspec


class Reason(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One view's contribution to the score.

    Attributes:
        signal: Name of the view, or of a feature.
        share: What it adds (or, below zero, subtracts), in millionths of the score.
    """

    signal: str
    share: int


class Touched(msgspec.Struct, frozen=True, gc=False):
    """What the population test says of a member of a group.

    Attributes:
        score: In millionths; 0 of a member that is not touched.
        expected: Honest members that would be as far up as those touched, rounded up.
        observed: Members that are.
    """

    score: int = 0
    expected: int = 0
    observed: int = 0
