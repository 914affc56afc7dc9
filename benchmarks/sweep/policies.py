"""The policy under test, and its variants.

Callers are identified by the scope's ``user`` and claims, whatever identity chain the policy has:
there is no HTTP here. Every budget is enforced. The rest of the policy is unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from querybudget.policy.model import Budget, Mode, Partition, Policy, ResolverSpec
from querybudget.units import MICRO, Algorithm, Quota, Unit

__all__ = [
    "POOL",
    "SECRET",
    "counting_requests",
    "enforced",
    "pooled",
    "scope",
    "scored",
    "without_buckets",
]

POOL = "pool"
"""Name of the partition that `pooled` adds; its claim is in every scope."""

SECRET = b"a benchmark keeps no secrets"


def enforced(source: str) -> Policy:
    """Return a policy with every budget enforced.

    Args:
        source: Path of a YAML file, or ``preset:NAME``.

    Raises:
        PolicyError: The policy is invalid.
    """
    policy = Policy.load(source)
    return replace(
        policy,
        identity=(ResolverSpec("user"),),
        partitions={
            name: Partition(name, ResolverSpec("claim", _claim(name))) for name in policy.partitions
        },
        budgets=tuple(replace(budget, mode=Mode.ENFORCE) for budget in policy.budgets),
        secret=policy.secret or SECRET,
        max_identities=max(policy.max_identities, 100_000),
        unpriced="free",
    )


def without_buckets(policy: Policy) -> Policy:
    """Return the policy without bucket budgets and scores; without others it allows everything."""
    rest = tuple(budget for budget in policy.budgets if not _counts_buckets(budget))
    return replace(policy, budgets=rest)


def counting_requests(policy: Policy) -> Policy:
    """Return the policy with an ample request limit for each bucket budget: as many lines."""
    return replace(
        policy,
        budgets=tuple(_in_requests(b) if _counts_buckets(b) else b for b in policy.budgets),
    )


def pooled(policy: Policy, factor: int) -> Policy:
    """Return only the bucket budgets of the policy, over a pool instead of one identity.

    Args:
        policy: The policy.
        factor: Limit of a pool, in limits of one identity. A pool is scored by the sum over its
            accounts; its buckets must suffice for an honest group.
    """
    return replace(
        policy,
        partitions={**policy.partitions, POOL: Partition(POOL, ResolverSpec("claim", POOL))},
        budgets=tuple(
            replace(budget, per=(POOL,), quota=budget.quota.scaled(factor * MICRO))
            for budget in policy.budgets
            if _counts_buckets(budget) and budget.per == ("identity",)
        ),
    )


def scope(account: str, template: str = "", *, pool: str = "") -> Mapping[str, object]:
    """Return the ASGI scope of a caller, alone in its organisation and network, in this pool."""
    claims = {
        "organisation": f"of {account}",
        "network": f"net {account}",
        "template": template,
        POOL: pool or account,
    }
    return {"type": "http", "user": account, "state": {"claims": claims}}


def _claim(partition: str) -> str:
    """Return the claim for a policy's partition, guessed from its name."""
    for word, claim in (("templ", "template"), ("prompt", "template"), ("net", "network")):
        if word in partition:
            return claim
    return "network" if "addr" in partition else "organisation"


def _counts_buckets(budget: Budget) -> bool:
    return budget.quota.unit is Unit.BUCKETS


def scored(policy: Policy) -> dict[str, Policy]:
    """Return two ablations of the policy: bucket budgets without the score, and the score alone."""
    buckets = {"without_score": _unscored, "score_only": _boundless}
    return {
        name: replace(
            policy,
            budgets=tuple(change(b) if _counts_buckets(b) else b for b in policy.budgets),
        )
        for name, change in buckets.items()
    }


def _in_requests(budget: Budget) -> Budget:
    old, ample = budget.quota, 10**9 * MICRO
    quota = Quota(old.name, Unit.REQUESTS, ample, old.window, Algorithm.SLIDING, ample)
    return replace(budget, quota=quota, response=None)


def _unscored(budget: Budget) -> Budget:
    response = budget.response
    return replace(budget, response=response and replace(response, scored=False))


def _boundless(budget: Budget) -> Budget:
    """Return the budget with a limit that is never reached."""
    return replace(budget, quota=budget.quota.scaled(1_000 * MICRO))
