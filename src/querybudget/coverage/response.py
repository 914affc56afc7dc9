"""From a share of a bucket budget, or a score, to a price and a stage."""

from __future__ import annotations

import enum

__all__ = ["Response", "Stage"]


class Stage(enum.IntEnum):
    """What is done to a call, mildest first."""

    NONE = 0
    SLOW = 1
    """It is answered after a delay."""
    DEGRADE = 2
    """It is answered with less: no log-probabilities, one choice, a short answer."""
    REFUSE = 3
    """It is refused as abnormal use."""


class Response:
    """To be written by the owner of this file: see the contract."""
