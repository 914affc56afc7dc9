"""What each identity of a log needs at most of each budget, so that it is never disturbed."""

from __future__ import annotations

from msgspec.structs import replace

from querybudget.limiter import Admission
from querybudget.policy.model import Budget, Mode, Policy
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO, Algorithm

ENDLESS = 10**9 * MICRO
"""A limit that no call reaches, in µ-units."""

SCORE = "score of "
"""Prefix of the name under which the highest sweep score of a budget is kept."""


class Demand:
    """The highest use of each budget by each identity, and by each pool that identities share.

    Args:
        policy: The budgets that are measured: see `measuring`.

    Attributes:
        peaks: Identity to the highest use in µ-units, or highest score in millionths, in the order
            of `names`.
        names: Names of budgets, and of their scores.
        pools: Names of budgets whose accounts identities share, to the highest use of any account.
        tokens: Whether any call is known to have used tokens.
        lasted: Whether the duration of any call is known.
        refused: Calls that were refused when the log was written.
    """

    def __init__(self, policy: Policy) -> None:
        # How much suspects may spend together, and from when, follows from no honest caller.
        budgets = [one for one in policy.budgets if not (one.response and one.response.suspects)]
        own = [one for one in budgets if "identity" in one.per]
        scored = [one for one in budgets if one.response and one.response.scored]
        self.names = tuple(
            [one.name for one in own if one.counted] + [f"{SCORE}{one.name}" for one in scored]
        )
        self._place = {name: place for place, name in enumerate(self.names)}
        self._blank = [0] * len(self.names)
        self.peaks: dict[str, list[int]] = {}
        self.pools = {one.name: 0 for one in budgets if one not in own and one.counted}
        self.tokens = self.lasted = False
        self.refused = 0

    def add(self, record: TrafficRecord, admission: Admission) -> None:
        """Note what a call needs: it was decided by budgets without limits."""
        self.tokens = self.tokens or bool(record.usage)
        self.lasted = self.lasted or record.duration > 0
        self.refused += record.usage is None and bool(record.violated)
        peaks = self.peaks.get(record.identity)
        if peaks is None:
            peaks = self.peaks[record.identity] = self._blank.copy()
        decision, place = admission.decision, self._place
        if decision is None:
            return
        for status in decision.lines:
            quota = status.line.quota
            # In terms of the budget's own limit: that of a tier may be a multiple.
            name, used = quota.name, -(-(quota.limit - status.remaining) * ENDLESS // quota.limit)
            if name in place:
                peaks[place[name]] = max(peaks[place[name]], used)
            elif name in self.pools:
                self.pools[name] = max(self.pools[name], used)
            if (score := place.get(f"{SCORE}{name}")) is not None:
                peaks[score] = max(peaks[score], status.strain)


def measuring(policy: Policy) -> Policy:
    """Return a policy that refuses nothing and whose budgets say what calls would need of them.

    A budget with `window: gcra` is measured by a sliding window: with the limit and the burst that
    this needs, it refuses nothing either. Overrides are left out: single callers need what they do.
    """
    return replace(
        policy,
        budgets=tuple(map(_endless, policy.budgets)),
        unpriced="free",
        overrides=(),
        override_sources=(),
    )


def _endless(budget: Budget) -> Budget:
    quota = budget.quota
    algorithm = Algorithm.SLIDING if quota.algorithm is Algorithm.GCRA else quota.algorithm
    endless = replace(quota, limit=ENDLESS, burst=ENDLESS, algorithm=algorithm)
    # No price and no stage: the strain alone is wanted.
    response = budget.response
    if response is not None:
        response = replace(response, cap=MICRO, stages=())
    return replace(budget, quota=endless, response=response, mode=Mode.SHADOW)
