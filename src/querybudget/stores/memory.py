"""The store of one process: a bounded table of accounts, and no lock.

Nothing is awaited between reading an account and changing it, so every verb is atomic among the
tasks of one event loop. Use it from one loop at a time; other workers have tables of their own.

**A flood of made-up keys.** Accounts are in two tables. A newcomer is on *probation* until one of
its calls has been settled with something used; the table of newcomers is a tenth of the whole, and
throws out who was seen least recently. A refused call opens no account, and one whose calls were
all given back (a 401 gives all back) is dropped at once. So keys that an application does not
accept cost bounded memory and never push out a caller who was ever answered. Among those *known*,
the least recently seen goes when the table is full: what it had used is forgotten, and `evicted`
counts it.

**Restarts.** With a `snapshot` accounts are saved to a file, from time to time and when the store
is closed, and a store begins from what was saved (`querybudget.stores.snapshot`). A process that is
killed loses what changed since.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cachetools import Cache

from querybudget import ledger
from querybudget.backends import SCHEMES
from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.stores.snapshot import Row, Saver
from querybudget.units import SECOND, Quota

__all__ = ["MemoryStore"]


class MemoryStore:
    """Accounts in memory.

    Args:
        clock: µs since the epoch.
        max_identities: Accounts kept, newcomers included.
        snapshot: File to begin from and to save to; empty for none.
        snapshot_every: µs from a change to the snapshot that holds it.
    """

    suspends = False
    guarantees = SCHEMES["memory"]

    def __init__(
        self,
        clock: Callable[[], int],
        *,
        max_identities: int = 100_000,
        snapshot: str = "",
        snapshot_every: int = 60 * SECOND,
    ) -> None:
        if max_identities < _LEAST:
            raise ValueError(f"max_identities must be at least {_LEAST}, found {max_identities}")
        self._clock = clock
        newcomers = max_identities // 10
        self._known = _Table(max_identities - newcomers)
        self._newcomers = _Table(newcomers)
        self._heeded = bool(snapshot)
        self._saver: Saver | None = None
        if snapshot:
            tables = _Tables(self._known, self._newcomers)
            self._saver = Saver(tables, Path(snapshot), snapshot_every, clock, heed=self._heed)

    @property
    def evicted(self) -> int:
        """Known accounts thrown out because the table was full."""
        return self._known.evicted

    def __len__(self) -> int:
        return len(self._known) + len(self._newcomers)

    async def start(self) -> None:
        """Begin from the snapshot, if there is one.

        Raises:
            SetupError: Another process has it, or it cannot be read or written.
        """
        if self._saver is not None:
            await self._saver.start()

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none."""
        if self._heeded:
            self._tell()
        now = self._clock()
        accounts: dict[str, Account] = {}
        opened: list[str] = []
        for line in charge.lines:
            partition = line.partition
            if partition not in accounts:
                account = self._find(partition)
                if account is None:
                    account = Account(now)
                    opened.append(partition)
                accounts[partition] = account
        if charge.profiled:
            self._open(charge.profiled, accounts, opened, now)
        decision = ledger.reserve(accounts, charge, now)
        if decision.reservation is not None:
            for partition in opened:
                self._newcomers[partition] = accounts[partition]
        return decision

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Replace what is held by what was used."""
        if self._heeded:
            self._tell()
        accounts: dict[str, Account] = {}
        newcomers: list[str] = []
        for line in reservation.lines:
            partition = line.partition
            if partition not in accounts:
                account = self._known[partition]
                if account is None:
                    account = self._newcomers[partition]
                    if account is None:
                        continue
                    newcomers.append(partition)
                accounts[partition] = account
        if reservation.profiled:
            self._enter(reservation.profiled, accounts, newcomers)
        settled = ledger.settle(accounts, reservation, amounts, self._clock())
        if newcomers and settled is not Settled.REPEATED:
            self._judge(newcomers, answered=any(amounts))
        return settled

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        """(remaining µ-units, µs to reset) of each quota."""
        if self._heeded:
            self._tell(changes=False)
        return ledger.peek(self._find(partition) or Account(), quotas, self._clock())

    async def forget(self, partition: str) -> bool:
        """Drop a partition's account."""
        if self._heeded:
            self._tell()
        known = self._known.pop(partition, None) is not None
        return self._newcomers.pop(partition, None) is not None or known

    async def aclose(self) -> None:
        """Save what is to be saved, and forget everything."""
        if self._saver is not None:
            await self._saver.close()
        self._known.clear()
        self._newcomers.clear()

    def _heed(self, changes: bool) -> None:  # noqa: FBT001 - its only argument
        self._heeded = changes

    def _tell(self, *, changes: bool = True) -> None:
        """Let the saver know of a call, before it is done: the first begins from the snapshot."""
        if self._saver is not None:
            self._saver.begin()
            if changes:
                self._saver.changed()

    def _find(self, partition: str) -> Account | None:
        return self._known[partition] or self._newcomers[partition]

    def _open(
        self, profiled: Sequence[str], accounts: dict[str, Account], opened: list[str], now: int
    ) -> None:
        """Add the accounts of those watched, new ones too."""
        for partition in profiled:
            if partition not in accounts:
                account = self._find(partition)
                if account is None:
                    account = Account(now)
                    opened.append(partition)
                accounts[partition] = account

    def _enter(
        self, profiled: Sequence[str], accounts: dict[str, Account], newcomers: list[str]
    ) -> None:
        """Add the accounts of those watched that there are, and note the newcomers among them."""
        for partition in profiled:
            account = self._find(partition)
            if account is not None and partition not in accounts:
                accounts[partition] = account
                if self._known[partition] is None:
                    newcomers.append(partition)

    def _judge(self, newcomers: Sequence[str], *, answered: bool) -> None:
        """Make newcomers known who were answered; drop those with nothing in their books."""
        for partition in newcomers:
            account = self._newcomers[partition]
            if answered:
                self._known[partition] = self._newcomers.pop(partition)
            elif account is not None and account.blank:
                del self._newcomers[partition]


_account = Cache[str, Account | None].__getitem__
"""Found sooner by this name than by way of `super`."""


class _Table(Cache[str, Account | None]):
    """A bounded table, least recently seen first out.

    It counts whom it throws out, finds None for whom it does not have, and can be looked through in
    its order, which `cachetools.LRUCache` keeps to itself.
    """

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self.evicted = 0
        self.order = OrderedDict[str, None]()

    def __getitem__(self, key: str) -> Account | None:
        order = self.order
        if key in order:
            order.move_to_end(key)
            return _account(self, key)
        return None

    def __setitem__(self, key: str, value: Account | None) -> None:
        super().__setitem__(key, value)
        self.order[key] = None
        self.order.move_to_end(key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        del self.order[key]

    def look(self, key: str) -> Account | None:
        """The account, which is not seen by it."""
        return _account(self, key) if key in self.order else None

    def popitem(self) -> tuple[str, Account | None]:
        """Throw out the least recently seen."""
        key = next(iter(self.order), None)
        if key is None:
            raise KeyError("nobody is there")
        self.evicted += 1
        return key, self.pop(key)

    def clear(self) -> None:
        """Forget everybody, which is not throwing them out."""
        for key in list(self.order):
            del self[key]


class _Tables:
    """Both tables, as what is saved."""

    def __init__(self, known: _Table, newcomers: _Table) -> None:
        self._known = known
        self._newcomers = newcomers

    def names(self) -> list[str]:
        """All partitions, the least recently seen of each table first."""
        return [*self._known.order, *self._newcomers.order]

    def rows(self, names: Sequence[str]) -> list[Row]:
        """What there is of these now, in the table they are in now."""
        rows: list[Row] = []
        for name in names:
            known = self._known.look(name)
            account = known or self._newcomers.look(name)
            if account is not None:
                rows.append((name, known is not None, account))
        return rows

    def fill(self, rows: Iterable[Row]) -> None:
        """Begin with these."""
        for name, known, account in rows:
            table = self._known if known else self._newcomers
            table[name] = account


_LEAST = 10
