"""`ManualClock`: time that stands still until a test moves it."""

from __future__ import annotations

__all__ = ["ManualClock"]


class ManualClock:
    """A clock that a test moves by hand.

    Args:
        start: Where it stands at first, µs since the Unix epoch; 2026-01-01T00:00:00Z unless given.

    Attributes:
        now: Where it stands, µs since the Unix epoch.
    """

    def __init__(self, start: int = 1_767_225_600_000_000) -> None:
        self.now = start

    def __call__(self) -> int:
        """Where it stands, µs since the Unix epoch."""
        return self.now

    def advance(self, seconds: float = 0, *, us: int = 0) -> int:
        """Move forward.

        Args:
            seconds: How far, in seconds; rounded to the microsecond.
            us: And how many microseconds more.

        Returns:
            Where it stands now, µs since the Unix epoch.

        Raises:
            ValueError: Clocks of stores never go back.
        """
        step = round(seconds * 1_000_000) + us
        if step < 0:
            raise ValueError(f"expected a step forward, found {step} µs")
        self.now += step
        return self.now
