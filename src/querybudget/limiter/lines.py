"""The ledger lines of a call: what it takes from which accounts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec.structs import replace

from querybudget.adapters.base import Call
from querybudget.coverage.calibration import Calibration
from querybudget.coverage.response import BucketResponse, Stage, Suspects
from querybudget.identity.tiers import DEFAULT_TIER
from querybudget.ledger import Line, Standing
from querybudget.limiter.estimation import Estimate
from querybudget.limiter.examined import NOT_EXAMINED, Examined
from querybudget.limiter.partitions import NO_TEMPLATE, TEMPLATE, Partitions
from querybudget.limiter.plans import Caller, Matched, Plan
from querybudget.policy.model import Policy
from querybudget.units import MICRO

CALIBRATION = "calibration:tier:"
"""Prefix of the accounts that keep the highest scores of each tier's established callers."""

NEWCOMERS = "calibration:newcomers"
"""The account that keeps what established callers of all tiers showed when they were new."""

CACHED = 4096
"""Sets of capabilities whose weight is cached; and callers and plans whose lines are."""

# Looking up an enum's member costs as much as naming an account does.
_CALLER, _INVENTED = Standing.CALLER, Standing.INVENTED


class Lines:
    """Makes the lines of calls.

    Args:
        policy: Its capabilities have weights.
        partitions: Names the accounts.
        capabilities: Names of capabilities, by their bits in `Observation.capabilities`.
    """

    def __init__(self, policy: Policy, partitions: Partitions, capabilities: Sequence[str]) -> None:
        self._partitions = partitions
        weights = {capability.name: capability.weight for capability in policy.capabilities}
        self._weights = tuple(weights.get(name, MICRO) for name in capabilities)
        self._weight = lru_cache(CACHED)(self._heaviest)
        self._fixed = lru_cache(CACHED)(_fixed_lines)
        self._calibrations = _calibrations(policy)

    def of(
        self,
        caller: Caller,
        plan: Plan,
        call: Call,
        estimate: Estimate,
        examined: Examined = NOT_EXAMINED,
    ) -> tuple[Line, ...]:
        """Return the ledger lines of a call: one for each `Matched` of its plan, in their order.

        Args:
            caller: The sender.
            plan: The budgets.
            call: What is asked.
            estimate: What it is expected to use.
            examined: What it contains.
        """
        own = caller.identity.key
        if plan.own:
            if plan.fixed and call.items == call.choices == 1:
                return self._fixed(own, plan)
            return _own_lines(own, plan, call, estimate)
        usage, certain = estimate.usage, estimate.certain
        uncertain = certain is not usage
        weight = self._weight(examined.capabilities) if plan.counts_buckets else 0
        lines: list[Line] = []
        for matched in plan.budgets:
            partition, standing, response = own, matched.standing, matched.response
            if not matched.own:
                pool = _pool(examined, matched.pool)
                partition = self._joined(matched, caller, pool)
                if standing is _INVENTED and TEMPLATE not in partition:
                    standing = _CALLER
                if response is not None and not (matched.counted and response.suspects is None):
                    pool = pool if matched.pool >= 0 else ""
                    response = _judged(response, pool, examined.subject)
            if matched.counts_buckets:
                amount = minimum = weight if matched.counted else 0
            else:
                amount = minimum = matched.cost_function(call, usage)
                if uncertain and matched.needs_usage:
                    minimum = matched.cost_function(call, certain)
            lines.append(
                Line(
                    partition,
                    matched.quota,
                    amount,
                    minimum,
                    matched.shadow,
                    response,
                    standing,
                )
            )
        return tuple(lines)

    def _joined(self, matched: Matched, caller: Caller, pool: str) -> str:
        of, model, route = self._partitions.key, matched.model, matched.route
        return "|".join([of(word, caller, pool, model, route) for word in matched.budget.per])

    def calibration(self, caller: Caller) -> Calibration | None:
        """Return how a caller's scores are calibrated: by the established callers of its tier."""
        return self._calibrations.get(caller.tier)

    def profiled(self, caller: Caller, plan: Plan, lines: Sequence[Line]) -> tuple[str, ...]:
        """Return the accounts whose profiles take in the call: the caller's, then its groups'."""
        keys = [caller.identity.key]
        keys += [
            line.partition
            for matched, line in zip(plan.budgets, lines, strict=True)
            if matched.counts_buckets
        ]
        if calibration := self.calibration(caller):
            keys += calibration.partitions
        return tuple(dict.fromkeys(keys))

    def _heaviest(self, capabilities: int) -> int:
        """Return what a new bucket counts: the largest weight of the capabilities, 1 without."""
        weights = (w for bit, w in enumerate(self._weights) if capabilities >> bit & 1)
        return max(weights, default=MICRO)


def _fixed_lines(own: str, plan: Plan) -> tuple[Line, ...]:
    """Return the lines of a call that takes one of everything, from the caller's own accounts."""
    return tuple(
        Line(own, one.quota, MICRO, MICRO, one.shadow, None, one.standing) for one in plan.budgets
    )


def _own_lines(own: str, plan: Plan, call: Call, estimate: Estimate) -> tuple[Line, ...]:
    """`Lines.of` where all accounts are the caller's own: as most are, with less work."""
    usage, certain = estimate.usage, estimate.certain
    uncertain = certain is not usage
    lines: list[Line] = []
    for matched in plan.budgets:
        amount = minimum = matched.cost_function(call, usage)
        if uncertain and matched.needs_usage:
            minimum = matched.cost_function(call, certain)
        lines.append(
            Line(own, matched.quota, amount, minimum, matched.shadow, None, matched.standing)
        )
    return tuple(lines)


def _calibrations(policy: Policy) -> dict[str, Calibration]:
    """Return the calibration of each tier; empty if the shipped threshold holds."""
    adaptive = policy.adaptive
    if adaptive is None:
        return {}
    tested = any(one.response and one.response.suspects for one in policy.budgets)
    return {
        tier: Calibration(
            f"{CALIBRATION}{tier}",
            adaptive.disturb,
            adaptive.callers,
            adaptive.established.age,
            adaptive.established.calls,
            adaptive.floor,
            adaptive.ceiling,
            NEWCOMERS if tested else "",
        )
        for tier in (DEFAULT_TIER, *(tier.name for tier in policy.tiers))
    }


def _judged(response: BucketResponse, pool: str, subject: str) -> BucketResponse:
    """Return how a pool judges its callers, by what they have in common."""
    if pool == NO_TEMPLATE:
        return _by_members(response)
    if pool and pool == subject:
        return _mildly(response)
    return _alike(response) if pool and response.suspects else response


@lru_cache(CACHED)
def _by_members(response: BucketResponse) -> BucketResponse:
    """Return how calls without a template are judged, which have nothing in common.

    They are not judged together: a campaign without a template would slow all honest callers who
    have none either. So only callers whom the population test touches are suspect.
    """
    return replace(response, suspects=response.suspects or Suspects())


@lru_cache(CACHED)
def _mildly(response: BucketResponse) -> BucketResponse:
    """Return how callers are judged whose templates have one subject: never refused.

    To have a subject in common is weaker evidence than to have the words in common. Those whom the
    population test touches are suspect, and all are slowed while half of the pool is far up.
    """
    milder = tuple(one for one in response.stages if one[0] is not Stage.REFUSE)
    tested = _alike(_by_members(response))
    suspects = replace(tested.suspects or Suspects(), together=True)
    return replace(tested, stages=milder, suspects=suspects)


@lru_cache(CACHED)
def _alike(response: BucketResponse) -> BucketResponse:
    """Return how members are tested who have a template in common, and are of one application."""
    return replace(response, suspects=replace(response.suspects or Suspects(), alike=True))


def _pool(examined: Examined, index: int) -> str:
    """Return the pool that a budget charges; empty for the caller's own account."""
    pools = examined.pools
    if index >= 0:
        return pools[index] if index < len(pools) else examined.subject
    return pools[0] if pools and pools[0] != NO_TEMPLATE else ""
