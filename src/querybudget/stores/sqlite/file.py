"""The file of accounts: opening it, transactions, and what its errors mean."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from querybudget.errors import QueryBudgetError, SetupError, StoreError, UnusableStoreError
from querybudget.stores.sqlite.schema import MIGRATIONS, migrate, use_write_ahead_log, version_of
from querybudget.units import SECOND

READ = "BEGIN"
"""Begins a transaction that only reads."""

WRITE = "BEGIN IMMEDIATE"
"""Begins a transaction during which no other process may write."""

LOG_BUSY = SECOND // 10
"""µs to wait for other processes before the log is emptied."""

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FORBIDDEN = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}

_BESIDE = ("", "-wal", "-shm", "-journal")
"""Endings of the files that SQLite writes."""

_PRIVATE = 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

logger = logging.getLogger("querybudget")


class LockedError(StoreError):
    """Another process held the file's lock for too long."""


class AccountFile:
    """A file and at most one connection to it. For one thread at a time.

    Any failure except another process's lock closes the connection. The next transaction opens the
    file again, so that the store works again as soon as the cause is gone.

    Args:
        path: The file; created at its first use.
        busy: µs to wait for another process's lock.
        prepare: Called with each new connection, to set pragmas.
    """

    def __init__(
        self, path: Path, busy: int, prepare: Callable[[sqlite3.Connection], None] | None
    ) -> None:
        self.path = path
        self._busy = busy
        self._prepare = prepare
        self._connection: sqlite3.Connection | None = None
        self._dropped: Callable[[], object] | None = None
        self._inode: tuple[int, int] | None = None
        self._looked_at: tuple[int, int] | None = None

    def open(self) -> sqlite3.Connection:
        """Return a connection to the file that exists now.

        Raises:
            SetupError: The file can never be used; the message says what to do.
            StoreError: It cannot be used now.
        """
        try:
            return self._open(self._busy)
        except (sqlite3.Error, OSError) as error:
            raise self._error_for(error) from error

    def transact(
        self,
        begin: str,
        work: Callable[[sqlite3.Connection, *Ts], T],
        *arguments: *Ts,
        wait: bool = True,
    ) -> T:
        """Run `work` in a transaction, and roll back what it does not commit.

        Args:
            begin: `READ` or `WRITE`.
            work: Called with the connection and `arguments`.
            arguments: For `work`.
            wait: Whether to wait for another process's lock.

        Raises:
            LockedError: Another process held the lock all the time.
            StoreError: The change may not have been made; the message says what to do.
        """
        try:
            try:
                return work(self._begin(begin, wait=wait), *arguments)
            finally:
                self._rollback()
        except (sqlite3.Error, OSError) as error:
            failure = self._error_for(error)
            if not isinstance(failure, StoreError):
                failure = UnusableStoreError(*failure.args)
            raise failure from error
        except SetupError as error:
            raise UnusableStoreError(*error.args) from error

    def empty_log(self) -> None:
        """Write the log back and empty it, unless another process is busy with the file."""
        connection = self._connection
        if connection is None:
            return
        connection.execute(f"PRAGMA busy_timeout = {LOG_BUSY // 1_000}")
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._busy // 1_000}")

    def close(self) -> None:
        dropped, self._dropped, self._connection = self._dropped, None, None
        if dropped is not None:
            dropped()

    def _rollback(self) -> None:
        connection = self._connection
        if connection is not None and connection.in_transaction:
            connection.rollback()

    def _begin(self, begin: str, *, wait: bool) -> sqlite3.Connection:
        """Return a connection in a new transaction."""
        connection = self._open(self._busy if wait else 0)
        try:
            if not wait:
                connection.execute("PRAGMA busy_timeout = 0")
            connection.execute(begin)
        finally:
            if not wait:
                connection.execute(f"PRAGMA busy_timeout = {self._busy // 1000}")
        if version_of(connection) == len(MIGRATIONS):
            return connection
        self.close()  # a later version has migrated it: opening it raises an error that says so
        return self._begin(begin, wait=wait)

    # -- Opening ----------------------------------------------------------------------------------

    def _open(self, busy: int) -> sqlite3.Connection:
        connection = self._connection
        if connection is not None:
            if self._identity() == self._inode:
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
        if make_private(self.path) is False and self._identity() != self._looked_at:
            self._looked_at = self._identity()
            warn_of_others(self.path)
        connection = self._connection = sqlite3.connect(
            self.path,
            timeout=busy / SECOND,
            isolation_level=None,
            check_same_thread=False,  # before a fork, the forking thread closes it
        )
        # A mounted application is never told to stop: its connection is closed with the last
        # reference to this. From Python 3.13 on, SQLite's module warns of one that is not.
        self._dropped = finalizer = weakref.finalize(self, _close, connection)
        finalizer.atexit = False
        try:
            if self._prepare is not None:
                self._prepare(connection)
            migrate(connection, self.path)
            use_write_ahead_log(connection, self.path)
        except BaseException:
            self.close()
            raise
        self._inode = self._identity()
        return connection

    def _identity(self) -> tuple[int, int] | None:
        """Return device and inode of the file that has the name now."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    # -- Failing ----------------------------------------------------------------------------------

    def _error_for(self, error: Exception) -> QueryBudgetError:
        """Return our error for one of SQLite's: what it means, and what to do about it."""
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
                "it away to start with empty accounts; either way, remove the files ending in -wal "
                "and -shm beside it"
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


def _close(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # what was committed is in the file already
        connection.close()


def make_private(path: Path) -> bool:
    """Create a file that only its owner may read and write; return False if it exists already.

    SQLite gives the files beside it the same permissions.

    Raises:
        SetupError: It or a file beside it is a link or no file, which somebody may have planted.
        OSError: It cannot be created.
    """
    for name in (path.with_name(path.name + ending) for ending in _BESIDE):
        mode = _mode(name)
        if mode is not None and not stat.S_ISREG(mode):
            what = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
            raise SetupError(
                f"SQLite file {name} is {what}: name the file itself, or remove what is there"
            )
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        os.close(os.open(path, flags, _PRIVATE))
    except FileExistsError:
        return False
    return True


def warn_of_others(path: Path) -> None:
    """Log if others than this process's user may read or write a file, or own it."""
    if os.name == "nt":  # permissions are lists there, which the folder hands down
        return
    status = path.stat()
    if status.st_mode & _OTHERS:
        logger.warning(
            "SQLite file %s can be read or written by other users (its mode is %04o, expected"
            " 0600): chmod 600 it, and the files ending in -wal and -shm",
            path,
            stat.S_IMODE(status.st_mode),
        )
    if status.st_uid not in {0, os.geteuid()}:
        logger.warning(
            "SQLite file %s belongs to another user (%d), who can change what callers have used",
            path,
            status.st_uid,
        )


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except OSError:
        return None


def _missing(directory: Path) -> bool:
    try:
        return not directory.is_dir()
    except OSError:  # not allowed to look for it
        return False


def _code(error: Exception) -> int:
    """Return SQLite's primary result code, or that of a general error."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF
