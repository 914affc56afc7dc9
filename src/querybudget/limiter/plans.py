"""Who calls, and the budgets that apply to a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from querybudget.coverage.response import BucketResponse
from querybudget.identity import Identity
from querybudget.ledger import Standing
from querybudget.limiter.cost import CostFunction
from querybudget.policy.model import Budget, OnStoreError
from querybudget.units import Quota


class Caller(msgspec.Struct, frozen=True):
    """The sender of a request.

    Attributes:
        identity: The identity that is charged.
        tiers: Its tier, ``default`` if no tier rule holds; then those that apply besides.
        scope: The ASGI scope, for partitions.
        pools: Partitions to the key of the caller's pool, where these are known without a scope, as
            from a traffic log; None to find them out.
    """

    identity: Identity
    tiers: tuple[str, ...]
    scope: Mapping[str, Any]
    pools: Mapping[str, str] | None = None

    @property
    def tier(self) -> str:
        """Its tier, without those that apply besides."""
        return self.tiers[0]


class Matched(msgspec.Struct, frozen=True):
    """A budget that applies, with its quota scaled for the caller's tier.

    Attributes:
        budget: The policy's budget.
        quota: Its quota, scaled.
        cost_function: What a call takes from it.
        needs_usage: Whether it counts tokens or money, of which only a part may be certain.
        shadow: Whether it only reports what it would refuse.
        counts_buckets: Whether it counts buckets, so that only an answered call takes any.
        response: What using them up leads to, if it counts buckets.
        own: Whether its account is the caller's own, whatever the call is.
        model: Of the call's models, the one whose account is charged, if it has one for each.
        pool: Of the pools of the call's template, the one that is charged; -1 if the budget does
            not pool calls without a template.
        standing: Who can make its accounts.
        shared: Whether strangers use its account too.
        counted: Whether new buckets are counted, and not only judged.
        route: What the call's path asks, if the budget has an account for each; or empty.
    """

    budget: Budget
    quota: Quota
    cost_function: CostFunction
    needs_usage: bool
    shadow: bool
    counts_buckets: bool = False
    response: BucketResponse | None = None
    own: bool = False
    model: str = ""
    pool: int = -1
    standing: Standing = Standing.CALLER
    shared: bool = False
    counted: bool = True
    route: str = ""


class Plan(msgspec.Struct, frozen=True, eq=False):
    """Everything that follows from a call's route, model, stream, tier and capabilities.

    Attributes:
        budgets: Those that apply, in the policy's order.
        private: Names of those whose figures are the caller's own, so that they may be shown.
        needs_usage: Whether any counts tokens or money, so that the answer has to be read.
        unpriced: Whether an enforced one counts money and the model has no price.
        counts_buckets: Whether any counts buckets.
        needs_analysis: Whether the prompts must be analyzed, for buckets or to know which budgets
            apply.
        on_error: What each of the budgets says about calls that the store cannot decide.
        own: Whether all accounts are the caller's own, whatever the call is, and none counts
            buckets.
        fixed: Whether a call takes as much of each as any other that asks for one answer.
        tier: The caller's tiers, as accounts keep them.
    """

    budgets: tuple[Matched, ...]
    private: frozenset[str]
    needs_usage: bool
    unpriced: bool
    counts_buckets: bool = False
    needs_analysis: bool = False
    on_error: tuple[OnStoreError, ...] = ()
    own: bool = False
    fixed: bool = False
    tier: str = ""
