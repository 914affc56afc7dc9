"""What a file of accounts looks like inside, and how an older one becomes a newer one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from querybudget.errors import SetupError

__all__ = ["APPLICATION", "MIGRATIONS", "Migration", "bring_up", "version_of", "write_ahead"]

APPLICATION = 0x51424754
"""`application_id` of a file of accounts: ``QBGT``."""

Migration = tuple[str, ...]
"""Statements that make version n + 1 of version n."""

MIGRATIONS: tuple[Migration, ...] = (
    (
        # known: whether a call of theirs was ever answered. seen, expires: µs. books: an Account.
        """CREATE TABLE accounts (
            key TEXT NOT NULL UNIQUE,
            known INTEGER NOT NULL,
            seen INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            books BLOB NOT NULL
        )""",
        "CREATE INDEX accounts_by_seen ON accounts (known, seen)",
        "CREATE INDEX accounts_by_expires ON accounts (expires)",
        # Counting rows walks them all; so they are counted as they come and go.
        "CREATE TABLE counts (known INTEGER PRIMARY KEY, total INTEGER NOT NULL)",
        "INSERT INTO counts VALUES (0, 0), (1, 0)",
        """CREATE TRIGGER accounts_added AFTER INSERT ON accounts BEGIN
            UPDATE counts SET total = total + 1 WHERE known = NEW.known;
        END""",
        """CREATE TRIGGER accounts_removed AFTER DELETE ON accounts BEGIN
            UPDATE counts SET total = total - 1 WHERE known = OLD.known;
        END""",
        """CREATE TRIGGER accounts_moved AFTER UPDATE OF known ON accounts BEGIN
            UPDATE counts SET total = total - 1 WHERE known = OLD.known;
            UPDATE counts SET total = total + 1 WHERE known = NEW.known;
        END""",
    ),
)
"""From an empty file to the present version, which is their number. Never change one that was
released: add the next."""


def version_of(connection: sqlite3.Connection) -> int:
    """The schema's version that a file is of; 0 for an empty file."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def bring_up(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Make a file's schema the present one, all of it or nothing.

    Args:
        connection: To the file, in autocommit mode and outside a transaction.
        path: The file.
        migrations: From an empty file to the present version.

    Raises:
        SetupError: The file is of a later version, or holds something else. It is left as it is.
        sqlite3.Error: It cannot be read or written.
    """
    connection.execute("BEGIN")  # so that all that is looked at is of one moment
    try:
        if _check(connection, path, len(migrations)) == len(migrations):
            return
    finally:
        connection.rollback()
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded while there is no table
    connection.execute("BEGIN EXCLUSIVE")
    try:
        version = _check(connection, path, len(migrations))  # another process may have been first
        if not version:
            _drop_leftovers(path)
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()


def write_ahead(connection: sqlite3.Connection, path: Path) -> None:
    """Let who reads wait for nobody, and sync nothing at each call.

    What a crash of the machine, not of a process, may lose is the last moments' use.

    Raises:
        SetupError: The file system cannot do it.
        sqlite3.Error: The file cannot be read or written.
    """
    mode = _journal(connection)
    if mode != "wal":
        raise SetupError(
            f"SQLite file {path} is on a file system where processes cannot share memory: expected "
            f"journal mode 'wal', found {mode!r}. Name a file on a local disk"
        )
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_SIZE}")


def _journal(connection: sqlite3.Connection) -> str:
    """The kind of journal there is, after asking for a write-ahead log."""
    while True:
        try:
            mode: str = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        else:
            return mode
        # Unlike other statements, that one may fail at once: wait in one that does not, and that
        # fails in its turn where the lock is never given up.
        connection.execute("BEGIN EXCLUSIVE")
        connection.rollback()


def _check(connection: sqlite3.Connection, path: Path, present: int) -> int:
    """The version of a file that is ours or empty."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    version = version_of(connection)
    if application != APPLICATION and (application or tables or version):
        raise SetupError(
            f"SQLite file {path} is the database of another program: expected a file written "
            f"by querybudget or none, found application_id {application} and {tables} tables and "
            "indices. The file was not changed; name another one"
        )
    if version > present:
        raise SetupError(
            f"SQLite file {path} was written by a later version of querybudget: expected schema "
            f"{present} or older, found {version}. Install that version again, or name another "
            "file to start with empty accounts"
        )
    return version


def _drop_leftovers(path: Path) -> None:
    """Remove what lies beside a file that was deleted: it is no part of the new one.

    The lock on the new file, still empty, is held: nobody uses what would be beside it.
    """
    for ending in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).unlink()


_LOG_SIZE = 4 * 2**20
"""Bytes to which the write-ahead log shrinks again after it was written back."""
