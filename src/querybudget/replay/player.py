"""Plays a log to one limiter: each call is decided at its time, and settled when it ended."""

from __future__ import annotations

from heapq import heappop, heappush

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
"""Calls whose mean duration is assumed for a call whose own is unknown: it was refused."""

_ANSWERED = Outcome.ANSWERED


_Open = tuple[int, int, int, Admission, Outcome, Usage | None, int]
"""An open call: when it ends or is renewed, its number, when it ends, its admission, outcome, usage
and status. Their order is that in which calls end or are renewed."""


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
        if self._open and self._open[0][0] <= at:
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
            await self._settle(self._open[0][0])

    def _begin(self, record: TrafficRecord, admission: Admission) -> None:
        if was_refused(record):  # nobody knows what it would have used
            outcome, usage, lasts = _ANSWERED, None, self._usual
            admission.verified = True
        else:
            outcome, usage = outcome_of(record), record.usage
            lasts = record.duration - record.delay
            lasts = lasts if lasts > 0 else 0  # noqa: FURB136 - `max` takes long
            self._usual += (lasts - self._usual) // LEARNT
            if usage is None and outcome is _ANSWERED:
                admission.verified = True
        at, status = admission.at, record.status
        end, pause = at + lasts + admission.delay, at + self._pause
        self._number += 1
        due = end if end < pause else pause  # noqa: FURB136 - `min` takes long
        heappush(self._open, (due, self._number, end, admission, outcome, usage, status))

    async def _settle(self, until: int) -> None:
        """Settle the calls that ended by a time, and renew those that are open for long."""
        calls, limiter = self._open, self.limiter
        while calls and calls[0][0] <= until:
            due, number, end, admission, outcome, usage, status = heappop(calls)
            self.clock.move(due)
            if due >= end:
                await limiter.settle_call(admission, outcome, usage, status)
                continue
            await limiter.renewals.renew(admission)
            due = min(end, due + self._pause)
            heappush(calls, (due, number, end, admission, outcome, usage, status))
