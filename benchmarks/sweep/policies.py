"""The policy under test, and its variants.

Callers are identified by the scope's ``user`` and claims, whatever identity chain the policy has:
there is no HTTP here. Every budget is enforced. The rest of the policy is unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from querybudget.limiter.conditions import needs_content
from querybudget.policy.model import Budget, Mode, Partition, Policy, ResolverSpec
from querybudget.units import MICRO, Algorithm, Quota, Unit

__all__ = [
    "SECRET",
    "counting_requests",
    "enforced",
    "has_pools",
    "only_identities",
    "only_pools",
    "scope",
    "scored",
    "without_buckets",
]

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
    """Return the policy with an ample request limit for each budget that looks into calls.

    It has as many lines, and nothing is looked at.
    """
    return replace(
        policy,
        budgets=tuple(_in_requests(b) if needs_content(b) else b for b in policy.budgets),
    )


def only_pools(policy: Policy) -> Policy:
    """Return the bucket budgets of the policy that are not of one identity."""
    pools = tuple(b for b in policy.budgets if _counts_buckets(b) and "identity" not in b.per)
    return replace(policy, budgets=pools)


def only_identities(policy: Policy) -> Policy:
    """Return the bucket budgets of the policy that are of one identity."""
    own = tuple(b for b in policy.budgets if _counts_buckets(b) and "identity" in b.per)
    return replace(policy, budgets=own)


def has_pools(policy: Policy) -> bool:
    """Whether one account's calls can affect another's."""
    return any("identity" not in budget.per for budget in policy.budgets)


def scope(account: str, *, pool: str = "") -> Mapping[str, object]:
    """Return the ASGI scope of a caller: in this organisation and network, or alone in its own."""
    claims = {"organisation": f"of {pool or account}", "network": f"net {pool or account}"}
    return {"type": "http", "user": account, "state": {"claims": claims}}


def _claim(partition: str) -> str:
    """Return the claim for a policy's partition, guessed from its name."""
    return "network" if "net" in partition or "addr" in partition else "organisation"


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
    match = replace(budget.match, capability=(), opaque=())
    per = tuple(word for word in budget.per if word != "template") or ("identity",)
    return replace(budget, quota=quota, response=None, match=match, per=per)


def _unscored(budget: Budget) -> Budget:
    response = budget.response
    return replace(budget, response=response and replace(response, scored=False))


def _boundless(budget: Budget) -> Budget:
    """Return the budget with a limit that is never reached."""
    return replace(budget, quota=budget.quota.scaled(1_000 * MICRO))
