"""A bounded table of accounts in the memory of one process.

Nothing is awaited between reading an account and changing it, so every method is atomic among the
tasks of one event loop. Use a store from one event loop at a time. Other processes have tables of
their own, and a restart forgets every account.

**A flood of made-up keys.** A new account is on *probation* until a call of it is settled with
something used. Accounts on probation have a table of their own, a tenth of the whole, which evicts
the least recently used. A refused call opens no account, and an account whose calls were all given
back (as after a 401) is dropped at once. So keys that the application does not accept cost bounded
memory and never evict a caller that was once answered. When the table of *known* accounts is full,
the least recently used is evicted, its usage is forgotten, and `evicted` counts it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from querybudget import ledger
from querybudget.backends import SCHEMES
from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.stores.clock import Clock
from querybudget.units import Quota

MIN_IDENTITIES = 10
"""The smallest table, of which probation gets one account."""


class MemoryStore:
    """Accounts in memory.

    Args:
        clock: µs since the epoch.
        max_identities: Accounts kept, those on probation included.
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
        self._newcomers = _Table(newcomers)

    @property
    def evicted(self) -> int:
        """Known accounts evicted because the table was full."""
        return self._known.evicted

    def __len__(self) -> int:
        return len(self._known) + len(self._newcomers)

    async def reserve(self, charge: Charge) -> Decision:
        now = self._clock()
        accounts: dict[str, Account] = {}
        for line in charge.lines:
            if line.partition not in accounts:
                accounts[line.partition] = self._find(line.partition) or Account(now)
        for partition in charge.profiled:
            if partition not in accounts:
                accounts[partition] = self._find(partition) or Account(now)
        decision = ledger.reserve(accounts, charge, now)
        if decision.reservation is not None:
            for partition, account in accounts.items():
                if partition not in self._known and partition not in self._newcomers:
                    self._newcomers.add(partition, account)
        return decision

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        accounts: dict[str, Account] = {}
        newcomers: list[str] = []
        for line in reservation.lines:
            if line.partition not in accounts:
                self._collect(line.partition, accounts, newcomers)
        for partition in reservation.profiled:
            if partition not in accounts:
                self._collect(partition, accounts, newcomers)
        settled = ledger.settle(accounts, reservation, amounts, self._clock())
        if newcomers and settled is not Settled.REPEATED:
            self._end_probation(newcomers, answered=any(amounts))
        return settled

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        return ledger.peek(self._find(partition) or Account(), quotas, self._clock())

    async def forget(self, partition: str) -> bool:
        known = self._known.pop(partition, None) is not None
        return self._newcomers.pop(partition, None) is not None or known

    async def aclose(self) -> None:
        self._known.clear()
        self._newcomers.clear()

    def _find(self, partition: str) -> Account | None:
        return self._known.find(partition) or self._newcomers.find(partition)

    def _collect(self, partition: str, accounts: dict[str, Account], newcomers: list[str]) -> None:
        """Add a partition's account, if there is one, and note whether it is on probation."""
        account = self._known.find(partition)
        if account is None:
            account = self._newcomers.find(partition)
            if account is None:
                return
            newcomers.append(partition)
        accounts[partition] = account

    def _end_probation(self, newcomers: Sequence[str], *, answered: bool) -> None:
        """Make answered newcomers known; drop those whose account holds nothing."""
        for partition in newcomers:
            if answered:
                self._known.add(partition, self._newcomers.pop(partition))
            elif self._newcomers[partition].blank:
                del self._newcomers[partition]


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
