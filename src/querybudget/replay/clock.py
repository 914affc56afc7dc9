"""The clock of a replay: it shows the time of the log."""

from __future__ import annotations

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
        self.now = Micros(max(time, self.now))
