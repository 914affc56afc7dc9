"""`Decisions`: a hook that keeps every event, with assertions that explain what they found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from querybudget.coverage import Stage
from querybudget.events import DecisionEvent
from querybudget.ledger import LineStatus
from querybudget.testing.arguments import check_budget, check_number, check_text
from querybudget.testing.event_summary import counted, summary
from querybudget.text import nearest
from querybudget.text import wait as wait_text
from querybudget.units import MICRO, SECOND

SHOWN = 12
"""Characters that are shown of the key of a caller whose name is not known."""

MOST_NAMES = 12
"""Callers that are listed where one was not found."""


class Decisions:
    """Keeps the event of each call. Pass it to a limiter or a middleware as a hook.

    An admitted call's event arrives when the call has ended. `memory_limiter` tells it the policy's
    budgets and what the test calls its callers. So a budget that does not exist is an error, a
    caller who never called is one, and messages name callers as the test does.

    Attributes:
        events: Every event, in order of arrival.
    """

    def __init__(self) -> None:
        self.events: list[DecisionEvent] = []
        self._budgets = set[str]()
        self._names: list[Mapping[str, str]] = []

    def __call__(self, event: DecisionEvent) -> None:
        self.events.append(event)

    def __len__(self) -> int:
        return len(self.events)

    def watch(self, budgets: Iterable[str], names: Mapping[str, str]) -> None:
        """Learn what a limiter knows.

        Args:
            budgets: Names of its budgets.
            names: Keys of identities to what the test calls them; it may grow.
        """
        self._budgets.update(budgets)
        self._names.append(names)

    @property
    def last(self) -> DecisionEvent:
        """The latest event.

        Raises:
            AssertionError: There is none.
        """
        if not self.events:
            raise AssertionError(
                "expected a call, found none: is this a hook of the limiter under test?"
            )
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

    def of(self, caller: str) -> list[DecisionEvent]:
        """Return the events of one caller.

        Args:
            caller: Its name, as the test called it: an API key, a user. Or its identity's key.

        Raises:
            LookupError: No such caller has called.
        """
        __tracebackhide__ = True
        self._check_caller(caller)
        return [event for event in self.events if self._is(event, caller)]

    def assert_admitted(self, times: int | None = None, *, caller: str = "") -> None:
        """Assert that calls reached the application.

        Args:
            times: The exact number; at least one by default.
            caller: Count only calls of this caller, named as for `of`.
        """
        __tracebackhide__ = True
        self._assert_count(self.admitted, times, "admitted", caller)

    def assert_refused(
        self, times: int | None = None, *, by: str = "", caller: str = "", wait: float | None = None
    ) -> None:
        """Assert that calls were refused.

        Args:
            times: The exact number; at least one by default.
            by: Count only refusals by this budget.
            caller: Count only calls of this caller, named as for `of`.
            wait: Count only refusals after whose wait, in seconds, the call fits.

        Raises:
            LookupError: The policy has no budget `by`.
            TypeError: `by` is not the name of one budget, or `wait` not a number. All assertions
                raise it for an argument of another type.
        """
        __tracebackhide__ = True
        self._check(by)
        found = [event for event in self.refused if not by or by in event.violated]
        what = _by("refused", by)
        if wait is not None:
            check_number(wait, "`wait` in seconds")
            expected = round(wait * SECOND)
            found = [event for event in found if event.wait == expected]
            what += f" for {wait_text(expected)}"
        self._assert_count(found, times, what, caller)

    def assert_slowed(self, times: int | None = None, *, by: str = "", caller: str = "") -> None:
        """Assert that calls were delayed; the arguments are those of `assert_refused`."""
        __tracebackhide__ = True
        self._check(by)
        found = [event for event in self.slowed if not by or by in acting(event, Stage.SLOW)]
        self._assert_count(found, times, _by("slowed", by), caller)

    def assert_degraded(self, times: int | None = None, *, by: str = "", caller: str = "") -> None:
        """Assert that calls were degraded; the arguments are those of `assert_refused`."""
        __tracebackhide__ = True
        self._check(by)
        found = [event for event in self.degraded if not by or by in acting(event, Stage.DEGRADE)]
        self._assert_count(found, times, _by("degraded", by), caller)

    def assert_priced(self, times: int | None = None, *, over: float = 1, caller: str = "") -> None:
        """Assert that calls were charged at a raised price.

        Args:
            times: The exact number; at least one by default.
            over: Count only calls at a price above this.
            caller: Count only calls of this caller, named as for `of`.
        """
        __tracebackhide__ = True
        check_number(over, "`over` as a factor")
        found = [event for event in self.admitted if event.price > over * MICRO]
        self._assert_count(found, times, f"priced over {over:g}", caller)

    def clear(self) -> None:
        """Forget all events."""
        self.events.clear()

    def _check(self, budget: str) -> None:
        __tracebackhide__ = True
        if budget:
            check_budget(budget, self._budgets or [budget], "by")

    def _check_caller(self, caller: str) -> None:
        __tracebackhide__ = True
        check_text(caller, "`caller` as the name of one caller")
        known = {name for names in self._names for name in (*names, *names.values())}
        if caller and self._names and caller not in known:
            names = sorted({name for names in self._names for name in names.values()})
            more = f" and {len(names) - MOST_NAMES} others" if len(names) > MOST_NAMES else ""
            raise LookupError(
                f"no caller {caller!r} has called{nearest(caller, names)}: there were"
                f" {', '.join(names[:MOST_NAMES]) or 'none'}{more}"
            )

    def _is(self, event: DecisionEvent, caller: str) -> bool:
        return caller in {event.identity.key, self._name(event)}

    def _name(self, event: DecisionEvent) -> str:
        key = event.identity.key
        return next((names[key] for names in self._names if key in names), key[:SHOWN])

    def _assert_count(
        self, found: list[DecisionEvent], times: int | None, what: str, caller: str
    ) -> None:
        __tracebackhide__ = True  # pytest shows the test's line
        self._check_caller(caller)
        if caller:
            found = [event for event in found if self._is(event, caller)]
            what = f"of {caller} {what}"
        if times is not None:
            check_number(times, "`times` as a number of calls", whole=True)
        count = len(found)
        if count == times if times is not None else count > 0:
            return
        wanted = "at least one call" if times is None else counted(times, "call")
        # pytest would write more into the message of an assert, since this is its plugin's package.
        raise AssertionError(
            f"expected {wanted} {what}, found {count}:{summary(self.events, self._name, caller)}"
        )


def _by(what: str, budget: str) -> str:
    return f"{what} by {budget!r}" if budget else what


def acting(event: DecisionEvent, stage: Stage) -> set[str]:
    """Return the names of the enforced budgets that brought a call to a stage."""
    lines = event.decision.lines if event.decision else ()
    return {line.line.quota.name for line in lines if _reaches(line, stage)}


def _reaches(status: LineStatus, stage: Stage) -> bool:
    line = status.line
    if line.shadow or line.response is None:
        return False
    # A stage ends only clearly below where it began, so what is looked for may last from before.
    return line.response.stage(status.strain, stage) >= stage
