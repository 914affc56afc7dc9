"""`LimitsStore`: any storage of the `limits` package."""

from __future__ import annotations

from querybudget.stores.limits.store import LimitsStore

__all__ = ["LimitsStore"]
