"""Linked groups as operators see them: from the links that a store keeps."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from querybudget.admin.protocol import LinkedAccount, LinkedGroup
from querybudget.overrides import Effect, Override
from querybudget.units import Micros

PREFIX = "group:"
"""With which the key of a linked group begins."""

SHORTEST = 4
"""Characters of a group's name that name it, at least."""

_REASON = re.compile(r"(\w+):([0-9]+\.[0-9])")


def groups_in(entries: Iterable[Override]) -> tuple[LinkedGroup, ...]:
    """Return the groups that links make, the largest first. What is unlinked is in none.

    Args:
        entries: All overrides of a store.
    """
    entries = tuple(entries)
    apart = {one.account for one in entries if one.effect is Effect.UNLINK}
    found: dict[str, list[LinkedAccount]] = defaultdict(list)
    for one in entries:
        if one.effect is Effect.LINK and one.account not in apart:
            words = filter(None, map(_REASON.fullmatch, one.reason.split()))
            reasons = {word[1]: float(word[2]) for word in words}
            found[one.budget].append(LinkedAccount(one.account, one.at, one.until, reasons))
    groups = [_group(name, accounts) for name, accounts in found.items()]
    return tuple(sorted(groups, key=lambda group: (-group.size, group.group)))


def group_named(name: str, groups: Iterable[LinkedGroup]) -> LinkedGroup:
    """Return the group of a name, or of one that begins so.

    Raises:
        LookupError: There is none, or more than one.
    """
    short = name.removeprefix(PREFIX)
    found = [group for group in groups if group.group.startswith(PREFIX + short)]
    if not found or len(short) < SHORTEST:
        raise LookupError(f"there is no group {name!r}")
    if len(found) > 1:
        raise LookupError(f"more than one group has a name that begins with {name!r}")
    return found[0]


def unlinking(account: str, by: str, reason: str, now: int) -> Override:
    """Return what says that an account is never linked; each account has one at most."""
    return Override(
        f"unlink-{account}", account, effect=Effect.UNLINK, at=Micros(now), by=by, reason=reason
    )


def unlinked_of(name: str, entries: Iterable[Override]) -> tuple[Override, ...]:
    """Return what keeps an account, or all accounts that were in a group, from being linked.

    Args:
        name: Key of the account, or of the group.
        entries: All overrides of a store.
    """
    entries = tuple(entries)
    inside = {one.account for one in entries if one.effect is Effect.LINK and one.budget == name}
    inside.add(name)
    return tuple(one for one in entries if one.effect is Effect.UNLINK and one.account in inside)


def _group(name: str, accounts: Sequence[LinkedAccount]) -> LinkedGroup:
    kinds = Counter(kind for account in accounts for kind in account.reasons)
    return LinkedGroup(
        name,
        len(accounts),
        min(account.at for account in accounts),
        max(account.until for account in accounts),
        dict(kinds.most_common()),
        tuple(sorted(accounts, key=lambda account: (account.at, account.account))),
    )
