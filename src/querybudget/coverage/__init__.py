"""How much of what a model can do a partition has walked over, and what follows from it.

Pure and in integers: a call comes in as a `Observation`, which holds bucket numbers and hashes and never
text or vectors, so that every store can keep the same bits.
"""

from __future__ import annotations

from querybudget.coverage.observation import Observation
from querybudget.coverage.profile import Profile, Reason, ProfileDelta
from querybudget.coverage.response import DEFAULT_STAGES, Curve, BucketResponse, Stage

__all__ = [
    "DEFAULT_STAGES",
    "Curve",
    "Profile",
    "Reason",
    "BucketResponse",
    "Stage",
    "ProfileDelta",
    "Observation",
]
