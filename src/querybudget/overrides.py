"""Overrides: what an operator has changed for one caller, one pool, or everybody.

An override names an account by a part of its key: the key of an identity, or of a pool such as an
organisation. It applies to every account whose key has that part. Overrides change the limits that
calls are charged at, and never what has been used.
"""

from __future__ import annotations

import enum

import msgspec

from querybudget.units import MICRO, NO_TIME, ORDINARY_PRICE, Micros, Millionths, Quota, Unit

ANY_BUDGET = "*"
"""In `Override.budget`: all budgets."""


class Effect(enum.StrEnum):
    """What an override does."""

    LIMIT = "limit"
    """The limit is another one."""
    ALLOW = "allow"
    """The budget counts apart, and refuses and slows nothing."""
    BLOCK = "block"
    """Every call is refused."""
    ENFORCE = "enforce"
    """A budget of one policy is enforced for everybody, whatever its mode there."""
    SHADOW = "shadow"
    """A budget of one policy only reports, for everybody, whatever its mode there."""
    LOGOUT = "logout"
    """A session of the console has ended, in every process."""
    LINK = "link"
    """The account is one of a group: `Override.budget` is the group."""
    UNLINK = "unlink"
    """The account is never linked, whatever it shares with others."""


SWITCHES = frozenset({Effect.ENFORCE, Effect.SHADOW})
"""Effects on a policy: `Override.account` is ``policy:`` and the policy's hash."""

LINKS = frozenset({Effect.LINK, Effect.UNLINK})
"""Effects that say with whom an account is judged. They change no limit."""

CHANGES = frozenset({Effect.LIMIT, Effect.ALLOW, Effect.BLOCK})
"""Effects on the limits of accounts."""


class Override(msgspec.Struct, frozen=True, gc=False):
    """One change by an operator.

    Attributes:
        id: Its unique name, by which it is removed.
        account: Part of an account's key: an identity's key, or a pool's such as ``org:3f2a…``.
        budget: Name of a budget, a unit, or `ANY_BUDGET`.
        effect: What it does.
        limit: The limit in its place, in µ-units; 0 for the budget's own.
        factor: The factor on the limit, in millionths.
        amount: µ-units added to the limit, after the factor.
        until: When it ends, µs since the epoch; 0 if it stays until it is removed.
        at: When it was made, µs since the epoch.
        by: Who made it; empty if nobody said.
        reason: Why; empty if nobody said.
    """

    id: str
    account: str
    budget: str = ANY_BUDGET
    effect: Effect = Effect.LIMIT
    limit: int = 0
    factor: Millionths = ORDINARY_PRICE
    amount: int = 0
    until: Micros = NO_TIME
    at: Micros = NO_TIME
    by: str = ""
    reason: str = ""

    def applies(self, budget: str, unit: Unit, now: int) -> bool:
        """Return True if it changes a budget of that name and unit at that moment."""
        if self.until and now >= self.until:
            return False
        return self.budget in {ANY_BUDGET, budget, unit.value}

    def changed(self, quota: Quota) -> Quota:
        """Return a quota with the limit that this makes of its own."""
        limit = self.limit or quota.limit
        if self.factor != MICRO:
            limit = limit * self.factor // MICRO
        return quota.scaled(max(0, limit + self.amount), of=quota.limit)


class Overrides(msgspec.Struct, frozen=True):
    """All overrides of a store.

    Attributes:
        version: Names this state of them; another state has another version.
        entries: The overrides, oldest first.
    """

    version: str = ""
    entries: tuple[Override, ...] = ()


class AuditEntry(msgspec.Struct, frozen=True, gc=False):
    """One thing that an operator did.

    Attributes:
        at: When, µs since the epoch.
        by: Who; empty if nobody said.
        action: What was done: ``grant``, ``override``, ``allow``, ``block``, ``remove``,
            ``pardon``, ``forget``, ``mode``, ``reload`` or ``logout``.
        account: To which account, or part of a key; empty for the policy.
        detail: The rest, for people.
    """

    at: Micros
    by: str
    action: str
    account: str
    detail: str = ""
