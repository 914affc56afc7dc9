"""The pools that a caller spends with others: those that can be told from what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable

from querybudget.admin import views
from querybudget.admin.protocol import PoolUse
from querybudget.identity import DEFAULT_TIER
from querybudget.limiter.rules import Rules
from querybudget.policy.linking import GROUP
from querybudget.policy.model import Budget
from querybudget.resilience.administering import Administering
from querybudget.stores import AccountRecord
from querybudget.stores.accounts import SEPARATOR
from querybudget.traffic.record import TrafficRecord

LAST_CALLS = 20
"""Calls of a caller that are asked which pools it is in."""

MOST = 8
"""Pools of one caller that are looked up, at most."""


def names_of_pools(
    record: AccountRecord, rules: Rules, calls: Iterable[TrafficRecord] = ()
) -> tuple[str, ...]:
    """Return the keys of the pools that a caller is known to be in, at most `MOST`.

    Its account says its tier, and the overrides its group. Whose organisation or system prompt its
    calls had is only known of the last calls that this process remembers.

    Args:
        record: The caller's account.
        rules: The policy at work.
        calls: Its last calls.
    """
    if views.kind_of(record.partition) != views.CALLER:
        return ()
    tier = (record.account.tier or DEFAULT_TIER).split("+")[0]
    known = {"tier": f"tier:{tier}", "everyone": "everyone"}
    if group := rules.matcher.partitions.groups.get(record.partition):
        known[GROUP] = group
    found = dict[str, None]()
    for call in calls:
        known |= call.partitions
        found |= dict.fromkeys(call.scores)
    for budget in rules.policy.budgets:
        if known.keys() >= set(budget.per) and _is_in(tier, budget):
            found[SEPARATOR.join(known[word] for word in budget.per)] = None
    found.pop(record.partition, None)
    return tuple(found)[:MOST]


async def known_pools(
    store: Administering,
    record: AccountRecord,
    rules: Rules,
    calls: Iterable[TrafficRecord],
    now: int,
) -> tuple[PoolUse, ...]:
    """Return those of `names_of_pools` that have an account, as operators see them.

    Raises:
        StoreError: The store failed.
    """
    found = [await store.account(name) for name in names_of_pools(record, rules, calls)]
    return tuple(
        PoolUse(
            pool.partition,
            views.uses_of(pool, rules, now),
            views.score_of(pool, now),
            views.stage_of(pool, rules)[0],
        )
        for pool in found
        if pool is not None
    )


def _is_in(tier: str, budget: Budget) -> bool:
    """Return True if a budget may apply to a caller of a tier."""
    return not budget.match.tier or tier in budget.match.tier
