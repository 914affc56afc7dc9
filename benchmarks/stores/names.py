"""Names of what is measured, as reports show them."""

from __future__ import annotations

__all__ = ["ADAPTER", "LIMITS", "MEMORY", "REDIS", "SQLITE", "UNIX", "case_name"]

MEMORY, SQLITE, REDIS = "memory", "SQLite", "Redis"
UNIX, ADAPTER = "Redis, unix socket", "limits adapter on memcached"
LIMITS = "limits.aio, fixed window"
"""What every other case is compared with, with the same number of limits, at most four."""


def case_name(name: str, limits: str) -> str:
    """The name of a limiter under a number of limits."""
    return f"{name} x{limits}"
