"""The time, as stores take it."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "system_clock"]

Clock = Callable[[], int]
"""Microseconds since the Unix epoch, never going back."""


def system_clock() -> Clock:
    """The time of day as it was when the clock was made, carried on by the monotonic clock.

    So a host whose time is set back keeps its windows moving.
    """
    offset = time.time_ns() - time.monotonic_ns()
    return lambda: (time.monotonic_ns() + offset) // 1000
