"""`SqliteStore`: accounts in a file that the workers of one host share, and that outlives them.

Each charge and each settlement is one transaction that only one process at a time is in: read the
accounts concerned, call the ledger, write those that changed. One thread beside the event loop does
all of it.

**Durability.** What was committed survives the end of any process. The file is not synced at each
call: if the machine itself loses power, the last moments' use may be lost, but never the file.

**Bounds.** A row says from when on it means no more than a new one, and such rows are removed along
with charges. Beyond `max_identities` rows, accounts on probation go first, so a flood of made-up
keys evicts no account of a caller who was verified. `rows.py` has the details.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar, TypeVarTuple
from urllib.parse import parse_qsl, unquote

from querybudget import ledger
from querybudget.backends import SCHEMES, Guarantees
from querybudget.errors import SetupError
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled, Standing
from querybudget.notation import duration
from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.stores.accounts import AccountPage, AccountRecord, cursor_after, key_before
from querybudget.stores.clock import Clock
from querybudget.stores.operators import check, too_many
from querybudget.stores.sqlite import changes
from querybudget.stores.sqlite.file import READ, WRITE, AccountFile, LockedError
from querybudget.stores.sqlite.rows import (
    AccountRow,
    Wanted,
    evict,
    evict_invented,
    read_page,
    sweep,
)
from querybudget.stores.sqlite.thread import WorkerThread
from querybudget.text import nearest
from querybudget.units import SECOND, Micros, Quota

MIN_IDENTITIES = 10
"""The smallest bound on accounts, of which newcomers get one."""

SWEEP_EVERY = 16
"""Charges between two removals of expired rows."""

BUSY = 5 * SECOND
"""µs to wait for another process's lock, by default."""

_PARAMETERS = ("busy",)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SqliteStore:
    """Accounts in a file, which is opened at its first use.

    Args:
        path: The file; created if missing. On a local disk, because its processes share memory.
        clock: µs since the epoch; the same for all processes that share the file.
        max_identities: Accounts of callers kept, newcomers included.
        busy: µs to wait for another process's lock.
        prepare: Called with each new connection, in the store's thread, to set pragmas.
    """

    suspends = True
    guarantees: Guarantees = SCHEMES["sqlite"]

    def __init__(
        self,
        path: Path | str,
        clock: Clock,
        *,
        max_identities: int = 100_000,
        busy: int = BUSY,
        prepare: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        if max_identities < MIN_IDENTITIES:
            raise ValueError(
                f"max_identities must be at least {MIN_IDENTITIES}, found {max_identities}"
            )
        self._clock = clock
        self._max_identities = max_identities
        self._file = AccountFile(Path(path).absolute(), busy, prepare)
        self._worker = WorkerThread(self._file.close)
        self._evicted = 0
        self._charges = 0
        self._requests = 0
        self._timed_out = 0
        """The last request that need not wait for a lock: an earlier one waited in vain."""

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def evicted(self) -> int:
        """Known accounts that this process evicted because there were too many."""
        return self._evicted

    async def start(self) -> None:
        await self._worker.run(self._file.open)

    async def reserve(self, charge: Charge) -> Decision:
        return await self._transact(WRITE, self._reserve, charge)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        return await self._transact(WRITE, self._settle, reservation, amounts)

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        return await self._transact(WRITE, self._renew, reservation, ttl)

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        return await self._transact(READ, self._peek, partition, quotas)

    async def forget(self, partition: str) -> bool:
        return await self._transact(WRITE, self._forget, partition)

    async def accounts(
        self, cursor: str = "", limit: int = 100, part: str = "", *, begins: bool = False
    ) -> AccountPage:
        after = key_before(cursor) or ""
        wanted = Wanted(part, begins)
        records, last = await self._transact(READ, read_page, after, max(1, limit), wanted)
        return AccountPage(tuple(records), cursor_after(last) if last else "")

    async def account(self, partition: str) -> AccountRecord | None:
        return await self._transact(READ, self._account, partition)

    async def pardon(self, partition: str) -> bool:
        return await self._transact(WRITE, self._pardon, partition)

    async def overrides(self, version: str = "") -> Overrides | None:
        return await self._transact(READ, changes.read_overrides, version, self._clock())

    async def override(self, entry: Override, audit: AuditEntry | None) -> None:
        check(entry, *((audit,) if audit else ()))
        if not await self._transact(WRITE, self._override, entry, audit):
            raise too_many()

    async def remove_override(self, name: str, audit: AuditEntry | None) -> bool:
        if audit is not None:
            check(audit)
        return await self._transact(WRITE, self._remove_override, name, audit)

    async def note(self, audit: AuditEntry) -> None:
        check(audit)
        await self._transact(WRITE, self._note, audit)

    async def audit(self, limit: int = 100) -> tuple[AuditEntry, ...]:
        return await self._transact(READ, changes.read_audit, limit)

    async def aclose(self) -> None:
        """Wait for transactions under way, and close the file. A later use opens it again."""
        await self._worker.finish(self._file.close)

    async def _transact(
        self, begin: str, work: Callable[[sqlite3.Connection, *Ts], T], *arguments: *Ts
    ) -> T:
        """Run `work` in a transaction, in the store's thread."""
        self._requests += 1
        return await self._worker.run(partial(self._run, begin, self._requests, work, *arguments))

    # -- In the thread ----------------------------------------------------------------------------

    def _run(
        self,
        begin: str,
        request: int,
        work: Callable[[sqlite3.Connection, *Ts], T],
        *arguments: *Ts,
    ) -> T:
        # A request queued behind one that waited for a lock in vain has waited as long: it tries
        # once.
        wait = request > self._timed_out
        try:
            return self._file.transact(begin, work, *arguments, wait=wait)
        except LockedError:
            self._timed_out = max(self._timed_out, self._requests if wait else request)
            raise

    def _reserve(self, connection: sqlite3.Connection, charge: Charge) -> Decision:
        now = self._clock()
        rows = [AccountRow.load(connection, key, now) for key in charge.partitions]
        decision = ledger.reserve({row.key: row.account for row in rows}, charge, now)
        if decision.reservation is None:
            return decision
        quotas = _quotas_of(charge.lines)
        made = [charge.standing(row.key) for row in rows if row.new and not row.account.blank]
        for row in rows:
            if not (row.new and row.account.blank):
                row.save(connection, quotas.get(row.key, ()), now, charge.standing(row.key))
        if made:
            self._evicted += evict(connection, self._max_identities, now)
        if Standing.INVENTED in made:
            evict_invented(connection, self._max_identities // 10)
        self._charges += 1
        if not self._charges % SWEEP_EVERY:
            sweep(connection, now)
        connection.commit()
        return decision

    def _settle(
        self, connection: sqlite3.Connection, reservation: Reservation, amounts: Sequence[int]
    ) -> Settled:
        now = self._clock()
        rows = [AccountRow.load(connection, key, now) for key in reservation.partitions]
        accounts = {row.key: row.account for row in rows if not row.new}
        settled = ledger.settle(accounts, reservation, amounts, now)
        if settled is Settled.REPEATED:
            return settled
        quotas, used, promoted = _quotas_of(reservation.lines), any(amounts), False
        fixed = {line.partition for line in reservation.lines if line.standing is Standing.FIXED}
        for row in rows:
            if row.new:
                continue
            promotes = used and (reservation.verified or row.key in fixed)
            if not row.known and not promotes and row.account.blank:
                AccountRow.remove(connection, row.key)
                continue
            row.save(connection, quotas.get(row.key, ()), now)
            if promotes and not row.known:
                row.promote(connection)
                promoted = True
        if promoted:
            self._evicted += evict(connection, self._max_identities, now)
        connection.commit()
        return settled

    def _renew(self, connection: sqlite3.Connection, reservation: Reservation, ttl: int) -> Micros:
        now = self._clock()
        rows = [AccountRow.load(connection, key, now) for key in reservation.partitions]
        accounts = {row.key: row.account for row in rows if not row.new}
        expires = ledger.renew(accounts, reservation, ttl, now)
        quotas = _quotas_of(reservation.lines)
        for row in rows:
            if not row.new:
                row.save(connection, quotas.get(row.key, ()), now)
        connection.commit()
        return expires

    def _peek(
        self, connection: sqlite3.Connection, partition: str, quotas: Sequence[Quota]
    ) -> tuple[tuple[int, int], ...]:
        now = self._clock()
        return ledger.peek(AccountRow.load(connection, partition, now).account, quotas, now)

    def _forget(self, connection: sqlite3.Connection, partition: str) -> bool:
        removed = AccountRow.remove(connection, partition)
        connection.commit()
        if removed:
            self._file.empty_log()
        return removed

    def _account(self, connection: sqlite3.Connection, partition: str) -> AccountRecord | None:
        row = AccountRow.load(connection, partition, 0)
        return None if row.new else AccountRecord(partition, row.account, row.known)

    def _pardon(self, connection: sqlite3.Connection, partition: str) -> bool:
        now = self._clock()
        row = AccountRow.load(connection, partition, now)
        profile = row.account.profile
        if row.new or profile is None or not profile.pardon():
            return False
        row.save(connection, (), now)
        connection.commit()
        return True

    def _override(
        self, connection: sqlite3.Connection, entry: Override, audit: AuditEntry | None
    ) -> bool:
        added = changes.set_override(connection, entry, audit, self._clock())
        connection.commit()
        return added

    def _remove_override(
        self, connection: sqlite3.Connection, name: str, audit: AuditEntry | None
    ) -> bool:
        removed = changes.remove_override(connection, name, audit)
        connection.commit()
        if removed:  # it named a caller, who may have to be forgotten
            self._file.empty_log()
        return removed

    def _note(self, connection: sqlite3.Connection, audit: AuditEntry) -> None:
        changes.note(connection, audit)
        connection.commit()


def at_url(url: str, clock: Clock, max_identities: int) -> SqliteStore:
    """Return the store for ``sqlite:///budgets.db`` or ``sqlite:////var/lib/budgets.db``.

    ``?busy=10s`` says how long to wait for another process's lock.

    Raises:
        SetupError: The URL names no file, or has an unknown parameter.
    """
    place, _, query = url.removeprefix("sqlite://").partition("?")
    host, slash, path = unquote(place).partition("/")
    if place in {"", "/"} or ":memory:" in place:
        raise SetupError(
            f"{url!r} names no file: expected one such as sqlite:///budgets.db; to keep "
            "accounts in memory only, use memory://"
        )
    if host or not path:
        raise SetupError(
            f"{url!r} has a host, {host!r}: a file has none. Did you mean sqlite:///{host}{slash}"
            f"{path}?"
        )
    busy = BUSY
    for word, value in parse_qsl(query, keep_blank_values=True):
        if word != "busy":
            raise SetupError(
                f"{url!r} has an unknown setting {word!r}{nearest(word, _PARAMETERS)}: expected "
                f"one of {', '.join(_PARAMETERS)}"
            )
        try:
            busy = duration(value)
        except ValueError as error:
            raise SetupError(f"{url!r} has an invalid `busy`: {error}") from error
    return SqliteStore(path, clock, max_identities=max_identities, busy=busy)


def _quotas_of(lines: Sequence[Line]) -> dict[str, list[Quota]]:
    quotas: dict[str, list[Quota]] = {}
    for line in lines:
        quotas.setdefault(line.partition, []).append(line.quota)
    return quotas
