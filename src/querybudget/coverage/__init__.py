"""What callers have covered of a model's capabilities, and the price and stage for it.

Pure. A call arrives as an `Observation`, which holds numbers and hashes but never text or vectors,
so every store can keep the same state.
"""

from __future__ import annotations

from querybudget.coverage.calibration import Calibration
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group, GroupChange
from querybudget.coverage.observation import Chunk, Observation
from querybudget.coverage.reason import Reason
from querybudget.coverage.response import DEFAULT_STAGES, BucketResponse, Curve, Stage

__all__ = [
    "DEFAULT_STAGES",
    "BucketResponse",
    "Calibration",
    "CallerProfile",
    "Chunk",
    "Curve",
    "Group",
    "GroupChange",
    "Observation",
    "Reason",
    "Stage",
]
