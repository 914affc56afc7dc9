"""What becomes of calls that the store could not decide: each budget's `on_store_error`.

A budget that says ``deny`` refuses. One that says ``allow`` is not looked at. One that says
``local`` is decided by this worker alone, in a store in memory, of which the limit is the
worker's share. What was used there is kept as long as its window lasts, from one outage to the
next: a store that fails once a second does not give everybody a fresh share each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from querybudget.ledger import Charge, Decision, LineStatus, Reservation, Settled, Verdict, refusal
from querybudget.limiter.admission import Admission, Refusal, Without
from querybudget.limiter.matching import Plan
from querybudget.policy.model import Budget, Mode, OnStoreError, Policy
from querybudget.stores import Clock, MemoryStore
from querybudget.units import SECOND, Algorithm, Quota, Unit

__all__ = ["RETRY", "Fallback", "denies", "share"]

RETRY = 5 * SECOND
"""The wait told to a call that is more than this worker's share, and not more than the limit: it
may be admitted when the store answers again, and nobody knows when that is."""


class Fallback:
    """Decides calls while the store does not answer.

    Args:
        policy: Bounds the accounts kept.
        workers: Processes that share each limit.
        clock: µs since the epoch.

    Attributes:
        decided: Calls decided here.
    """

    def __init__(self, policy: Policy, workers: int, clock: Clock) -> None:
        self._workers = workers
        self._store = MemoryStore(clock, max_identities=max(10, policy.max_identities))
        self.decided = 0

    async def decide(self, admission: Admission, charge: Charge) -> Decision | None:
        """Decide a call by what its budgets say; the admission remembers that it was done here.

        Args:
            admission: The call's; refused where a budget denies.
            charge: What the store could not decide: a line for each budget of the admission's plan.

        Returns:
            What the lines decided locally come to; None where there are none.
        """
        budgets = admission.plan.budgets
        places: tuple[int, ...] = ()
        if _denied(admission.plan):
            admission.refusal = Refusal.STORE
        else:
            local = OnStoreError.LOCAL
            places = tuple(
                at for at, one in enumerate(budgets) if one.budget.on_store_error is local
            )
        admission.without = Without(charge, places)
        if not places:
            return None
        self.decided += 1
        decision = await self._store.reserve(self._charge(admission.without))
        return decision if decision.admitted else _patient(decision, admission.without)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Settle what was admitted here; it never waits.

        Args:
            reservation: As decided here.
            amounts: µ-units used on the lines decided here, before price.
        """
        return await self._store.settle(reservation, amounts)

    def _charge(self, without: Without) -> Charge:
        charge, whole = without.charge, without.lines
        lines = tuple(
            msgspec.structs.replace(line, quota=share(line.quota, self._workers)) for line in whole
        )
        if any(line.quota.algorithm is Algorithm.DISTINCT for line in lines):
            return msgspec.structs.replace(charge, lines=lines)
        return msgspec.structs.replace(charge, lines=lines, observation=None, profiled=())


@lru_cache(maxsize=1_024)
def share(quota: Quota, workers: int) -> Quota:
    """What one of so many workers may grant by itself: at least one request, lease or bucket."""
    return quota.scaled(1, workers)


def denies(budget: Budget) -> bool:
    """Whether a budget refuses every call while the store is down."""
    return budget.on_store_error is OnStoreError.DENY and budget.mode is Mode.ENFORCE


def _denied(plan: Plan) -> bool:
    return any(denies(matched.budget) for matched in plan.budgets)


def _patient(decision: Decision, without: Without) -> Decision:
    """A refusal that does not say "never" of what is only more than a worker's share."""
    statuses = tuple(
        _later(status) if status.verdict is Verdict.NEVER and _fits(status, line.quota) else status
        for status, line in zip(decision.lines, without.lines, strict=True)
    )
    verdict, wait = refusal(statuses)
    return msgspec.structs.replace(decision, lines=statuses, verdict=verdict, wait=wait)


def _fits(status: LineStatus, whole: Quota) -> bool:
    return status.line.quota.unit is Unit.BUCKETS or status.line.minimum <= whole.capacity


def _later(status: LineStatus) -> LineStatus:
    return msgspec.structs.replace(status, verdict=Verdict.WAIT, wait=RETRY)
