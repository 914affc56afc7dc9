"""A custom store: accounts in a file, so that they survive a restart.

The ledger does the arithmetic. A store keeps the accounts and makes each step atomic. This one
writes the whole file, which is fast enough for one process and a few hundred callers. See `main`
for how it is used: python examples/custom_store.py
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from querybudget import QueryBudgetMiddleware, StoreError, ledger
from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.stores import Clock, system_clock
from querybudget.testing import FakeModel, drive, http_scope, request
from querybudget.units import Quota

ASK = request({"model": "m", "messages": []})
ACCOUNTS = msgspec.msgpack.Decoder(dict[str, Account])


class FileStore:
    """Accounts in one file."""

    # Nothing is awaited between reading an account and writing it, so no other task runs meanwhile.
    suspends = False

    def __init__(self, path: str | os.PathLike[str], clock: Clock | None = None) -> None:
        self._path = Path(path)
        self._clock = clock or system_clock()

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none."""
        everyone = self._read()
        accounts = {name: Account() for name in charge.partitions}
        accounts |= {name: everyone[name] for name in accounts.keys() & everyone.keys()}
        decision = ledger.reserve(accounts, charge, self._clock())
        if decision.admitted:
            self._write({**everyone, **accounts})
        return decision

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Replace what is held by what was used."""
        everyone = self._read()
        accounts = {n: everyone[n] for n in reservation.partitions if n in everyone}
        settled = ledger.settle(accounts, reservation, amounts, self._clock())
        self._write({name: kept for name, kept in everyone.items() if not kept.blank})
        return settled

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        """Return what is left of each quota, and the time until nothing of it is used."""
        return ledger.peek(self._read().get(partition) or Account(), quotas, self._clock())

    async def forget(self, partition: str) -> bool:
        """Delete an account; return True if there was one."""
        everyone = self._read()
        self._write({name: kept for name, kept in everyone.items() if name != partition})
        return partition in everyone

    async def aclose(self) -> None:
        """Do nothing: no file is open between two steps."""

    def _read(self) -> dict[str, Account]:
        try:
            return ACCOUNTS.decode(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise StoreError(f"cannot read {self._path}: {error}") from error

    def _write(self, accounts: Mapping[str, Account]) -> None:
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.msgpack.encode(accounts))
            new.replace(self._path)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error}") from error


async def main() -> None:
    """Ask a fake model twice, restart, and ask twice again: the limit is three."""
    policy = {"secret": "0" * 16, "budgets": [{"name": "calls", "limit": "3 requests/hour"}]}
    with TemporaryDirectory() as folder:
        for _ in range(2):
            store = FileStore(f"{folder}/accounts")
            app = QueryBudgetMiddleware(FakeModel(), policy=policy, store=store)
            print([(await drive(app, http_scope(), ASK)).status for _ in range(2)])


if __name__ == "__main__":
    asyncio.run(main())
