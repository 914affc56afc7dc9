"""What a downstream application tests its own policy with: no network, no sleeps, no real clock."""

from __future__ import annotations

from querybudget.testing.clock import ManualClock
from querybudget.testing.reply import Failure, Reply
from querybudget.testing.server import Asked, FakeModel, FakeModelError

__all__ = ["Asked", "Failure", "FakeModel", "FakeModelError", "ManualClock", "Reply"]
