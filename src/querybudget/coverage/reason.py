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
