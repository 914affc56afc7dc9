"""What can be looked at and changed, whether in this process or through a server's console."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from querybudget.coverage import Reason, Touched
from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO

Report = Callable[[int], None]
"""Takes how many accounts were read."""


class BudgetUse(msgspec.Struct, frozen=True):
    """What an account has used of one budget.

    Attributes:
        budget: Its name.
        unit: What it counts.
        limit: µ-units, scaled for the account's tier and overrides.
        used: µ-units used and held, in this window.
        remaining: µ-units left; negative in debt.
        reset: µs until nothing is used.
        shadow: Whether it only reports.
        overridden: Whether an override changes it.
        allowed: Whether an override lets everything through.
        apart: The part of `used` that was used while an override allowed everything. It takes
            nothing from what is left.
    """

    budget: str
    unit: str
    limit: int
    used: int
    remaining: int
    reset: int
    shadow: bool
    overridden: bool = False
    allowed: bool = False
    apart: int = 0

    @property
    def share(self) -> int:
        """The share of the budget that is used, in millionths; above `MICRO` in debt."""
        own = self.used - self.apart
        whole = own + self.remaining
        return max(0, own * MICRO // whole) if whole > 0 else MICRO


class PoolUse(msgspec.Struct, frozen=True):
    """A pool that a caller spends with others, as it is now.

    Attributes:
        account: Key of its account.
        budgets: What all its callers together have used.
        score: Its sweep score in millionths.
        stage: The most severe stage of its last calls.
    """

    account: str
    budgets: tuple[BudgetUse, ...]
    score: int
    stage: str


class AccountView(msgspec.Struct, frozen=True):
    """One account as an operator sees it.

    Attributes:
        account: Its key.
        kind: ``caller``, or the word of `Budget.per` of what shares it: ``org``, ``everyone``.
        tier: Tier of its last call.
        since: When it was opened, µs since the epoch.
        seen: When its last call was admitted, µs since the epoch.
        known: Whether it is off probation.
        open: Calls that are open.
        calls: Calls that its profile has observed.
        budgets: What it has used of each budget that has an account there.
        score: Sweep score in millionths; 700,000 is as suspect as 70 % of a bucket budget spent.
        shift: Millionths by which scores are moved by calibration.
        stage: The most severe stage in which budgets that are enforced put its last calls; without
            one, those in shadow.
        reasons: What its score consists of, strongest first.
        covered: Share of the codebook's cells that it has entered, in millionths.
        overrides: The overrides that apply to it now.
        touched: Budgets whose population test touches it, or members of it, to what it says.
        pools: The pools that it is known to be in, of its group, its tier and its last calls. Only
            where one account is asked for.
        group: Key of the group that it is linked into; empty for none.
        unlinked: Whether it is never linked, because an operator says so. Only where one account is
            asked for.
        stage_in_shadow: Whether `stage` is of budgets in shadow alone, so nothing is done to calls.
        cells: `CallerProfile.cells`: a bitmap of the pairs of fine cells that it has entered. Only
            where one account is asked for; empty in lists, and without a profile.
    """

    account: str
    kind: str
    tier: str
    since: int
    seen: int
    known: bool
    open: int
    calls: int
    budgets: tuple[BudgetUse, ...]
    score: int
    shift: int
    stage: str
    reasons: tuple[Reason, ...]
    covered: int
    overrides: tuple[Override, ...]
    group: str = ""
    cells: bytes = b""
    touched: Mapping[str, Touched] = {}
    pools: tuple[PoolUse, ...] = ()
    unlinked: bool = False
    stage_in_shadow: bool = False


class AccountList(msgspec.Struct, frozen=True):
    """Some accounts, and the cursor of the next page; empty if this is the last."""

    accounts: tuple[AccountView, ...]
    cursor: str


class AccountNameError(LookupError):
    """No account, or more than one, has a key that begins as given.

    Attributes:
        several: Whether it is more than one.
    """

    def __init__(self, words: str, *, several: bool = False) -> None:
        self.several = several
        super().__init__(words)


class LinkedAccount(msgspec.Struct, frozen=True):
    """One account of a linked group.

    Attributes:
        account: Key of its identity.
        at: When the link was found, or found again; µs since the epoch.
        until: When it ends unless its evidence is found again, µs since the epoch.
        reasons: Kinds of evidence to nats: `querybudget.linking.kinds.Kind`.
    """

    account: str
    at: int
    until: int
    reasons: Mapping[str, float]


class LinkedGroup(msgspec.Struct, frozen=True):
    """Accounts that are linked: budgets `per: group` count them as one caller.

    Attributes:
        group: Key of its account.
        size: Number of accounts.
        since: When the oldest of its links was found, or found again; µs since the epoch.
        until: When the last of them ends, µs since the epoch.
        kinds: Kinds of evidence to the number of accounts that it links.
        accounts: Its accounts; empty in lists.
    """

    group: str
    size: int
    since: int
    until: int
    kinds: Mapping[str, int]
    accounts: tuple[LinkedAccount, ...] = ()


class Admin(Protocol):
    """What operators do. `LocalAdmin` does it in this process, `RemoteAdmin` through a console.

    Accounts are named by their key or by its beginning, at least 8 characters of it, as logs show
    them. Every change takes who makes it and why, and is noted in the audit log.

    Each method raises `StoreError` if the store does not answer, and `SetupError` if it cannot do
    what is asked; `AccountNameError` if no account, or more than one, has a key that begins as
    given.
    """

    async def accounts(
        self, cursor: str = "", limit: int = 100, *, internal: bool = False
    ) -> AccountList:
        """Return some accounts: those that nobody's calls use only if asked for."""
        ...

    async def account(self, key: str) -> AccountView:
        """Return one account."""
        ...

    async def top(
        self, by: str = "score", limit: int = 10, *, report: Report | None = None
    ) -> Sequence[AccountView]:
        """Return the first accounts by ``score``, ``spent``, ``calls``, ``seen`` or a budget.

        A budget's name sorts by the share of it that is used. All accounts are read, which takes
        about 60 µs of processor time for each: `report` is told how many, now and then. A console
        tells nothing until it has read them.
        """
        ...

    async def change(self, entry: Override, action: str) -> Override:
        """Add an override: ``grant``, ``override``, ``allow`` or ``block``.

        Returns:
            It, with its account's full key, an id and the time.
        """
        ...

    async def remove(self, name: str, by: str = "", reason: str = "") -> bool:
        """Remove an override by its id; return whether there was one."""
        ...

    async def pardon(self, key: str, by: str = "", reason: str = "") -> bool:
        """Take back what an account is suspected of; return whether there was anything."""
        ...

    async def forget(self, key: str, by: str = "", reason: str = "") -> int:
        """Erase a caller: all its accounts, its overrides and its part in groups.

        Returns:
            The number of accounts erased.
        """
        ...

    async def overrides(self) -> Overrides:
        """Return all overrides."""
        ...

    async def groups(self) -> Sequence[LinkedGroup]:
        """Return the linked groups, the largest first, without their accounts."""
        ...

    async def group(self, name: str) -> LinkedGroup:
        """Return one linked group, by its key or a beginning of it, ``group:`` left out or not."""
        ...

    async def unlink(self, name: str, by: str = "", reason: str = "") -> int:
        """Take an account, or all accounts of a group, out of groups, and never link them again.

        Returns:
            The number of accounts.
        """
        ...

    async def relink(self, name: str, by: str = "", reason: str = "") -> int:
        """Take `unlink` back: links that have not ended count again, and others may be found.

        Returns:
            The number of accounts. Of a group: of those whose link to it has not ended.
        """
        ...

    async def audit(self, limit: int = 100) -> Sequence[AuditEntry]:
        """Return what operators did, newest first."""
        ...

    async def find(self, request_id: str) -> TrafficRecord | None:
        """Return a recent call by the id that its caller was told; None if it is not remembered."""
        ...

    async def recent(self, limit: int = 100, account: str = "") -> Sequence[TrafficRecord]:
        """Return the last calls, newest first; of one account if it is named."""
        ...
