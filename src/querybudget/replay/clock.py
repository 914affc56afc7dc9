"""The clock of a replay: it shows the time of the log."""

from __future__ import annotations

from typing import cast

from querybudget.units import NO_TIME, Micros


class VirtualClock:
    """Shows the time to which a replay has set it.

    Attributes:
        now: µs since the epoch.
    """

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = NO_TIME

    def __call__(self) -> Micros:
        """Return the time."""
        return self.now

    def move(self, time: int) -> None:
        """Move on to a time. It never goes back: a store's clock does not."""
        if time > self.now:
            self.now = cast("Micros", time)  # for nothing at run time
