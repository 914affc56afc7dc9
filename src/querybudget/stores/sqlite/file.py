"""A file of accounts as a connection to it: opened when it is used, and told what became of it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from querybudget.errors import QueryBudgetError, SetupError, StoreError
from querybudget.stores.sqlite.schema import MIGRATIONS, bring_up, version_of, write_ahead
from querybudget.units import SECOND

__all__ = ["AccountFile", "LockedError"]

T = TypeVar("T")

logger = logging.getLogger("querybudget")


class LockedError(StoreError):
    """Another process has held the file's lock for too long."""


class AccountFile:
    """A file and at most one connection to it. For one thread at a time.

    Any failure closes the connection, but for a lock that others hold: the next transaction opens
    it anew, so that it works again as soon as the cause is gone.

    Args:
        path: The file; made at its first use.
        busy: µs to wait for another process's lock.
        prepare: Called with each new connection, for pragmas of one's own.
    """

    def __init__(
        self, path: Path, busy: int, prepare: Callable[[sqlite3.Connection], None] | None
    ) -> None:
        self.path = path
        self._busy = busy
        self._prepare = prepare
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

    def open(self) -> sqlite3.Connection:
        """The connection to the file that is there now.

        Raises:
            SetupError: The file cannot be used, now or later; the message says what to do.
            StoreError: It cannot be used now.
        """
        try:
            return self._open(self._busy)
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    def transact(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        writing: bool = True,
        patient: bool = True,
    ) -> T:
        """Do `work` in a transaction; what it does not commit is undone.

        Args:
            work: Is given the connection.
            writing: Whether nobody else may write meanwhile.
            patient: Whether to wait for another process's lock.

        Raises:
            LockedError: Another process had the lock all the time.
            StoreError: Nothing is known to be changed; the message says what to do.
        """
        begin = "BEGIN IMMEDIATE" if writing else "BEGIN"
        try:
            try:
                return work(self._begin(begin, patient=patient))
            finally:
                self._undo()
        except (sqlite3.Error, OSError) as error:
            failure = self._failed(error)
            raise failure if isinstance(failure, StoreError) else StoreError(failure) from error
        except SetupError as error:
            raise StoreError(*error.args) from error

    def close(self) -> None:
        """Let go of the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # what was committed is in the file already
                connection.close()

    def _undo(self) -> None:
        connection = self._connection
        if connection is not None and connection.in_transaction:
            connection.rollback()

    def _begin(self, begin: str, *, patient: bool) -> sqlite3.Connection:
        """A connection in a transaction of its own."""
        connection = self._open(self._busy if patient else 0)
        try:
            if not patient:
                connection.execute("PRAGMA busy_timeout = 0")
            connection.execute(begin)
        finally:
            if not patient:
                connection.execute(f"PRAGMA busy_timeout = {self._busy // 1000}")
        if version_of(connection) == len(MIGRATIONS):
            return connection
        self.close()  # a later version brought it up meanwhile: opening it says so
        return self._begin(begin, patient=patient)

    # -- Opening ----------------------------------------------------------------------------------

    def _open(self, busy: int) -> sqlite3.Connection:
        connection = self._connection
        if connection is not None:
            if self._found() == self._inode:
                return connection
            logger.warning(
                "SQLite file %s was deleted or replaced while it was in use: its accounts are "
                "lost, and new ones are kept in the file that has its name now",
                self.path,
            )
            self.close()
        return self._connect(busy)

    def _connect(self, busy: int) -> sqlite3.Connection:
        if self.path.is_dir():
            raise SetupError(f"SQLite file {self.path} is a directory: name a file in it")
        connection = self._connection = sqlite3.connect(
            self.path,
            timeout=busy / SECOND,
            isolation_level=None,
            check_same_thread=False,  # a process that forks closes it in the thread that forks
        )
        try:
            if self._prepare is not None:
                self._prepare(connection)
            bring_up(connection, self.path)
            write_ahead(connection, self.path)
        except BaseException:
            self.close()
            raise
        self._inode = self._found()
        return connection

    def _found(self) -> tuple[int, int] | None:
        """Which file is there now."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    # -- Failing ----------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> QueryBudgetError:
        """What an error means, and what to do about it."""
        code = _code(error)
        if code in _LOCKED:
            return LockedError(
                f"SQLite file {self.path} is locked by another process for longer than "
                f"{self._busy / SECOND:g} s: look for a backup, a shell or a stopped worker that "
                "has a transaction open on it"
            )
        self.close()
        if code == sqlite3.SQLITE_FULL:
            return StoreError(
                f"SQLite file {self.path} cannot grow, its disk is full ({error}): free some "
                "space, and calls are counted again"
            )
        if code in _DAMAGED:
            return SetupError(
                f"SQLite file {self.path} is damaged or no database ({error}): restore it, or move "
                "it away to begin anew; either way, remove the files ending in -wal and -shm "
                "beside it"
            )
        return self._unreachable(error)

    def _unreachable(self, error: Exception) -> QueryBudgetError:
        directory = self.path.parent
        if _missing(directory):
            return SetupError(
                f"SQLite file {self.path} cannot be made, there is no directory {directory}: make "
                "it, or name another file"
            )
        if isinstance(error, PermissionError) or _code(error) in _FORBIDDEN:
            return SetupError(
                f"SQLite file {self.path} cannot be written ({error}): let the user that this "
                f"process runs as write it, the files ending in -wal and -shm, and {directory}"
            )
        return StoreError(
            f"SQLite file {self.path} cannot be used ({error}): look at its disk, and at the limit "
            "on open files"
        )


def _missing(directory: Path) -> bool:
    try:
        return not directory.is_dir()
    except OSError:  # it may not even be looked for
        return False


def _code(error: Exception) -> int:
    """SQLite's primary result code; that of a general error where there is none."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FORBIDDEN = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
