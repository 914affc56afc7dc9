"""A model server for tests: it answers in every dialect, and can fail."""

from __future__ import annotations

from querybudget.testing.fake_model.reply import Failure, Gate, Reply
from querybudget.testing.fake_model.server import FakeModel, FakeModelError, ModelRequest

__all__ = ["Failure", "FakeModel", "FakeModelError", "Gate", "ModelRequest", "Reply"]
