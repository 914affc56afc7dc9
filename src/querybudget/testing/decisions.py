"""`Decisions`: a hook that keeps every event, with assertions that explain what they found."""

from __future__ import annotations

from querybudget.events import DecisionEvent
from querybudget.units import MICRO, SECOND


class Decisions:
    """Keeps the event of each call. Pass it to a limiter or a middleware as a hook.

    An admitted call's event arrives when the call has ended.

    Attributes:
        events: Every event, in order of arrival.
    """

    def __init__(self) -> None:
        self.events: list[DecisionEvent] = []

    def __call__(self, event: DecisionEvent) -> None:
        self.events.append(event)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def last(self) -> DecisionEvent:
        """The latest event.

        Raises:
            AssertionError: There is none.
        """
        assert self.events, "expected a call, found none: is this a hook of the limiter under test?"
        return self.events[-1]

    @property
    def admitted(self) -> list[DecisionEvent]:
        """Events of the calls that reached the application."""
        return [event for event in self.events if event.settlement]

    @property
    def refused(self) -> list[DecisionEvent]:
        """Events of the calls that did not reach the application."""
        return [event for event in self.events if not event.settlement]

    @property
    def slowed(self) -> list[DecisionEvent]:
        """Events of the calls that were delayed before they reached the application."""
        return [event for event in self.admitted if event.delay]

    @property
    def degraded(self) -> list[DecisionEvent]:
        """Events of the calls that reached the application with less asked for."""
        return [event for event in self.admitted if event.stage == "degrade"]

    def assert_admitted(self, times: int) -> None:
        """Assert that exactly `times` calls reached the application."""
        self._assert_count(len(self.admitted), times, "admitted")

    def assert_refused(self, times: int | None = None, *, by: str = "") -> None:
        """Assert that calls were refused.

        Args:
            times: The exact number; at least one by default.
            by: Count only refusals by this budget.
        """
        count = sum(1 for event in self.refused if not by or by in event.violated)
        self._assert_count(count, times, f"refused by {by!r}" if by else "refused")

    def assert_slowed(self, times: int | None = None) -> None:
        """Assert that calls were delayed: exactly `times`, or at least one."""
        self._assert_count(len(self.slowed), times, "slowed")

    def assert_degraded(self, times: int | None = None) -> None:
        """Assert that calls were degraded: exactly `times`, or at least one."""
        self._assert_count(len(self.degraded), times, "degraded")

    def assert_priced(self, times: int | None = None, *, over: float = 1) -> None:
        """Assert that calls were charged at a raised price.

        Args:
            times: The exact number; at least one by default.
            over: Count only calls at a price above this.
        """
        count = sum(1 for event in self.admitted if event.price > over * MICRO)
        self._assert_count(count, times, f"priced over {over:g}")

    def clear(self) -> None:
        self.events.clear()

    def _assert_count(self, count: int, times: int | None, what: str) -> None:
        met = count == times if times is not None else count > 0
        wanted = "at least one call" if times is None else f"{times} calls"
        assert met, f"expected {wanted} {what}, found {count}: {self._summary()}"

    def _summary(self) -> str:
        return "; ".join(map(_described, self.events)) or "no calls at all"


def _described(event: DecisionEvent) -> str:
    call = f"{event.method} {event.path} of {event.identity.key[:12]}"
    if event.settlement:
        price = f" at price {event.price / MICRO:.2f}" if event.price > MICRO else ""
        delay = f" after {event.delay / SECOND:.2f} s" if event.delay else ""
        stage = f" ({event.stage})" if event.stage != "none" else ""
        return f"{call} admitted{stage}{price}{delay}, answered {event.status}"
    by = f" by {', '.join(event.violated)}" if event.violated else ""
    return f"{call} refused ({event.verdict}){by}"
