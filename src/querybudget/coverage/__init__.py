"""How much of what a model can do a partition has walked over, and what follows from it.

Pure and in integers: a call comes in as an `Observation`, which holds bucket numbers and hashes and
never text or vectors, so that every store can keep the same bits.
"""

from __future__ import annotations

from querybudget.coverage.observation import Observation
from querybudget.coverage.profile import Profile, ProfileDelta, Reason
from querybudget.coverage.response import DEFAULT_STAGES, BucketResponse, Curve, Stage

__all__ = [
    "DEFAULT_STAGES",
    "BucketResponse",
    "Curve",
    "Observation",
    "Profile",
    "ProfileDelta",
    "Reason",
    "Stage",
]
