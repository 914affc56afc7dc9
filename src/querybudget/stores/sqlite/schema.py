"""The tables of a file of accounts, and the migrations between their versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from querybudget.errors import SetupError

APPLICATION = 0x51424754
"""`application_id` of a file of accounts: ``QBGT``."""

LOG_SIZE = 4 * 2**20
"""Bytes to which the write-ahead log shrinks after it is written back."""

Migration = tuple[str, ...]
"""Statements that turn version n into version n + 1."""

MIGRATIONS: tuple[Migration, ...] = (
    (
        # known: 0 on probation, 1 known, 2 of what calls say, which `counts` leaves out.
        # seen, expires: µs. On probation, `seen` is when open calls expire, if there are any.
        # books: an Account, packed.
        """CREATE TABLE accounts (
            key TEXT NOT NULL UNIQUE,
            known INTEGER NOT NULL,
            seen INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            books BLOB NOT NULL
        )""",
        "CREATE INDEX accounts_by_seen ON accounts (known, seen)",
        "CREATE INDEX accounts_by_expires ON accounts (expires)",
        # Counting rows reads them all, so triggers count them as they come and go.
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
    (
        # until: µs, the largest number for ever. entry: an Override or an AuditEntry, packed.
        """CREATE TABLE overrides (
            id TEXT NOT NULL PRIMARY KEY,
            until INTEGER NOT NULL,
            entry BLOB NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX overrides_by_until ON overrides (until)",
        "CREATE TABLE overrides_version (version TEXT NOT NULL)",
        "INSERT INTO overrides_version VALUES ('none')",  # NO_OVERRIDES
        """CREATE TABLE audit (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            entry BLOB NOT NULL
        )""",
    ),
)
"""From an empty file to the current version, which is their number. Never change a released one:
add the next."""


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a file's schema; 0 for an empty file."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Migrate a file to the current schema, completely or not at all.

    Args:
        connection: To the file, in autocommit mode and outside a transaction.
        path: The file.
        migrations: From an empty file to the current version.

    Raises:
        SetupError: A later version wrote the file, or another program. It is left as it is.
        sqlite3.Error: The file cannot be read or written.
    """
    connection.execute("BEGIN")  # so that all checks see the same state
    try:
        if _check(connection, path, len(migrations)) == len(migrations):
            return
    finally:
        connection.rollback()
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # no effect after the first table
    connection.execute("BEGIN EXCLUSIVE")
    try:
        version = _check(connection, path, len(migrations))  # another process may have migrated it
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


def use_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    """Let readers wait for no writer, and sync the file at no call.

    A crash of the machine, but not of a process, may lose the last moments' use.

    Raises:
        SetupError: The file system does not support it.
        sqlite3.Error: The file cannot be read or written.
    """
    mode = _journal(connection)
    if mode != "wal":
        raise SetupError(
            f"SQLite file {path} is on a file system where processes cannot share memory: expected "
            f"journal mode 'wal', found {mode!r}. Name a file on a local disk"
        )
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_SIZE}")
    connection.execute("PRAGMA secure_delete = ON")  # what is forgotten is not in the file


def _journal(connection: sqlite3.Connection) -> str:
    """Ask for a write-ahead log, and return the mode of the journal."""
    while True:
        try:
            mode: str = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        else:
            return mode
        # That statement does not wait for a lock. The next one does, and fails if the lock is never
        # released.
        connection.execute("BEGIN EXCLUSIVE")
        connection.rollback()


def _check(connection: sqlite3.Connection, path: Path, current: int) -> int:
    """Return the version of a file that is ours or empty."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    version = version_of(connection)
    if application != APPLICATION and (application or tables or version):
        raise SetupError(
            f"SQLite file {path} is the database of another program: expected a file written "
            f"by querybudget or none, found application_id {application} and {tables} tables and "
            "indices. The file was not changed; name another one"
        )
    if version > current:
        raise SetupError(
            f"SQLite file {path} was written by a later version of querybudget: expected schema "
            f"{current} or older, found {version}. Install that version again, or name another "
            "file to start with empty accounts"
        )
    return version


def _drop_leftovers(path: Path) -> None:
    """Remove the log of a file that was deleted, which is no part of the new one.

    We hold the lock on the new, empty file, so no other process uses a log of it.
    """
    for ending in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).unlink()
