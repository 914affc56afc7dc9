"""The store of one machine: a SQLite file that several workers share, and that outlives them.

Each charge and each settlement is one transaction that only one process at a time is in: read the
accounts concerned, call the ledger, write those that changed. All of it happens in one thread
beside the event loop.

**Durability.** What was committed survives the end of any process. The file is not synced at each
call: if the machine itself loses power, the last moments' use may be lost, never the file.

**Bounds.** A row says from when on it says nothing that a new one would not, and such rows are
removed along with charges. Beyond `max_identities` rows, those who were never answered go first:
so a flood of made-up keys pushes out nobody who was. `sqlite_rows` has the details.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, unquote

from querybudget import ledger
from querybudget.backends import SCHEMES, Guarantees
from querybudget.errors import SetupError
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled
from querybudget.notation import duration
from querybudget.stores.sqlite.file import AccountFile, LockedError
from querybudget.stores.sqlite.rows import Row, bound, sweep
from querybudget.stores.sqlite.worker import WorkerThread
from querybudget.text import nearest
from querybudget.units import SECOND, Quota

__all__ = ["SqliteStore", "at_url"]

T = TypeVar("T")


class SqliteStore:
    """Accounts in a file. Opens it at its first use; nothing is read or written before.

    Args:
        path: The file; made where there is none. On a local disk: its processes share memory.
        clock: µs since the epoch; the same for all processes that share the file.
        max_identities: Accounts kept, newcomers included.
        busy: µs to wait for another process's lock.
        prepare: Called with each new connection, in the store's thread, for pragmas of one's own.
    """

    suspends = True

    def __init__(
        self,
        path: Path | str,
        clock: Callable[[], int],
        *,
        max_identities: int = 100_000,
        busy: int = 5 * SECOND,
        prepare: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        if max_identities < _LEAST:
            raise ValueError(f"max_identities must be at least {_LEAST}, found {max_identities}")
        self._clock = clock
        self._most = max_identities
        self._file = AccountFile(Path(path).absolute(), busy, prepare)
        self._worker = WorkerThread(self._file.close)
        self._evicted = 0
        self._charges = 0
        self._asked = 0
        self._gave_up = 0

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def guarantees(self) -> Guarantees:
        """What it promises, and what it does not."""
        return SCHEMES["sqlite"]

    @property
    def evicted(self) -> int:
        """Answered accounts that this process put out because there were too many."""
        return self._evicted

    async def start(self) -> None:
        """Open the file, or make it."""
        await self._worker.run(self._start)

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none."""
        return await self._ask(lambda connection: self._reserve(connection, charge))

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Replace what is held by what was used."""
        return await self._ask(lambda connection: self._settle(connection, reservation, amounts))

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        """(remaining µ-units, µs to reset) of each quota."""

        def look(connection: sqlite3.Connection) -> tuple[tuple[int, int], ...]:
            now = self._clock()
            return ledger.peek(Row.load(connection, partition, now).account, quotas, now)

        return await self._ask(look, writing=False)

    async def forget(self, partition: str) -> bool:
        """Drop a partition's account."""

        def drop(connection: sqlite3.Connection) -> bool:
            there = Row.remove(connection, partition)
            connection.commit()
            return there

        return await self._ask(drop)

    async def aclose(self) -> None:
        """Wait for the work under way, and close the file. A later use opens it again."""
        await self._worker.finish(self._file.close)

    # -- In the thread ----------------------------------------------------------------------------

    async def _ask(self, work: Callable[[sqlite3.Connection], T], *, writing: bool = True) -> T:
        """Do `work` in a transaction, in the thread."""
        self._asked += 1
        turn = self._asked
        return await self._worker.run(lambda: self._do(work, turn, writing=writing))

    def _do(self, work: Callable[[sqlite3.Connection], T], turn: int, *, writing: bool) -> T:
        # Whoever asked while another waited in vain has waited as long: they try once.
        patient = turn > self._gave_up
        try:
            return self._file.transact(work, writing=writing, patient=patient)
        except LockedError:
            self._gave_up = max(self._gave_up, self._asked if patient else turn)
            raise

    def _start(self) -> None:
        self._file.open()

    def _reserve(self, connection: sqlite3.Connection, charge: Charge) -> Decision:
        now = self._clock()
        rows = [Row.load(connection, key, now) for key in charge.partitions]
        decision = ledger.reserve({row.key: row.account for row in rows}, charge, now)
        if decision.reservation is None:
            return decision
        quotas = _quotas_of(charge.lines)
        for row in rows:
            row.save(connection, quotas.get(row.key, ()), now)
        if any(row.new for row in rows):
            self._bound(connection, now)
        self._charges += 1
        if not self._charges % _SWEEP_EVERY:
            sweep(connection, now)
        connection.commit()
        return decision

    def _settle(
        self, connection: sqlite3.Connection, reservation: Reservation, amounts: Sequence[int]
    ) -> Settled:
        now = self._clock()
        rows = [Row.load(connection, key, now) for key in reservation.partitions]
        accounts = {row.key: row.account for row in rows if not row.new}
        settled = ledger.settle(accounts, reservation, amounts, now)
        if settled is Settled.REPEATED:
            return settled
        quotas, answered, promoted = _quotas_of(reservation.lines), any(amounts), False
        for row in rows:
            if row.new:
                continue
            if not row.known and not answered and row.account.blank:
                Row.remove(connection, row.key)
                continue
            row.save(connection, quotas.get(row.key, ()), now)
            if answered and not row.known:
                row.promote(connection)
                promoted = True
        if promoted:
            self._bound(connection, now)
        connection.commit()
        return settled

    def _bound(self, connection: sqlite3.Connection, now: int) -> None:
        self._evicted += bound(connection, self._most, now)


def at_url(url: str, clock: Callable[[], int], max_identities: int) -> SqliteStore:
    """The store that a URL names: ``sqlite:///budgets.db``, or ``sqlite:////var/lib/budgets.db``.

    ``?busy=10s`` says how long to wait for another process's lock.

    Raises:
        SetupError: No file is named, or something that is no setting.
    """
    place, _, settings = url.removeprefix("sqlite://").partition("?")
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
    busy = 5 * SECOND
    for word, value in parse_qsl(settings, keep_blank_values=True):
        if word != "busy":
            raise SetupError(
                f"{url!r} has an unknown setting {word!r}{nearest(word, _SETTINGS)}: expected one "
                f"of {', '.join(_SETTINGS)}"
            )
        try:
            busy = duration(value)
        except ValueError as error:
            raise SetupError(f"{url!r} has an invalid `busy`: {error}") from error
    return SqliteStore(path, clock, max_identities=max_identities, busy=busy)


def _quotas_of(lines: Sequence[Line]) -> dict[str, list[Quota]]:
    """The quotas of each partition."""
    quotas: dict[str, list[Quota]] = {}
    for line in lines:
        quotas.setdefault(line.partition, []).append(line.quota)
    return quotas


_LEAST = 10
_SWEEP_EVERY = 16
_SETTINGS = ("busy",)
