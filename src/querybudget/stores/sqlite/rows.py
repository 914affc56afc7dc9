"""Accounts as rows: how they are read and written, how long they are kept, and who goes first."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import cast

import msgspec

from querybudget.coverage.buckets import BucketState
from querybudget.coverage.profile import LIFETIME
from querybudget.errors import StoreError
from querybudget.ledger import Account
from querybudget.ledger.windows import LeaseState
from querybudget.units import Quota

__all__ = ["Row", "bound", "expiry", "sweep"]

_LAST = 2**63 - 1
"""The latest moment that SQLite can hold."""

_STEP = 32
"""Rows put out in one step, so that no single call pays for all of them."""

_PAGES = 16
"""Pages given back to the file system in one step."""

_decoder = msgspec.msgpack.Decoder(Account)
_encoder = msgspec.msgpack.Encoder()


class Row:
    """One account in a transaction.

    Attributes:
        key: Its partition.
        account: What was found, or a new one.
        known: Whether a call of theirs was ever answered.
        new: Whether there was no row.
    """

    __slots__ = ("_expires", "_packed", "_seen", "account", "key", "known", "new")

    def __init__(self, key: str, found: tuple[int, int, int, bytes] | None, now: int) -> None:
        self.key = key
        self.new = found is None
        if found is None:
            self.account, self.known = Account(now), False
            self._seen, self._expires, self._packed = 0, 0, b""
            return
        known, self._seen, self._expires, self._packed = found
        self.known = bool(known)
        try:
            self.account = _decoder.decode(self._packed)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"the account of {key!r} cannot be read ({error}): `forget` resets it"
            ) from error

    @classmethod
    def load(cls, connection: sqlite3.Connection, key: str, now: int) -> Row:
        """The row of a partition; a new one that is not in the file yet if there is none."""
        return cls(key, connection.execute(_LOAD, (key,)).fetchone(), now)

    def save(self, connection: sqlite3.Connection, quotas: Iterable[Quota], now: int) -> None:
        """Write it, if it has changed.

        Args:
            connection: In a transaction.
            quotas: Those of its windows that are known now.
            now: µs.
        """
        packed = _pack(self.account)
        if packed == self._packed:
            return
        expires = expiry(self.account, quotas, self._expires, now)
        seen = max(self._seen, now)
        if self.new:
            connection.execute(_ADD, (self.key, seen, expires, packed))
        else:
            connection.execute(_KEEP, (seen, expires, packed, self.key))

    def promote(self, connection: sqlite3.Connection) -> None:
        """Make it known."""
        connection.execute("UPDATE accounts SET known = 1 WHERE key = ?", (self.key,))

    @staticmethod
    def remove(connection: sqlite3.Connection, key: str) -> bool:
        """Remove the row of a partition. True where there was one."""
        return connection.execute("DELETE FROM accounts WHERE key = ?", (key,)).rowcount > 0


def expiry(account: Account, quotas: Iterable[Quota], before: int, now: int) -> int:
    """The moment from which an account says no more than a new one does, or later; µs.

    Args:
        account: The account.
        quotas: Those of its windows that are known now. How long others matter was found when they
            were, and is in `before`.
        before: What was found before; 0 for a new account.
        now: µs.
    """
    windows = account.windows
    latest, unknown = max(account.open.values(), default=now), set(windows)
    for quota in quotas:
        window = windows.get(quota.key)
        if window is None:
            continue
        unknown.discard(quota.key)
        if type(window) is LeaseState:
            latest = max(latest, *window.open.values(), now)
        elif type(window) is BucketState:
            if not window.blank:
                latest = max(latest, (window.head + 1) * quota.slot + quota.window)
        else:
            window.room(quota, now)
            latest = max(latest, now + window.reset(quota, now))
    if account.profile is not None and account.profile.queries:
        # By then its score has fallen to nothing, and its sketch would be begun anew.
        latest = max(latest, now + LIFETIME)
    if any(not windows[key].blank for key in unknown):
        latest = max(latest, before)
    return min(latest, _LAST)


def sweep(connection: sqlite3.Connection, now: int, rows: int = _STEP) -> None:
    """Remove some of the rows that do not matter any more, and make the file smaller.

    Args:
        connection: In a transaction.
        now: µs.
        rows: How many at most.
    """
    connection.execute(_SWEEP, (now, rows))
    free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, _PAGES)):  # sqlite3 takes one step of this statement, so one page
        connection.execute("PRAGMA incremental_vacuum(1)").fetchall()


def bound(connection: sqlite3.Connection, most: int, now: int) -> int:
    """Put out some rows where there are too many.

    Those that do not matter any more go first, then those who were never answered, then who was
    seen least recently. A tenth is never filled by those who were answered, so that there is
    always room to become one of them.

    Args:
        connection: In a transaction.
        most: Rows that may stay.
        now: µs.

    Returns:
        How many were put out who had been answered.
    """
    room = most - most // 10
    newcomers, known = _counts(connection)
    if newcomers + known > most or known > room:
        sweep(connection, now)
        newcomers, known = _counts(connection)
    excess = newcomers + min(known, room) - most
    if excess > 0:
        _put_out(connection, known=False, rows=min(excess, _STEP))
    if known <= room:
        return 0
    return _put_out(connection, known=True, rows=min(known - room, _STEP))


def _put_out(connection: sqlite3.Connection, *, known: bool, rows: int) -> int:
    return connection.execute(_PUT_OUT, (known, rows)).rowcount


def _counts(connection: sqlite3.Connection) -> Sequence[int]:
    found: list[tuple[int]] = connection.execute(_COUNTS).fetchall()
    return [total for (total,) in found]


def _pack(account: Account) -> bytes:
    try:
        return _encoder.encode(account)
    except OverflowError:  # a debt so large that it is paid after the end of all clocks
        return _encoder.encode(_clamped(msgspec.to_builtins(account)))


def _clamped(value: object) -> object:
    """The same, with nothing beyond the latest moment."""
    if isinstance(value, dict):
        parts = cast("dict[object, object]", value)
        return {key: _clamped(part) for key, part in parts.items()}
    if isinstance(value, list):
        return [_clamped(part) for part in cast("list[object]", value)]
    return min(value, _LAST) if isinstance(value, int) else value


_LOAD = "SELECT known, seen, expires, books FROM accounts WHERE key = ?"
_ADD = "INSERT INTO accounts (key, known, seen, expires, books) VALUES (?, 0, ?, ?, ?)"
_KEEP = "UPDATE accounts SET seen = ?, expires = ?, books = ? WHERE key = ?"
_SWEEP = """DELETE FROM accounts WHERE rowid IN
    (SELECT rowid FROM accounts WHERE expires <= ? ORDER BY expires LIMIT ?)"""
_PUT_OUT = """DELETE FROM accounts WHERE rowid IN
    (SELECT rowid FROM accounts WHERE known = ? ORDER BY seen, rowid LIMIT ?)"""
_COUNTS = "SELECT total FROM counts ORDER BY known"
