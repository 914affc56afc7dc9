"""A bounded table of accounts in the memory of one process.

Nothing is awaited between reading an account and changing it, so every method is atomic among the
tasks of one event loop. Use a store from one event loop at a time. Other processes have tables of
their own, and a restart forgets every account.

**A flood of made-up keys.** A new account is on *probation* until a call of a verified caller is
settled on it with something used. Accounts on probation have a table of their own, a tenth of the
whole, which evicts the least recently used: those with open calls last, so that a flood cannot lose
a charge that is under way. A refused call opens no account, and an account whose calls were all
given back (as after a 401) is dropped at once, unless it has a profile, which observed them. So
keys that the application does not accept cost bounded memory and never evict a known account. When
the table of *known* accounts is full, the least recently used is evicted, its usage is forgotten,
and `evicted` counts it.

Accounts of what calls say (`Standing.INVENTED`), such as system prompts, have a third table, beside
the whole and a tenth of it, and so have groups that no line charges. The policy's own accounts
(`Standing.FIXED`) are known from their first use, and the group that calibrates is one of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter

from querybudget import ledger
from querybudget.backends import SCHEMES
from querybudget.ledger import Account, Charge, Decision, Reservation, Settled, Standing
from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.stores.accounts import (
    AccountPage,
    AccountRecord,
    KeyList,
    copied,
    cursor_after,
    has_part,
    key_before,
)
from querybudget.stores.clock import Clock
from querybudget.stores.operators import Changes
from querybudget.units import Micros, Quota

MIN_IDENTITIES = 10
"""The smallest table, of which probation gets one account."""

LOOKED_AT = 5_000
"""Keys that are looked at for one page of accounts, at most."""

# Looking up an enum's member costs as much as finding an account does.
_INVENTED, _FIXED = Standing.INVENTED, Standing.FIXED
_REPEATED = Settled.REPEATED
_PARTITION = attrgetter("partition")


class MemoryStore:
    """Accounts in memory.

    Args:
        clock: µs since the epoch.
        max_identities: Accounts of callers kept, those on probation included.
    """

    suspends = False
    guarantees = SCHEMES["memory"]

    def __init__(self, clock: Clock, *, max_identities: int = 100_000) -> None:
        if max_identities < MIN_IDENTITIES:
            raise ValueError(
                f"max_identities must be at least {MIN_IDENTITIES}, found {max_identities}"
            )
        self._clock = clock
        newcomers = max_identities // 10
        self._known = _Table(max_identities - newcomers)
        self._newcomers = _Newcomers(newcomers)
        self._invented = _Table(newcomers)
        self._changes = Changes()
        self._listing: KeyList | None = None
        """The keys in order, as they were at the last first page of a list."""
        self._forgotten = 0

    @property
    def evicted(self) -> int:
        """Known accounts evicted because the table was full."""
        return self._known.evicted

    def __len__(self) -> int:
        return len(self._known) + len(self._newcomers) + len(self._invented)

    async def reserve(self, charge: Charge) -> Decision:
        now = self._clock()
        partitions = chain(map(_PARTITION, charge.lines), charge.profiled)
        accounts, strangers = self._collect(partitions, now)
        decision = ledger.reserve(accounts, charge, now)
        if strangers and decision.reservation is not None:
            self._keep(strangers, accounts, charge)
        return decision

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        accounts, strangers = self._collect(map(_PARTITION, reservation.lines))
        settled = ledger.settle(accounts, reservation, amounts, self._clock())
        if strangers and settled is not _REPEATED:
            self._end_probation(strangers, accounts, reservation, amounts)
        return settled

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        found = {partition: self._find(partition) for partition in reservation.partitions}
        accounts = {name: account for name, account in found.items() if account is not None}
        return ledger.renew(accounts, reservation, ttl, self._clock())

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        return ledger.peek(self._find(partition) or Account(), quotas, self._clock())

    async def forget(self, partition: str) -> bool:
        self._forgotten += 1
        if self._listing is not None:
            self._listing.drop(partition)
        known = self._known.pop(partition, None) is not None
        invented = self._invented.pop(partition, None) is not None
        return self._newcomers.remove(partition) is not None or known or invented

    async def accounts(
        self, cursor: str = "", limit: int = 100, part: str = "", *, begins: bool = False
    ) -> AccountPage:
        after, records, last, looked_at = key_before(cursor), list[AccountRecord](), "", 0
        listing = self._listing
        if after is None or listing is None:
            listing = await self._listed()
        for key in listing.after(after or ""):
            if len(records) >= max(1, limit) or looked_at == LOOKED_AT:
                return AccountPage(tuple(records), cursor_after(last))
            last, looked_at = key, looked_at + 1
            record = self._record(key) if has_part(key, part, begins=begins) else None
            if record is not None:
                records.append(record)
        self._listing = None
        return AccountPage(tuple(records), "")

    async def _listed(self) -> KeyList:
        """Return all keys in order, and keep them for the next page."""
        forgotten, keys = self._forgotten, list[str]()
        for table in (self._known, self._newcomers, self._invented):
            # Without an ordered table's links between keys, which take ten times as long.
            keys += dict[str, Account].keys(table)
        listing = KeyList(keys)
        await listing.sort()
        self._listing = listing if forgotten == self._forgotten else None
        return listing

    async def account(self, partition: str) -> AccountRecord | None:
        return self._record(partition)

    async def pardon(self, partition: str) -> bool:
        account, _ = self._look(partition)
        return account is not None and account.profile is not None and account.profile.pardon()

    async def overrides(self, version: str = "") -> Overrides | None:
        return self._changes.overrides(version, self._clock())

    async def override(self, entry: Override, audit: AuditEntry | None) -> None:
        self._changes.override(entry, audit, self._clock())

    async def remove_override(self, name: str, audit: AuditEntry | None) -> bool:
        return self._changes.remove(name, audit)

    async def note(self, audit: AuditEntry) -> None:
        self._changes.note(audit)

    async def audit(self, limit: int = 100) -> tuple[AuditEntry, ...]:
        return self._changes.audit(limit)

    async def aclose(self) -> None:
        self._known.clear()
        self._newcomers.clear()
        self._invented.clear()
        self._changes, self._listing = Changes(), None

    def _look(self, partition: str) -> tuple[Account | None, bool]:
        """Return an account, which is not a use of it, and whether it is off probation."""
        account = self._known.get(partition) or self._invented.get(partition)
        return account or self._newcomers.get(partition), account is not None

    def _record(self, partition: str) -> AccountRecord | None:
        account, known = self._look(partition)
        return None if account is None else AccountRecord(partition, copied(account), known)

    def _find(self, partition: str) -> Account | None:
        found, _ = self._collect((partition,))
        return found.get(partition)

    def _collect(
        self, partitions: Iterable[str], now: int | None = None
    ) -> tuple[dict[str, Account], list[str]]:
        """Return the accounts of partitions, and the keys of those that are not known ones.

        One that there is not is new, as of `now`; without `now`, it is left out. Each that there is
        becomes the most recently used of its table.
        """
        known = self._known
        accounts: dict[str, Account] = {}
        strangers: list[str] = []
        for partition in partitions:
            if partition in accounts:
                continue
            account = known.get(partition)
            if account is not None:
                known.move_to_end(partition)
            else:
                newcomers = self._newcomers
                account = newcomers.get(partition)
                if account is not None:
                    newcomers.move_to_end(partition)
                else:
                    account = self._invented.find(partition)
                    if account is None:
                        if now is None:
                            continue
                        account = Account(now)
                strangers.append(partition)
            accounts[partition] = account
        return accounts, strangers

    def _keep(
        self, strangers: Sequence[str], accounts: Mapping[str, Account], charge: Charge
    ) -> None:
        """Keep the accounts of an admitted call that are not known ones."""
        newcomers = self._newcomers
        for partition in strangers:
            account = accounts[partition]
            if partition in newcomers and account.open:
                newcomers.idle.pop(partition, None)
            elif not account.blank and partition not in self._invented:
                standing = charge.standing(partition)
                if standing is _INVENTED:
                    self._invented.add(partition, account)
                elif standing is _FIXED and not account.open:  # no settlement will make it known
                    self._known.add(partition, account)
                else:
                    newcomers.note(partition, account)
                    if standing is _FIXED:
                        newcomers.fixed.add(partition)

    def _end_probation(
        self,
        strangers: Sequence[str],
        accounts: Mapping[str, Account],
        reservation: Reservation,
        amounts: Sequence[int],
    ) -> None:
        """Make newcomers known who are verified now; drop accounts that hold nothing."""
        newcomers = self._newcomers
        for partition in strangers:
            account = accounts[partition]
            if partition not in newcomers:
                if account.blank:
                    del self._invented[partition]
            elif (reservation.verified or partition in newcomers.fixed) and any(amounts):
                newcomers.remove(partition)
                self._known.add(partition, account)
            elif not account.open:
                if account.blank:
                    newcomers.remove(partition)
                else:
                    newcomers.idle[partition] = None


class _Table(OrderedDict[str, Account]):
    """A bounded table that evicts the least recently used account, and counts evictions."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.evicted = 0

    def find(self, partition: str) -> Account | None:
        """Return an account, which makes it the most recently used, or None."""
        account = self.get(partition)
        if account is not None:
            self.move_to_end(partition)
        return account

    def add(self, partition: str, account: Account) -> None:
        """Add an account as the most recently used."""
        if len(self) >= self.size:
            self.popitem(last=False)
            self.evicted += 1
        self[partition] = account


class _Newcomers(_Table):
    """Accounts on probation, of which those with open calls are evicted last.

    Attributes:
        idle: Those without open calls, the least recently used first.
        fixed: Those that the policy makes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.idle = OrderedDict[str, None]()
        self.fixed = set[str]()

    def note(self, partition: str, account: Account) -> None:
        """Keep an account as the most recently used, with or without open calls."""
        if partition not in self and len(self) >= self.size:
            self.remove(next(iter(self.idle or self)))
        self[partition] = account
        self.move_to_end(partition)
        self.idle.pop(partition, None)
        if not account.open:
            self.idle[partition] = None

    def remove(self, partition: str) -> Account | None:
        """Remove an account, and return it if it was there."""
        self.idle.pop(partition, None)
        self.fixed.discard(partition)
        return self.pop(partition, None)

    def clear(self) -> None:
        super().clear()
        self.idle.clear()
        self.fixed.clear()
