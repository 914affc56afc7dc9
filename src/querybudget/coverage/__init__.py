"""What callers have covered of a model's capabilities, and the price and stage for it.

Pure. A call arrives as an `Observation`, which holds numbers and hashes but never text or vectors,
so every store can keep the same state.

A name is imported when it is first used: few policies need profiles.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from querybudget.coverage.calibration import Calibration as Calibration
    from querybudget.coverage.caller import CallerProfile as CallerProfile
    from querybudget.coverage.group import Group as Group
    from querybudget.coverage.group import GroupChange as GroupChange
    from querybudget.coverage.observation import Chunk as Chunk
    from querybudget.coverage.observation import KnownGround as KnownGround
    from querybudget.coverage.observation import Observation as Observation
    from querybudget.coverage.population import SURE_SCORE as SURE_SCORE
    from querybudget.coverage.population import TWO_KINDS_SCORE as TWO_KINDS_SCORE
    from querybudget.coverage.population import touched as touched
    from querybudget.coverage.population import touched_together as touched_together
    from querybudget.coverage.reason import Reason as Reason
    from querybudget.coverage.reason import Touched as Touched
    from querybudget.coverage.response import DEFAULT_STAGES as DEFAULT_STAGES
    from querybudget.coverage.response import BucketResponse as BucketResponse
    from querybudget.coverage.response import Curve as Curve
    from querybudget.coverage.response import Stage as Stage
    from querybudget.coverage.response import Suspects as Suspects

_MODULES = {
    "calibration": "Calibration",
    "caller": "CallerProfile",
    "group": "Group GroupChange",
    "observation": "Chunk KnownGround Observation",
    "population": "SURE_SCORE TWO_KINDS_SCORE touched touched_together",
    "reason": "Reason Touched",
    "response": "DEFAULT_STAGES BucketResponse Curve Stage Suspects",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [*sorted(_MODULE_OF)]  # noqa: PLE0604 # pyright: ignore[reportUnsupportedDunderAll] - all are strings


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
