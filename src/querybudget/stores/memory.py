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
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cachetools import LRUCache

from querybudget import ledger
from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.policy.storage import SCHEMES
from querybudget.quota import Quota

__all__ = ["MemoryStore"]


class MemoryStore:
    """Accounts in memory.

    Args:
        clock: µs since the epoch.
        max_identities: Accounts kept, newcomers included.
    """

    suspends = False
    guarantees = SCHEMES["memory"]

    def __init__(self, clock: Callable[[], int], *, max_identities: int = 100_000) -> None:
        if max_identities < _LEAST:
            raise ValueError(f"max_identities must be at least {_LEAST}, found {max_identities}")
        self._clock = clock
        newcomers = max_identities // 10
        self._known = _Table(max_identities - newcomers)
        self._newcomers = _Table(newcomers)

    @property
    def evicted(self) -> int:
        """Known accounts thrown out because the table was full."""
        return self._known.evicted

    def __len__(self) -> int:
        return len(self._known) + len(self._newcomers)

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none."""
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
        if charge.watched:
            self._open(charge.watched, accounts, opened, now)
        decision = ledger.reserve(accounts, charge, now)
        if decision.reservation is not None:
            for partition in opened:
                self._newcomers[partition] = accounts[partition]
        return decision

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Replace what is held by what was used."""
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
        if reservation.watched:
            self._enter(reservation.watched, accounts, newcomers)
        settled = ledger.settle(accounts, reservation, amounts, self._clock())
        if newcomers and settled is not Settled.REPEATED:
            self._judge(newcomers, answered=any(amounts))
        return settled

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        """(remaining µ-units, µs to reset) of each quota."""
        return ledger.peek(self._find(partition) or Account(), quotas, self._clock())

    async def forget(self, partition: str) -> bool:
        """Drop a partition's account."""
        known = self._known.pop(partition, None) is not None
        return self._newcomers.pop(partition, None) is not None or known

    async def aclose(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._newcomers.clear()

    def _find(self, partition: str) -> Account | None:
        return self._known[partition] or self._newcomers[partition]

    def _open(
        self, watched: Sequence[str], accounts: dict[str, Account], opened: list[str], now: int
    ) -> None:
        """Add the accounts of those watched, new ones too."""
        for partition in watched:
            if partition not in accounts:
                account = self._find(partition)
                if account is None:
                    account = Account(now)
                    opened.append(partition)
                accounts[partition] = account

    def _enter(
        self, watched: Sequence[str], accounts: dict[str, Account], newcomers: list[str]
    ) -> None:
        """Add the accounts of those watched that there are, and note the newcomers among them."""
        for partition in watched:
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


class _Table(LRUCache[str, Account | None]):
    """A bounded table that counts whom it throws out, and finds None for whom it does not have."""

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self.evicted = 0

    def __missing__(self, key: str) -> None:
        return None

    def popitem(self) -> tuple[str, Account | None]:
        self.evicted += 1
        return super().popitem()


_LEAST = 10
