"""`ManualClock`: a clock that a test moves."""

from __future__ import annotations

from querybudget.notation import duration
from querybudget.testing.arguments import check_number, check_text
from querybudget.units import Micros


class ManualClock:
    """A clock that stands still until a test moves it.

    A step is in seconds (`advance`) or in words (`fast_forward`); the time itself is in µs, as in
    events.

    Args:
        start: The first time it shows, µs since the Unix epoch; 2026-01-01T00:00:00Z by default.

    Attributes:
        now: The time it shows, µs since the Unix epoch.
    """

    def __init__(self, start: int = 1_767_225_600_000_000) -> None:
        self.now = start

    def __call__(self) -> Micros:
        return Micros(self.now)

    def advance(self, seconds: float = 0, *, us: int = 0) -> int:
        """Move the clock forward by `seconds` and `us` microseconds.

        Args:
            seconds: Seconds, rounded to the microsecond.
            us: Microseconds to add.

        Returns:
            The new time, µs since the Unix epoch.

        Raises:
            TypeError: It is not a number; `fast_forward` takes text.
            ValueError: The step is negative: a store's clock never goes back.
        """
        check_number(seconds, "seconds (`fast_forward` takes text)", signed=True)
        step = round(seconds * 1_000_000) + us
        if step < 0:
            raise ValueError(f"expected a step forward, found {step} µs")
        self.now += step
        return self.now

    def fast_forward(self, time: str) -> int:
        """Move the clock forward by a time written as in a policy: ``1 day``, ``90s``.

        Returns:
            The new time, µs since the Unix epoch.

        Raises:
            TypeError: It is not text; `advance` takes seconds.
            ValueError: It is no time.
        """
        check_text(time, "a time", "1 day", "90s")
        return self.advance(us=duration(time))
