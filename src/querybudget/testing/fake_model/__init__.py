"""A model server for tests: it answers in every dialect, and can fail.

server.py    `FakeModel`, an ASGI application
reply.py     what it answers
dialects.py  answers in each dialect
"""

from __future__ import annotations

from querybudget.testing.fake_model.reply import Failure, Gate, Reply
from querybudget.testing.fake_model.server import FakeModel, FakeModelError, ModelRequest

__all__ = ["Failure", "FakeModel", "FakeModelError", "Gate", "ModelRequest", "Reply"]
