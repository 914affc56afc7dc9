"""What a downstream application tests its own policy with: no network, no sleeps, no real clock.

Everything is loaded at its first use, so that the pytest plugin in here costs those who do not
use it next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from querybudget.testing.asgi import Driven, drive, http_scope, request
    from querybudget.testing.clock import ManualClock
    from querybudget.testing.decisions import Decisions
    from querybudget.testing.fake_analyzer import FakeAnalyzer
    from querybudget.testing.fake_model.reply import Failure, Gate, Reply
    from querybudget.testing.fake_model.server import Asked, FakeModel, FakeModelError
    from querybudget.testing.limiter import memory_limiter, unlimited

__all__ = [
    "Asked",
    "Decisions",
    "Driven",
    "Failure",
    "FakeAnalyzer",
    "FakeModel",
    "FakeModelError",
    "Gate",
    "ManualClock",
    "Reply",
    "drive",
    "http_scope",
    "memory_limiter",
    "request",
    "unlimited",
]

_ROOMS = {
    "Asked": "fake_model.server",
    "Decisions": "decisions",
    "Driven": "asgi",
    "Failure": "fake_model.reply",
    "FakeModel": "fake_model.server",
    "FakeModelError": "fake_model.server",
    "FakeAnalyzer": "fake_analyzer",
    "Gate": "fake_model.reply",
    "ManualClock": "clock",
    "Reply": "fake_model.reply",
    "drive": "asgi",
    "http_scope": "asgi",
    "memory_limiter": "limiter",
    "request": "asgi",
    "unlimited": "limiter",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is asked for
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{room}"), name)
