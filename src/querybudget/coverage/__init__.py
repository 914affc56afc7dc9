"""How much of a model's capabilities a partition has covered, and the price and stage for it.

Pure, in integers. A call arrives as an `Observation`, which holds bucket numbers and hashes but
never text or vectors, so every store can keep the same state.
"""

from __future__ import annotations

from querybudget.coverage.observation import Observation
from querybudget.coverage.profile import Profile, ProfileDelta
from querybudget.coverage.reason import Reason
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
