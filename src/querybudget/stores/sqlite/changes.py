"""What operators have changed, as rows: overrides and the audit log."""

from __future__ import annotations

import sqlite3

from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.stores.operators import (
    AUDITED,
    MAX_OVERRIDES,
    SWEPT,
    listed,
    new_version,
    packed,
    unpacked,
    unpacked_audit,
)
from querybudget.stores.sqlite.rows import MAX_INTEGER

_SET = "INSERT OR REPLACE INTO overrides (id, until, entry) VALUES (?, ?, ?)"
_SWEEP = """DELETE FROM overrides WHERE id IN
    (SELECT id FROM overrides WHERE until <= ? ORDER BY until LIMIT ?)"""
_OTHERS = "SELECT count(*) FROM overrides WHERE id != ?"
_NOTE = "INSERT INTO audit (entry) VALUES (?)"
_TRIM = "DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?"
_LAST = "SELECT entry FROM audit ORDER BY number DESC LIMIT ?"


def read_overrides(connection: sqlite3.Connection, version: str, now: int) -> Overrides | None:
    """Return all overrides, or None if their version is `version`, in a transaction."""
    found: str = connection.execute("SELECT version FROM overrides_version").fetchone()[0]
    if found == version:
        return None
    rows = connection.execute("SELECT entry FROM overrides")
    return listed(found, (unpacked(entry) for (entry,) in rows), now)


def set_override(
    connection: sqlite3.Connection, entry: Override, audit: AuditEntry | None, now: int
) -> bool:
    """Add or replace an override, and note it if there is an entry. Return False if too many."""
    connection.execute(_SWEEP, (now, SWEPT))
    if connection.execute(_OTHERS, (entry.id,)).fetchone()[0] >= MAX_OVERRIDES:
        return False
    connection.execute(_SET, (entry.id, entry.until or MAX_INTEGER, packed(entry)))
    _changed(connection)
    if audit is not None:
        note(connection, audit)
    return True


def remove_override(connection: sqlite3.Connection, name: str, audit: AuditEntry | None) -> bool:
    """Remove an override, and note it if there is an entry. Return whether there was one."""
    if not connection.execute("DELETE FROM overrides WHERE id = ?", (name,)).rowcount:
        return False
    _changed(connection)
    if audit is not None:
        note(connection, audit)
    return True


def note(connection: sqlite3.Connection, audit: AuditEntry) -> None:
    """Add an entry to the audit log, and drop the oldest."""
    connection.execute(_NOTE, (packed(audit),))
    connection.execute(_TRIM, (AUDITED,))


def read_audit(connection: sqlite3.Connection, limit: int) -> tuple[AuditEntry, ...]:
    """Return the last entries of the audit log, newest first."""
    rows = connection.execute(_LAST, (max(0, limit),))
    return tuple(unpacked_audit(entry) for (entry,) in rows)


def _changed(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE overrides_version SET version = ?", (new_version(),))
