"""Accounts as operators list them."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from copy import deepcopy
from heapq import merge

import msgspec

from querybudget.ledger import Account

SEPARATOR = "|"
"""Between the parts of an account's key."""

RUN = 5_000
"""Keys that are sorted at a time."""

_AFTER = "after:"

_encoder = msgspec.msgpack.Encoder()


class AccountRecord(msgspec.Struct, frozen=True):
    """One account, as it is kept.

    Attributes:
        partition: Its key.
        account: A copy of it.
        known: Whether it is off probation, or needs none.
    """

    partition: str
    account: Account
    known: bool


class AccountPage(msgspec.Struct, frozen=True):
    """Some of the accounts.

    Attributes:
        records: The accounts.
        cursor: For the next page; empty if this is the last.
    """

    records: tuple[AccountRecord, ...]
    cursor: str


class KeyList:
    """Keys as they were at one moment, in order.

    They are sorted in runs, between which the event loop serves others. A page merges the runs as
    far as it reads.

    Args:
        keys: The keys, each once, in any order. The list is used up.
    """

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys
        self._runs: list[list[str]] = []

    async def sort(self) -> None:
        """Sort all of them. Nothing else may be called before this has returned."""
        while run := self._keys[-RUN:]:
            del self._keys[-RUN:]
            run.sort()
            self._runs.append(run)
            await asyncio.sleep(0)

    def after(self, key: str) -> Iterator[str]:
        """Return the keys after this one, in order."""
        return merge(
            *(map(run.__getitem__, range(bisect_right(run, key), len(run))) for run in self._runs)
        )

    def drop(self, key: str) -> None:
        """Remove a key."""
        for run in self._runs:
            place = bisect_left(run, key)
            if run[place : place + 1] == [key]:
                del run[place]


def copied(account: Account) -> Account:
    """Return a copy that shares nothing with an account."""
    try:
        return msgspec.msgpack.decode(_encoder.encode(account), type=Account)
    except OverflowError:  # a debt that is paid beyond the latest moment; copying so takes longer
        return deepcopy(account)


def has_part(partition: str, part: str, *, begins: bool = False) -> bool:
    """Return True if an account's key has this part, or one that begins so, if `begins`.

    Any key has an empty part.
    """
    if not part:
        return True
    if part not in partition:
        return False
    parts = partition.split(SEPARATOR)
    return part in parts or (begins and any(each.startswith(part) for each in parts))


def cursor_after(partition: str) -> str:
    """Return the cursor of a page that begins after this key, for stores that list by key."""
    return f"{_AFTER}{partition}"


def key_before(cursor: str) -> str | None:
    """Return the key that a page begins after; None for the first page.

    Raises:
        ValueError: The cursor is none of `cursor_after`.
    """
    if not cursor:
        return None
    if not cursor.startswith(_AFTER):
        raise ValueError(f"expected a cursor of this store, found {cursor[:40]!r}")
    return cursor.removeprefix(_AFTER)
