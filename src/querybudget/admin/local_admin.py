"""`LocalAdmin`: what operators do, on a limiter in this process."""

from __future__ import annotations

import heapq
import logging
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from querybudget.admin import views
from querybudget.admin.erasing import Erasure, every
from querybudget.admin.linked import PREFIX, group_named, groups_in, unlinked_of, unlinking
from querybudget.admin.pools import LAST_CALLS, known_pools
from querybudget.admin.populations import pools_of, touched_of
from querybudget.admin.protocol import (
    AccountList,
    AccountNameError,
    AccountView,
    LinkedGroup,
    Report,
)
from querybudget.admin.validation import change_in_words, check_change
from querybudget.errors import SetupError, StoreError
from querybudget.limiter import Limiter
from querybudget.limiter.lines import NEWCOMERS
from querybudget.overrides import CHANGES, SWITCHES, AuditEntry, Override, Overrides
from querybudget.redact import shown
from querybudget.stores import AccountRecord
from querybudget.stores.accounts import SEPARATOR
from querybudget.text import listed, nearest
from querybudget.traffic.record import TrafficRecord
from querybudget.units import Micros

logger = logging.getLogger("querybudget")

SHORTEST = 8
"""Characters of a key's beginning that name an account, at least."""

TOLD = 500
"""Accounts after which it is said how many were read."""

_ORDERS = ("score", "spent", "calls", "seen")
_FULL = re.compile(r"[0-9a-f]{32}|anonymous|everyone|[a-z0-9_-]+:.+")
_ID = 6
_SAMPLES = 3

_Rank = Callable[[AccountRecord], tuple[int, ...]]


class RecentCalls(Protocol):
    """Remembers the last calls: `querybudget.traffic.Recent`."""

    def find(self, request_id: str, /) -> TrafficRecord | None:
        """Return the call that was told this id."""
        ...

    def last(self, limit: int, account: str = "", /) -> Sequence[TrafficRecord]:
        """Return the last calls, newest first; of one account if it is named."""
        ...


class LocalAdmin:
    """`Admin` on a limiter.

    What it changes applies in this process at once, and in others that share the store within
    seconds.

    Args:
        limiter: The limiter.
        recent: Remembers the last calls; None if nothing does.
    """

    def __init__(self, limiter: Limiter, recent: RecentCalls | None = None) -> None:
        self._limiter = limiter
        self._recent = recent
        self._store = limiter.administering

    async def accounts(
        self, cursor: str = "", limit: int = 100, *, internal: bool = False
    ) -> AccountList:
        """Return some accounts: those that nobody's calls use only if asked for."""
        try:
            page = await self._store.accounts(cursor, limit)
        except ValueError as error:
            raise SetupError(str(error)) from None
        records = [
            each for each in page.records if internal or not views.is_internal(each.partition)
        ]
        return AccountList(await self._views(records), page.cursor)

    async def account(self, key: str) -> AccountView:
        """Return one account."""
        record = await self._store.account(key) or await self._record(key)
        (view,) = await self._views([record], cells=True)
        apart = await self._unlinked(view.account) if self._limiter.policy.linking else ()
        calls, now = await self.recent(LAST_CALLS, view.account), self._limiter.clock()
        pools = await known_pools(self._store, record, self._limiter.rules, calls, now)
        return replace(view, pools=pools, unlinked=bool(apart))

    async def top(
        self, by: str = "score", limit: int = 10, *, report: Report | None = None
    ) -> Sequence[AccountView]:
        """Return the first accounts by ``score``, ``spent``, ``calls``, ``seen`` or a budget.

        Only the first so many are held in memory, however many there are.
        """
        rank = self._rank(by)
        best: list[tuple[tuple[int, ...], str, AccountRecord]] = []
        kept, read = set[str](), 0
        async for record in every(self._store):
            read += 1
            if report is not None and not read % TOLD:
                report(read)
            if views.is_internal(record.partition):
                continue
            placed = (rank(record), record.partition, record)
            if record.partition in kept:
                continue  # a page may repeat an account of the one before
            if len(best) < limit:
                heapq.heappush(best, placed)
            elif best and placed[:2] > best[0][:2]:
                kept.discard(heapq.heapreplace(best, placed)[1])
            else:
                continue
            kept.add(record.partition)
        return await self._views(
            [record for _, _, record in sorted(best, key=_order, reverse=True)]
        )

    async def change(self, entry: Override, action: str) -> Override:
        """Add an override: ``grant``, ``override``, ``allow`` or ``block``."""
        now = self._limiter.clock()
        check_change(entry, action, self._limiter.policy.budgets, now)
        part = await self._part(entry.account)
        entry = replace(
            entry,
            account=part,
            id=entry.id or os.urandom(_ID).hex(),
            at=Micros(now),
            by=shown(entry.by),
            reason=shown(entry.reason),
        )
        audit = self._entry(action, part, entry.by, change_in_words(entry), entry.reason)
        await self._add(entry, audit)
        await self._changed(audit)
        return entry

    async def remove(self, name: str, by: str = "", reason: str = "") -> bool:
        """Remove an override by its id; return whether there was one."""
        known = {entry.id: entry for entry in (await self.overrides()).entries}
        entry = known.get(name)
        if entry is None:
            return False
        audit = self._entry("remove", entry.account, by, change_in_words(entry), reason)
        removed = await self._store.remove_override(name, audit)
        if removed:
            await self._changed(audit)
        return removed

    async def pardon(self, key: str, by: str = "", reason: str = "") -> bool:
        """Take back what an account is suspected of; return whether there was anything."""
        partition = key if await self._store.account(key) else (await self._record(key)).partition
        audit = self._entry("pardon", partition, by, "score and stage", reason)
        await self._store.note(audit)  # first, so that nothing happens that is not noted
        found = await self._store.pardon(partition)
        await self._changed(audit)
        return found

    async def forget(self, key: str, by: str = "", reason: str = "") -> int:
        """Erase a caller: all its accounts and its overrides.

        Groups keep counts of their members, in which nobody can be told apart.
        """
        part = await self._part(key)
        erasure = Erasure(self._store, part)
        await self._store.note(self._entry("forget", part, by, "begun", reason))
        try:
            await erasure.run()
            audit = self._entry("forget", part, by, str(erasure), reason)
            await self._store.note(audit)
        except StoreError as error:
            why = str(error).rstrip(".")
            raise StoreError(
                f"{why}. Until then, {erasure} of {part} were erased: forget it again, which goes"
                " on with the rest"
            ) from error
        await self._changed(audit)
        return erasure.accounts

    async def overrides(self) -> Overrides:
        """Return all that an operator has changed: no links, and no sessions that have ended."""
        found = await self._store.overrides() or Overrides()
        entries = tuple(one for one in found.entries if one.effect in CHANGES | SWITCHES)
        return Overrides(found.version, entries)

    async def groups(self) -> Sequence[LinkedGroup]:
        """Return the linked groups, the largest first, without their accounts."""
        return tuple(replace(group, accounts=()) for group in await self._linked())

    async def group(self, name: str) -> LinkedGroup:
        """Return one linked group, by its key or a beginning of it, ``group:`` left out or not."""
        return group_named(name, await self._linked())

    async def unlink(self, name: str, by: str = "", reason: str = "") -> int:
        """Take an account, or all accounts of a group, out of groups, and never link them again."""
        if name.startswith(PREFIX):
            part = (group := await self.group(name)).group
            accounts = [each.account for each in group.accounts]
        else:
            part = await self._part(name)
            accounts = [part]
        counted = f"{len(accounts):,} account{'s' * (len(accounts) != 1)}, never to be linked again"
        audit = self._entry("unlink", part, by, counted, reason)
        await self._store.note(audit)  # first, so that nothing happens that is not noted
        for account in accounts:
            entry = unlinking(account, shown(by), shown(reason), self._limiter.clock())
            await self._store.override(entry, None)
        await self._changed(audit)
        return len(accounts)

    async def relink(self, name: str, by: str = "", reason: str = "") -> int:
        """Take `unlink` back: links that have not ended count again, and others may be found."""
        part = name if name.startswith(PREFIX) else await self._part(name)
        entries = await self._unlinked(part)
        if not entries:
            return 0
        counted = f"{len(entries):,} account{'s' * (len(entries) != 1)} may be linked again"
        audit = self._entry("relink", part, by, counted, reason)
        await self._store.note(audit)  # first, so that nothing happens that is not noted
        for entry in entries:
            await self._store.remove_override(entry.id, None)
        await self._changed(audit)
        return len(entries)

    async def _unlinked(self, name: str) -> tuple[Override, ...]:
        known = await self._store.overrides()
        return unlinked_of(name, known.entries if known is not None else ())

    async def _linked(self) -> tuple[LinkedGroup, ...]:
        known = await self._store.overrides()
        return groups_in(known.entries if known is not None else ())

    async def audit(self, limit: int = 100) -> Sequence[AuditEntry]:
        """Return what operators did, newest first."""
        return await self._store.audit(limit)

    async def find(self, request_id: str) -> TrafficRecord | None:
        """Return a recent call by the id that its caller was told; None if it is not remembered."""
        return self._recent.find(request_id) if self._recent else None

    async def recent(self, limit: int = 100, account: str = "") -> Sequence[TrafficRecord]:
        """Return the last calls, newest first; of one account if it is named."""
        return self._recent.last(limit, account) if self._recent else ()

    # -- Names -------------------------------------------------------------------------------

    async def _part(self, key: str) -> str:
        """Return the part of a key that a name stands for: itself, or the one that begins so."""
        if _FULL.fullmatch(key) or await self._store.account(key):
            return key
        _check_length(key)
        found = {
            part
            for entry in (await self.overrides()).entries
            for part in entry.account.split(SEPARATOR)
            if part.startswith(key)
        }
        async for record in every(self._store, key, begins=True):
            for part in record.partition.split(SEPARATOR):
                if part.startswith(key):
                    found.add(part)
            _check_one(key, found)
        if not found:
            raise AccountNameError(f"there is no account whose key begins with {key!r}")
        return found.pop()

    async def _record(self, key: str) -> AccountRecord:
        """Return the account that a name stands for."""
        part = await self._part(key)
        record = await self._store.account(part)
        if record is not None:
            return record
        if not self._limiter.rules.joins:  # else it may be one part of several
            raise AccountNameError(f"there is no account {key!r}")
        found: dict[str, AccountRecord] = {}
        async for each in every(self._store, part):
            found[each.partition] = each
            _check_one(key, found)
        if not found:
            raise AccountNameError(f"there is no account {key!r}")
        return next(iter(found.values()))

    # -- The rest ----------------------------------------------------------------------------

    async def _add(self, entry: Override, audit: AuditEntry) -> None:
        """Add an override. If the store's answer is lost, look whether it was added."""
        try:
            await self._store.override(entry, audit)
        except StoreError as error:
            try:
                known = await self.overrides()
            except StoreError:
                raise StoreError(
                    f"{error}. The override {entry.id} may have been made: look at the overrides"
                    " before you make it again"
                ) from error
            if entry.id not in {each.id for each in known.entries}:
                raise

    def _rank(self, by: str) -> _Rank:
        rules, now = self._limiter.rules, self._limiter.clock()
        budgets = [budget.name for budget in rules.policy.budgets]
        if by not in {*_ORDERS, *budgets}:
            known = [*_ORDERS, *budgets]
            raise SetupError(f"expected {listed(known)}, found {by!r}{nearest(by, known)}")
        if by in budgets:
            return lambda record: (
                max((use.share for use in views.uses_of(record, rules, now, by)), default=-1),
            )
        if by == "spent":
            return lambda record: views.spent_of(views.uses_of(record, rules, now))
        if by == "calls":
            return lambda record: (views.calls_of(record),)
        if by == "seen":
            return lambda record: (record.account.seen,)
        return lambda record: (views.calls_of(record) > 0, views.score_of(record, now))

    async def _views(
        self, records: Sequence[AccountRecord], *, cells: bool = False
    ) -> tuple[AccountView, ...]:
        shifts, groups = await self._shifts(records), await self._groups(records)
        rules, now = self._limiter.rules, self._limiter.clock()
        return tuple(
            views.view_of(
                record,
                rules,
                now,
                shifts[record.account.tier],
                touched_of(record, groups, rules),
                cells=cells,
            )
            for record in records
        )

    async def _groups(self, records: Sequence[AccountRecord]) -> dict[str, AccountRecord]:
        """Return the accounts of the pools that test some accounts."""
        rules = self._limiter.rules
        names = {name for record in records for name in pools_of(record, rules).values()}
        found = dict[str, AccountRecord]()
        for name in (*names, NEWCOMERS) if names else ():
            if (group := await self._store.account(name)) is not None:
                found[name] = group
        return found

    async def _shifts(self, records: Sequence[AccountRecord]) -> dict[str, int]:
        """Return by how much the scores of each tier are moved."""
        rules, shifts = self._limiter.rules, dict[str, int]()
        for tier in {record.account.tier for record in records}:
            partition = views.calibrating(tier, rules)
            group = await self._store.account(partition) if partition else None
            shifts[tier] = views.shift_of(group, tier, rules)
        return shifts

    def _entry(self, action: str, account: str, by: str, *details: str) -> AuditEntry:
        detail = "; ".join(shown(detail) for detail in details if detail)
        return AuditEntry(Micros(self._limiter.clock()), shown(by), action, account, detail)

    async def _changed(self, audit: AuditEntry) -> None:
        """Let a change act here now, and log it."""
        await self._limiter.feed.refresh()
        by = f" by {audit.by!r}" if audit.by else ""
        logger.info("%s %s%s: %s", audit.action, audit.account, by, audit.detail)


def _order(placed: tuple[tuple[int, ...], str, Any]) -> tuple[tuple[int, ...], str]:
    return placed[:2]


def _check_length(key: str) -> None:
    if len(key) < SHORTEST:
        raise AccountNameError(f"expected {SHORTEST} characters of a key or more, found {key!r}")


def _check_one(key: str, found: Sequence[str] | set[str] | dict[str, AccountRecord]) -> None:
    if len(found) > 1:
        shown = ", ".join(sorted(found)[:_SAMPLES])
        words = f"more than one account has a key that begins with {key!r}: {shown}"
        raise AccountNameError(words, several=True)
