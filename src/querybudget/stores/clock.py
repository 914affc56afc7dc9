"""The clock of stores."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "system_clock"]

Clock = Callable[[], int]
"""Microseconds since the Unix epoch, never going back."""


def system_clock() -> Clock:
    """Return a clock that starts at the time of day and continues by the monotonic clock.

    So windows keep moving if the host's time is set back.
    """
    offset = time.time_ns() - time.monotonic_ns()
    return lambda: (time.monotonic_ns() + offset) // 1000
