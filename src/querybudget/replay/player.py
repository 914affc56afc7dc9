"""Plays a log to one limiter: each call is decided at its time, and settled when it ended."""

from __future__ import annotations

from collections.abc import Coroutine
from heapq import heappop, heappush
from typing import Any, NamedTuple, TypeVar

from querybudget.adapters.base import Usage
from querybudget.limiter import Admission, Limiter, Outcome, PromptAnalyzer
from querybudget.limiter.override_feed import NEVER
from querybudget.limiter.renewals import TIMES
from querybudget.policy.model import Policy
from querybudget.replay.clock import VirtualClock
from querybudget.replay.logged import Logged, outcome_of, was_refused
from querybudget.stores import MemoryStore
from querybudget.traffic.record import TrafficRecord

LEARNT = 16
"""Calls whose mean duration a call has of which nobody knows how long it would have taken."""

_ANSWERED = Outcome.ANSWERED
_T = TypeVar("_T")


class _Open(NamedTuple):
    """An open call, in the order in which calls end or are renewed."""

    due: int
    number: int
    end: int
    admission: Admission
    outcome: Outcome
    usage: Usage | None
    status: int


class Player:
    """A limiter on a virtual clock, and the calls that are open.

    Args:
        policy: Decides. Its store is not used: accounts are in memory.
        analyzer: Analyzes texts; by default, the one that the policy needs.

    Attributes:
        limiter: The limiter.
        logged: Translates records for it.
        clock: Its time.
    """

    def __init__(self, policy: Policy, *, analyzer: PromptAnalyzer | None = None) -> None:
        self.clock = VirtualClock()
        store = MemoryStore(self.clock, max_identities=policy.max_identities)
        self.limiter = Limiter(policy, store=store, clock=self.clock, analyzer=analyzer)
        self.limiter.feed.due = NEVER  # nobody changes anything in a replay
        self.logged = Logged(policy, self.limiter)
        self._pause = max(1, policy.hold // TIMES)
        self._open: list[_Open] = []
        self._number = 0
        self._usual = 0

    async def play(self, record: TrafficRecord) -> Admission | None:
        """Decide a record's call, after all calls that had ended by then are settled.

        Returns:
            The call's admission; None if no budget applies to its path.
        """
        at, logged = record.at, self.logged
        if self._open and self._open[0].due <= at:
            await self._settle(at)
        self.clock.move(at)
        asked = logged.asked(record.method, record.path, record.operation)
        route = asked.route
        if route is None:
            return None
        admission = await self.limiter.admit_call(
            logged.caller(record), route, asked.method, asked.path, logged.call(record, asked)
        )
        if admission.refusal is None:
            self._begin(record, admission)
        return admission

    async def end(self) -> None:
        """Settle every open call at its time."""
        while self._open:
            await self._settle(self._open[0].due)

    def _begin(self, record: TrafficRecord, admission: Admission) -> None:
        if was_refused(record):  # nobody knows what it would have used
            outcome, usage, lasts = _ANSWERED, None, self._usual
            admission.verified = True
        else:
            outcome, usage = outcome_of(record), record.usage
            lasts = max(0, record.duration - record.delay)
            self._usual += (lasts - self._usual) // LEARNT
            if usage is None and outcome is _ANSWERED:
                admission.verified = True
        end = admission.at + lasts + admission.delay
        due = end if end - admission.at <= self._pause else admission.at + self._pause
        self._number += 1
        call = _Open(due, self._number, end, admission, outcome, usage, record.status)
        heappush(self._open, call)

    async def _settle(self, until: int) -> None:
        """Settle the calls that ended by a time, and renew those that are open for long."""
        calls, limiter = self._open, self.limiter
        while calls and calls[0].due <= until:
            call = heappop(calls)
            self.clock.move(call.due)
            if call.due >= call.end:
                await limiter.settle_call(call.admission, call.outcome, call.usage, call.status)
                continue
            await limiter.renewals.renew(call.admission)
            due = min(call.end, call.due + self._pause)
            heappush(calls, call._replace(due=due))


def run_now(work: Coroutine[Any, Any, _T]) -> _T:
    """Run what never waits, without an event loop.

    Raises:
        RuntimeError: It waits.
    """
    try:
        work.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    work.close()
    raise RuntimeError("expected a coroutine that does not wait, found one that does")
