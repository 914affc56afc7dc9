"""Accounts by pages: the keys of a server, or of each master of a cluster, without blocking it.

`SCAN` returns a key at least once if it exists from the beginning to the end, and some keys twice.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from querybudget.errors import StoreError
from querybudget.ledger import Account
from querybudget.stores.accounts import AccountPage, AccountRecord, has_part
from querybudget.stores.redis import codec
from querybudget.stores.redis.single_server import SingleServerOps

SCANS = 20
"""Steps through the keys for one page, at most."""

FILTERED = 500
"""Keys that one step looks at if only some accounts are wanted."""

FEWEST = 10
"""Keys that one step looks at, at least."""

_CURSOR = re.compile(r"scan:(\d+)@(.*)")
_SPECIAL = re.compile(r"([\\*?\[\]^-])")

logger = logging.getLogger("querybudget")


class Listing:
    """Lists the accounts of a store."""

    def __init__(self, single: SingleServerOps) -> None:
        self._single = single

    async def page(
        self, cursor: str, limit: int, part: str, *, begins: bool = False
    ) -> AccountPage:
        """As `Administers.accounts`.

        Raises:
            StoreError: The server does not answer, or the cluster has other masters than when the
                list was begun.
            ValueError: The cursor is none of this store's.
        """
        nodes = await self._single.connection.masters()
        place, node = _read(cursor) or (0, nodes[0])
        if node not in nodes:
            raise StoreError(
                "the cluster's masters have changed since the list was begun: begin it again"
            )
        pattern = self._single.key(_SPECIAL.sub(r"\\\1", part))
        before, _, after = pattern.partition(b"{")
        pattern = before + b"{*" + (after[:-1] + b"*" if part else b"") + b"}"
        count = FILTERED if part else max(FEWEST, limit)
        records: list[AccountRecord] = []
        for _ in range(SCANS):
            place, keys = await self._single.connection.scan(node, place, pattern, count)
            records += await self._records(
                (key, partition)
                for key, partition in ((key, self._single.partition(key)) for key in keys)
                if has_part(partition, part, begins=begins)
            )
            if not place:
                following = nodes[nodes.index(node) + 1 :]
                if not following:
                    return AccountPage(tuple(records), "")
                node = following[0]
            if len(records) >= limit:
                break
        return AccountPage(tuple(records), f"scan:{place}@{node}")

    async def _records(self, keys: Iterable[tuple[bytes, str]]) -> list[AccountRecord]:
        """Return the accounts of some keys, which are given with what they stand for."""
        wanted = [*keys]
        found = await self._single.connection.values([key for key, _ in wanted])
        return [
            _record(partition, packed)
            for (_, partition), packed in zip(wanted, found, strict=True)
            if packed
        ]


def _record(partition: str, packed: bytes) -> AccountRecord:
    try:
        return codec.record_of(partition, packed)
    except StoreError as error:
        logger.warning("the account of %r is listed as empty: %s", partition, error)
        return AccountRecord(partition, Account(), known=True)


def _read(cursor: str) -> tuple[int, str] | None:
    if not cursor:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise ValueError(f"expected a cursor of this store, found {cursor[:40]!r}")
    return int(match[1]), match[2]
