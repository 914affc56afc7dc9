"""The clock of stores."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from querybudget.units import Micros

Clock = Callable[[], Micros]
"""Microseconds since the Unix epoch, never going back."""


def system_clock() -> Clock:
    """Return a clock that starts at the time of day and continues by the monotonic clock.

    So windows keep moving if the host's time is set back.
    """
    monotonic = time.monotonic_ns
    offset = time.time_ns() - monotonic()
    # A cast of the function costs nothing when it is called.
    return cast("Clock", lambda: (monotonic() + offset) // 1000)
