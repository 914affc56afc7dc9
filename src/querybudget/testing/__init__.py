"""Test your own policy without a network, a model, a sleep or a real clock.

Modules are imported at the first use of a name, so that the pytest plugin costs tests that do not
use it next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from querybudget.testing.asgi import Driven, drive, http_scope, request
    from querybudget.testing.clock import ManualClock
    from querybudget.testing.decisions import Decisions
    from querybudget.testing.establishing import establish
    from querybudget.testing.fake_analyzer import FakeAnalyzer
    from querybudget.testing.fake_model import (
        Failure,
        FakeModel,
        FakeModelError,
        Gate,
        ModelRequest,
        Reply,
    )
    from querybudget.testing.limiter import memory_limiter, unlimited
    from querybudget.testing.live_server import serving
    from querybudget.testing.scenario_checks import CallResult, ScenarioFailure
    from querybudget.testing.scenarios import ScenarioResult, run_scenario
    from querybudget.testing.spending import spend
    from querybudget.testing.sweeping import sweep

__all__ = [
    "CallResult",
    "Decisions",
    "Driven",
    "Failure",
    "FakeAnalyzer",
    "FakeModel",
    "FakeModelError",
    "Gate",
    "ManualClock",
    "ModelRequest",
    "Reply",
    "ScenarioFailure",
    "ScenarioResult",
    "drive",
    "establish",
    "http_scope",
    "memory_limiter",
    "request",
    "run_scenario",
    "serving",
    "spend",
    "sweep",
    "unlimited",
]

# Searched in this order: what loads fast comes first.
_MODULES = (
    "clock",
    "decisions",
    "sweeping",
    "limiter",
    "asgi",
    "spending",
    "establishing",
    "live_server",
    "fake_analyzer",
    "fake_model",
    "scenario_checks",
    "scenarios",
)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - each name has a type of its own
    if name in __all__:
        for module in _MODULES:
            members = vars(import_module(f"{__name__}.{module}"))
            if name in members:
                return members[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
