"""What population tests say, from what the store keeps of callers and of their pools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.fitted import TAIL_SHARES
from querybudget.coverage.group import ALL_TAILS, Group
from querybudget.coverage.population import touched
from querybudget.coverage.reason import Touched
from querybudget.identity import DEFAULT_TIER
from querybudget.limiter.lines import NEWCOMERS
from querybudget.limiter.partitions import has_one_template
from querybudget.limiter.rules import Rules
from querybudget.policy.model import Budget
from querybudget.stores import AccountRecord
from querybudget.stores.accounts import SEPARATOR


def pools_of(record: AccountRecord, rules: Rules) -> dict[str, str]:
    """Return the budgets with `suspects` to the account of the pool that tests the account.

    A pool's account is its own. Of a caller they are those that its tier names: an account does not
    say whose template or organisation its calls had.
    """
    account, found = record.account, dict[str, str]()
    tier = (account.tier or DEFAULT_TIER).split("+")[0]
    names = {"tier": f"tier:{tier}", "everyone": "everyone"}
    for budget in _tested(rules):
        if isinstance(account.profile, Group) and budget.quota.key in account.windows:
            found[budget.name] = record.partition
        elif isinstance(account.profile, CallerProfile) and _named(budget, tier):
            found[budget.name] = SEPARATOR.join(names[word] for word in budget.per)
    return found


def touched_of(
    record: AccountRecord, groups: Mapping[str, AccountRecord], rules: Rules
) -> dict[str, Touched]:
    """Return the budgets whose population tests touch a caller, and how, by one kind of evidence.

    Of a pool: what they say of those of its members that are furthest up.

    Args:
        record: The account.
        groups: Accounts of `pools_of` and `NEWCOMERS`, where there are such accounts.
        rules: The policy at work.
    """
    profile, found = record.account.profile, dict[str, Touched]()
    pools = pools_of(record, rules)
    learnt = _group(groups.get(NEWCOMERS))
    adaptive = rules.policy.adaptive
    furthest = [-1] * (len(ALL_TAILS) - 1)
    members = [[*furthest[:look], len(TAIL_SHARES)] for look in range(len(ALL_TAILS))]
    if isinstance(profile, CallerProfile):
        members = [profile.tails]
    for budget in _tested(rules):
        partition = pools.get(budget.name, "")
        group = _group(groups.get(partition))
        if group is None or budget.response is None or budget.response.suspects is None:
            continue
        alike = has_one_template(partition)
        told = [
            touched(
                group,
                tails,
                replace(budget.response.suspects, alike=alike),
                learnt if adaptive else None,
                adaptive.callers if adaptive else 0,
            )
            for tails in members
        ]
        most = max(told, key=lambda one: (one.score, one.observed))
        if most.score:
            found[budget.name] = most
    return found


def _tested(rules: Rules) -> Iterable[Budget]:
    return (one for one in rules.policy.budgets if one.response and one.response.suspects)


def _named(budget: Budget, tier: str) -> bool:
    """Return True if a tier says whether a budget applies, and which account it has then."""
    matching = not budget.match.tier or tier in budget.match.tier
    return matching and {"tier", "everyone"}.issuperset(budget.per)


def _group(record: AccountRecord | None) -> Group | None:
    profile = None if record is None else record.account.profile
    return profile if isinstance(profile, Group) else None
