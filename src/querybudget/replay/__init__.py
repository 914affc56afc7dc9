"""Replay a traffic log through the limiter on a virtual clock, and calibrate policies by it."""

from querybudget.replay.calibrating import Calibrated, calibrate
from querybudget.replay.proposal import TooFewError
from querybudget.replay.replaying import Replay
from querybudget.replay.results import (
    CallerCount,
    Changed,
    Count,
    Difference,
    Happening,
    PassedOver,
    Played,
    Replayed,
)
from querybudget.replay.thresholds import Condition, condition

__all__ = [
    "Calibrated",
    "CallerCount",
    "Changed",
    "Condition",
    "Count",
    "Difference",
    "Happening",
    "PassedOver",
    "Played",
    "Replay",
    "Replayed",
    "TooFewError",
    "calibrate",
    "condition",
]
