"""`Decisions`: a hook that keeps every event, and tells what it saw where you expected another."""

from __future__ import annotations

from querybudget.events import DecisionEvent
from querybudget.units import MICRO, SECOND

__all__ = ["Decisions"]


class Decisions:
    """Keeps the event of each call. Give it to a limiter or a middleware as a hook.

    An admitted call's event comes when the call has ended.

    Attributes:
        events: In the order they came.
    """

    def __init__(self) -> None:
        self.events: list[DecisionEvent] = []

    def __call__(self, event: DecisionEvent) -> None:
        """Keep an event."""
        self.events.append(event)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def last(self) -> DecisionEvent:
        """The latest event.

        Raises:
            AssertionError: There is none.
        """
        assert self.events, "expected a call, found none: is this a hook of the limiter you ask?"
        return self.events[-1]

    @property
    def admitted(self) -> list[DecisionEvent]:
        """Events of the calls that went to the application."""
        return [event for event in self.events if event.settlement]

    @property
    def refused(self) -> list[DecisionEvent]:
        """Events of the calls that did not."""
        return [event for event in self.events if not event.settlement]

    @property
    def slowed(self) -> list[DecisionEvent]:
        """Events of the calls that were held back before they went to the application."""
        return [event for event in self.admitted if event.delay]

    @property
    def degraded(self) -> list[DecisionEvent]:
        """Events of the calls that the application was asked to answer with less."""
        return [event for event in self.admitted if event.stage == "degrade"]

    def assert_admitted(self, times: int) -> None:
        """Exactly so many calls went to the application."""
        found = len(self.admitted)
        assert found == times, f"expected {times} calls admitted, found {found}: {self._story()}"

    def assert_refused(self, times: int | None = None, *, by: str = "") -> None:
        """Calls were refused.

        Args:
            times: Exactly so many; at least one unless given.
            by: Count only those that this budget refused.
        """
        found = sum(1 for event in self.refused if not by or by in event.violated)
        self._assert_found(found, times, f"refused by {by!r}" if by else "refused")

    def assert_slowed(self, times: int | None = None) -> None:
        """Calls were held back: exactly so many, or at least one."""
        self._assert_found(len(self.slowed), times, "slowed")

    def assert_degraded(self, times: int | None = None) -> None:
        """Calls were answered with less: exactly so many, or at least one."""
        self._assert_found(len(self.degraded), times, "degraded")

    def assert_priced(self, times: int | None = None, *, over: float = 1) -> None:
        """Calls were charged at a price.

        Args:
            times: Exactly so many; at least one unless given.
            over: Count only those whose price was higher than this.
        """
        found = sum(1 for event in self.admitted if event.price > over * MICRO)
        self._assert_found(found, times, f"priced over {over:g}")

    def clear(self) -> None:
        """Forget what was seen."""
        self.events.clear()

    def _assert_found(self, found: int, times: int | None, what: str) -> None:
        met = found == times if times is not None else found > 0
        wanted = "at least one call" if times is None else f"{times} calls"
        assert met, f"expected {wanted} {what}, found {found}: {self._story()}"

    def _story(self) -> str:
        told = [_tell(event) for event in self.events]
        return "; ".join(told) if told else "no calls at all"


def _tell(event: DecisionEvent) -> str:
    asked = f"{event.method} {event.path} of {event.identity.key[:12]}"
    if event.settlement:
        price = f" at price {event.price / MICRO:.2f}" if event.price > MICRO else ""
        delay = f" after {event.delay / SECOND:.2f} s" if event.delay else ""
        stage = f" ({event.stage})" if event.stage != "none" else ""
        return f"{asked} admitted{stage}{price}{delay}, answered {event.status}"
    by = f" by {', '.join(event.violated)}" if event.violated else ""
    return f"{asked} refused ({event.verdict}){by}"
