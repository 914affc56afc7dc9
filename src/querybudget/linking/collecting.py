"""All accounts of a store as linking sees them, read page by page in bounded memory."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Collection

from querybudget.coverage.trace import MINUTE
from querybudget.linking.candidates import Candidate, candidate_of
from querybudget.policy.linking import Linking
from querybudget.resilience.administering import Administering

PAGE = 100
"""Accounts read at a time; calls go on between two pages."""

MOST = 100_000
"""Accounts that are looked at: of more, those that called last. About 100 MB."""

IDLE = 2
"""Times `decay` after which an account that does not call is left out."""


async def read_candidates(
    store: Administering,
    settings: Linking,
    now: int,
    linked: Collection[str],
    apart: Collection[str],
) -> list[Candidate]:
    """Return the accounts that may belong together.

    Args:
        store: Where they are.
        settings: The policy's.
        now: µs since the epoch.
        linked: Keys of the accounts that are in groups.
        apart: Keys of the accounts that are never linked.

    Raises:
        StoreError: The store failed.
    """
    oldest = (now - IDLE * settings.decay) // MINUTE
    kept: list[tuple[int, str, Candidate]] = []
    known: set[str] = set(apart)
    cursor = ""
    while True:
        page = await store.accounts(cursor, PAGE)
        for record in page.records:
            key = record.partition
            if not record.known:  # made-up keys would frame whom they resemble, or crowd others out
                continue
            trusted = key not in linked
            member = candidate_of(key, record.account, settings, now, trusted=trusted)
            if member is None or member.seen < oldest or key in known:
                continue
            known.add(key)  # a page may repeat an account of the one before
            placed = (member.seen, key, member)
            if len(kept) < MOST:
                heapq.heappush(kept, placed)
            else:
                heapq.heappushpop(kept, placed)
        cursor = page.cursor
        if not cursor:
            return [member for _, _, member in kept]
        await asyncio.sleep(0)
