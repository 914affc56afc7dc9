"""Erasing a caller, step by step. A step that was done is done, and the next attempt goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator

from querybudget.resilience.administering import Administering
from querybudget.stores import AccountRecord
from querybudget.stores.accounts import SEPARATOR

PAGE = 500
"""Accounts read at a time where all are read."""


class Erasure:
    """Erases all accounts and all overrides of a caller.

    Args:
        store: Where they are.
        part: The part of their keys.

    Attributes:
        accounts: Accounts erased so far.
        overrides: Overrides removed so far.
    """

    def __init__(self, store: Administering, part: str) -> None:
        self._store, self._part = store, part
        self.accounts = self.overrides = 0

    async def run(self) -> None:
        """Erase them.

        Raises:
            StoreError: The store failed. What was erased before stays erased.
        """
        async for record in every(self._store, self._part):
            self.accounts += await self._store.forget(record.partition)
        known = await self._store.overrides()
        for entry in known.entries if known is not None else ():
            if self._part in {entry.account, *entry.account.split(SEPARATOR)}:
                self.overrides += await self._store.remove_override(entry.id, None)

    def __str__(self) -> str:
        counts = [_counted(self.accounts, "account")]
        if self.overrides:
            counts.append(_counted(self.overrides, "override"))
        return " and ".join(counts)


async def every(
    store: Administering, part: str = "", *, begins: bool = False
) -> AsyncIterator[AccountRecord]:
    """Return all accounts whose key has a part, or one that begins so; some may come twice.

    Raises:
        StoreError: The store failed.
    """
    cursor = ""
    while True:
        page = await store.accounts(cursor, PAGE, part, begins=begins)
        for record in page.records:
            yield record
        cursor = page.cursor
        if not cursor:
            return


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
