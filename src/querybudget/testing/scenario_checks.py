"""What became of the calls of a policy's test, against what is expected of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from querybudget.adapters.base import UNREADABLE
from querybudget.coverage import Stage
from querybudget.events import DecisionEvent
from querybudget.policy.scenario import SOME, Expected, ScenarioCalls
from querybudget.testing.decisions import acting
from querybudget.testing.event_summary import MOST_KINDS, UNREAD, between, counted, in_shadow
from querybudget.text import in_units, wait
from querybudget.units import MICRO, NO_TIME, Micros


@dataclass
class CallResult:
    """What became of one call of a test.

    Attributes:
        caller: Who called, as the test says it; empty for nobody in particular.
        at: µs since the test began.
        reached: Whether it reached the application.
        status: HTTP status of the answer; 0 without one.
        event: What was decided; None if no budget applies to the request.
    """

    caller: str
    at: Micros = NO_TIME
    reached: bool = False
    status: int = 0
    event: DecisionEvent | None = None

    @property
    def words(self) -> str:
        """What became of it, in words."""
        return f"{self.kind}{_waits([self])}"

    @property
    def kind(self) -> str:
        """What became of it, in words, but for how long it has to wait."""
        return "".join(self._parts())

    def _parts(self) -> Iterator[str]:
        event = self.event
        if event is None:
            yield "admitted, by no budget" if self.reached else f"refused with {self.status}"
            return
        if not self.reached:
            yield f"refused by {', '.join(event.violated)}" if event.violated else "refused"
            yield "" if event.wait else f" ({event.verdict})"
            return
        slowed = event.delay or event.stage != "none"
        yield {"none": "slowed" if event.delay else "admitted", "slow": "slowed"}.get(
            event.stage, "degraded"
        )
        if slowed and (by := sorted(acting(event, Stage[event.stage.upper()]))):
            yield f" by {', '.join(by)}"
        if event.operation == UNREADABLE:
            yield f" {UNREAD}"
        if self.status >= HTTPStatus.BAD_REQUEST:
            yield f", answered {self.status}"
        yield in_shadow(event)  # why nothing was done, where a test expects that something is


class ScenarioFailure(msgspec.Struct, frozen=True):
    """Something that was not as a test expects it.

    Attributes:
        line: Of the calls in question; 0 where there is no text.
        expected: What was expected.
        found: What was found.
    """

    line: int
    expected: str
    found: str

    def __str__(self) -> str:
        return f"expected {self.expected}, found {self.found}"


def failures_of(calls: ScenarioCalls, results: Sequence[CallResult]) -> Iterator[ScenarioFailure]:
    """Yield what was not as expected of some calls.

    Args:
        calls: What the test says of them.
        results: What became of each.
    """
    expected = calls.expected
    if expected is None:
        return
    whose = f" of {calls.caller}" if calls.caller else ""
    for decision, count in expected.counts.items():
        found = sum(_is(decision, result, expected) for result in results)
        if found != count and not (count == SOME and found):
            what = f"{_calls(count)}{whose} {_asked(decision, expected)}"
            yield ScenarioFailure(calls.line, what, f"{found}: {summary(results)}")
    if expected.status is not None:
        statuses = Counter(one.status for one in results)
        if statuses.keys() != {expected.status}:
            words = ", ".join(f"{status} ({count})" for status, count in statuses.items())
            each = f"status {expected.status} of each call{whose}"
            yield ScenarioFailure(calls.line, each, words)
    for budget, amount in expected.charged.items():
        taken = sum(one.event.charged.get(budget, 0) for one in results if one.event)
        if taken != amount:
            what = f"{in_units(amount)} charged to {budget}"
            yield ScenarioFailure(calls.line, what, f"{in_units(taken)}: {summary(results)}")


def summary(results: Sequence[CallResult]) -> str:
    """Return what became of calls in words, those alike together."""
    kinds: dict[str, list[CallResult]] = {}
    for result in results:
        kinds.setdefault(result.kind, []).append(result)
    shown = list(kinds.items())[:MOST_KINDS]
    parts = [f"{len(alike)} {kind}{_waits(alike)}" for kind, alike in shown]
    if rest := len(results) - sum(len(alike) for _, alike in shown):
        parts.append(f"and {counted(rest, 'other')}")
    prices = [one.event.price for one in results if one.event and one.reached]
    highest = max(prices, default=0)
    price = f"; the highest price was {highest / MICRO:.2f}" if highest > MICRO else ""
    return "; ".join(parts) + price


def _waits(results: Sequence[CallResult]) -> str:
    waits = [one.event.wait for one in results if one.event and not one.reached and one.event.wait]
    return f" for {between(waits, wait)}" if waits else ""


def _is(decision: str, result: CallResult, expected: Expected) -> bool:
    """Whether this became of a call, by a budget that is expected to do it."""
    event = result.event
    if decision == "admitted":
        return result.reached
    if decision == "refused":
        return not result.reached and _refused(event, expected)
    if event is None or not result.reached:
        return False
    if decision == "priced":
        return event.price > expected.over
    if decision == "slowed":
        return event.delay > 0 and _by(expected, acting(event, Stage.SLOW))
    return event.stage == "degrade" and _by(expected, acting(event, Stage.DEGRADE))


def _refused(event: DecisionEvent | None, expected: Expected) -> bool:
    if event is None:
        return not expected.by and expected.wait is None
    return _by(expected, event.violated) and expected.wait in {None, event.wait}


def _by(expected: Expected, budgets: Sequence[str] | set[str]) -> bool:
    return not expected.by or set(expected.by) <= set(budgets)


def _calls(count: int) -> str:
    return "at least 1 call" if count == SOME else counted(count, "call")


def _asked(decision: str, expected: Expected) -> str:
    if decision == "priced":
        return f"priced over {in_units(expected.over)}"
    by = f" by {' and '.join(expected.by)}" if expected.by and decision != "admitted" else ""
    after = expected.wait is not None and decision == "refused"
    return f"{decision}{by}" + (f" for {wait(expected.wait or 0)}" if after else "")
