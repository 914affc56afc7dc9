"""Accounts as rows: reading, writing, expiry and eviction."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

import msgspec

from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import LIFETIME, Group
from querybudget.errors import StoreError
from querybudget.ledger import GRACE, Account, Standing
from querybudget.ledger.windows import LeaseState, State
from querybudget.stores.accounts import SEPARATOR, AccountRecord
from querybudget.units import Quota

MAX_INTEGER = 2**63 - 1
"""The latest moment that SQLite can hold, µs."""

MAX_REMOVED = 32
"""Rows removed at a time, so that no single call pays for all of them."""

LOOKED_AT = 5_000
"""Keys that are looked at for one page of some accounts: calls wait for the thread meanwhile."""

MAX_PAGES = 16
"""Pages returned to the file system at a time."""

_LIST = """SELECT key, known, seen, expires, books FROM accounts
    WHERE key > ? AND key <= ? AND instr('|' || key || '|', ?) ORDER BY key LIMIT ?"""
_LIST_ALL = """SELECT key, known, seen, expires, books FROM accounts
    WHERE key > ? ORDER BY key LIMIT ?"""
_AS_FAR_AS = "SELECT key FROM accounts WHERE key > ? ORDER BY key LIMIT 1 OFFSET ?"
_LAST = "SELECT max(key) FROM accounts"
_SELECT = "SELECT known, seen, expires, books FROM accounts WHERE key = ?"
_INSERT = "INSERT INTO accounts (key, known, seen, expires, books) VALUES (?, ?, ?, ?, ?)"
_UPDATE = "UPDATE accounts SET seen = ?, expires = ?, books = ? WHERE key = ?"
_SWEEP = """DELETE FROM accounts WHERE rowid IN
    (SELECT rowid FROM accounts WHERE expires <= ? ORDER BY expires LIMIT ?)"""
_EVICT = """DELETE FROM accounts WHERE rowid IN
    (SELECT rowid FROM accounts WHERE known = ? ORDER BY seen, rowid LIMIT ?)"""
_COUNTS = "SELECT total FROM counts ORDER BY known"
_COUNT_INVENTED = "SELECT count(*) FROM accounts WHERE known = 2"
_PROMOTE = "UPDATE accounts SET known = 1 WHERE key = ?"
_DELETE = "DELETE FROM accounts WHERE key = ?"

logger = logging.getLogger("querybudget")

T = TypeVar("T")
_NEWCOMER, _KNOWN, _INVENTED = range(3)


class Wanted(msgspec.Struct, frozen=True):
    """Which accounts a page is to have: `part` and `begins` of `Administers.accounts`."""

    part: str = ""
    begins: bool = False


class _PackedAccount(msgspec.Struct, array_like=True, frozen=True):
    """An account whose profile and windows are not read yet."""

    since: int
    windows: dict[str, msgspec.Raw]
    open: dict[str, int]
    profile: msgspec.Raw
    seen: int = 0
    tier: str = ""


_decoder = msgspec.msgpack.Decoder(Account)
_packed_account = msgspec.msgpack.Decoder(_PackedAccount)
_window: msgspec.msgpack.Decoder[State] = msgspec.msgpack.Decoder(State)
_profile: msgspec.msgpack.Decoder[CallerProfile | Group] = msgspec.msgpack.Decoder(
    CallerProfile | Group
)
_encoder = msgspec.msgpack.Encoder()


class AccountRow:
    """One account in a transaction.

    Attributes:
        key: The partition.
        account: The stored account, or a new one.
        known: Whether it is off probation, or needs none: its caller was verified, or what calls
            say made it.
        new: Whether there is no row yet.
    """

    __slots__ = ("_expires", "_packed", "_seen", "account", "key", "known", "new")

    def __init__(self, key: str, row: tuple[int, int, int, bytes] | None, now: int) -> None:
        self.key = key
        self.new = row is None
        if row is None:
            self.account, self.known = Account(now), False
            self._seen, self._expires, self._packed = 0, 0, b""
            return
        known, self._seen, self._expires, self._packed = row
        self.known = bool(known)
        try:
            self.account = _unpack(self._packed)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"the account of {key!r} cannot be read ({error}): `forget` resets it"
            ) from error

    @classmethod
    def load(cls, connection: sqlite3.Connection, key: str, now: int) -> AccountRow:
        """Return the row of a partition, or a new one that is not in the file yet."""
        return cls(key, connection.execute(_SELECT, (key,)).fetchone(), now)

    def save(
        self,
        connection: sqlite3.Connection,
        quotas: Iterable[Quota],
        now: int,
        standing: Standing = Standing.CALLER,
    ) -> None:
        """Write the account if it has changed.

        Args:
            connection: In a transaction.
            quotas: The quotas of its windows, as far as they are known now.
            now: µs.
            standing: Who can make it, if it is new.
        """
        packed = _pack(self.account)
        if packed == self._packed:
            return
        expires = expiry(self.account, quotas, self._expires, now)
        if self.known:
            seen = max(self._seen, now)
        else:  # those with open calls are evicted last: a flood must not lose their charges
            seen = max(now, max(self.account.open.values(), default=0) - GRACE)
        if self.new:
            kind = _kind(self.account, standing)
            connection.execute(_INSERT, (self.key, kind, seen, expires, packed))
        else:
            connection.execute(_UPDATE, (seen, expires, packed, self.key))

    def promote(self, connection: sqlite3.Connection) -> None:
        connection.execute(_PROMOTE, (self.key,))

    @staticmethod
    def remove(connection: sqlite3.Connection, key: str) -> bool:
        return connection.execute(_DELETE, (key,)).rowcount > 0


def expiry(account: Account, quotas: Iterable[Quota], before: int, now: int) -> int:
    """Return a moment in µs from which an account says no more than a new one would.

    Args:
        account: The account.
        quotas: The quotas of its windows, as far as they are known now. How long its other windows
            matter was computed when they were last known, and is part of `before`.
        before: The account's last expiry; 0 for a new account.
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
        else:
            window.room(quota, now)
            latest = max(latest, now + window.reset(quota, now))
    if account.profile is not None and not account.profile.blank:
        # By then its score has fallen to 0, and it would start again.
        latest = max(latest, now + LIFETIME)
    if any(not windows[key].blank for key in unknown):
        latest = max(latest, before)
    return min(latest, MAX_INTEGER)


def read_page(
    connection: sqlite3.Connection, after: str, limit: int, wanted: Wanted
) -> tuple[list[AccountRecord], str]:
    """Return the accounts whose keys come next, in a transaction, and the last key looked at.

    That is empty at the end. An account that cannot be read is empty.

    Args:
        connection: In a transaction.
        after: The key before.
        limit: How many.
        wanted: Which.
    """
    if not wanted.part:
        records = _records(connection.execute(_LIST_ALL, (after, limit)))
        return records, records[-1].partition if len(records) == limit else ""
    if SEPARATOR in wanted.part:
        return [], ""  # it is no part, but several
    further = connection.execute(_AS_FAR_AS, (after, LOOKED_AT - 1)).fetchone()
    last: str = (further or connection.execute(_LAST).fetchone())[0] or ""
    text = f"{SEPARATOR}{wanted.part}{'' if wanted.begins else SEPARATOR}"
    records = _records(connection.execute(_LIST, (after, last, text, limit)))
    if len(records) == limit:
        return records, records[-1].partition
    return records, last if further else ""


def _records(rows: Iterable[Sequence[Any]]) -> list[AccountRecord]:
    return [_record(key, row) for key, *row in rows]


def _record(key: str, row: Sequence[Any]) -> AccountRecord:
    known, seen, expires, packed = row
    try:
        account = AccountRow(key, (known, seen, expires, packed), 0).account
    except StoreError as error:
        logger.warning("one account is listed as empty: %s", error)
        account = Account()
    return AccountRecord(key, account, bool(known))


def sweep(connection: sqlite3.Connection, now: int, rows: int = MAX_REMOVED) -> None:
    """Remove some expired rows, and make the file smaller.

    Args:
        connection: In a transaction.
        now: µs.
        rows: Rows to remove, at most.
    """
    connection.execute(_SWEEP, (now, rows))
    free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, MAX_PAGES)):  # sqlite3 takes one step of this statement, so one page
        connection.execute("PRAGMA incremental_vacuum(1)").fetchall()


def evict(connection: sqlite3.Connection, limit: int, now: int) -> int:
    """Remove some rows if there are more than `limit`.

    Expired rows go first, then accounts on probation, those with open calls last, then known ones,
    the least recently used first. Known accounts never fill the last tenth, so that a newcomer can
    always become one of them.

    Args:
        connection: In a transaction.
        limit: Rows that may stay.
        now: µs.

    Returns:
        The number of known accounts removed.
    """
    known_limit = limit - limit // 10
    newcomers, known = _counts(connection)
    if newcomers + known > limit or known > known_limit:
        sweep(connection, now)
        newcomers, known = _counts(connection)
    _evict(connection, _NEWCOMER, newcomers + min(known, known_limit) - limit)
    return _evict(connection, _KNOWN, known - known_limit)


def evict_invented(connection: sqlite3.Connection, limit: int) -> None:
    """Remove some accounts of what calls say if there are more than `limit`, in a transaction."""
    total: int = connection.execute(_COUNT_INVENTED).fetchone()[0]
    _evict(connection, _INVENTED, total - limit)


def _evict(connection: sqlite3.Connection, kind: int, rows: int) -> int:
    if rows <= 0:
        return 0
    return connection.execute(_EVICT, (kind, min(rows, MAX_REMOVED))).rowcount


def _counts(connection: sqlite3.Connection) -> Sequence[int]:
    totals: list[tuple[int]] = connection.execute(_COUNTS).fetchall()
    return [total for (total,) in totals]


def _kind(account: Account, standing: Standing) -> int:
    """Return what a new account is. One without an open call gets no settlement to be known by."""
    if standing is Standing.INVENTED:
        return _INVENTED
    return _KNOWN if standing is Standing.FIXED and not account.open else _NEWCOMER


def _unpack(packed: bytes) -> Account:
    """Return an account; what another version of querybudget wrote in another form is left out."""
    try:
        return _decoder.decode(packed)
    except msgspec.ValidationError:
        account = _packed_account.decode(packed)
    windows = {key: _read(_window, raw) for key, raw in account.windows.items()}
    known = {key: window for key, window in windows.items() if window is not None}
    profile = _read(_profile, account.profile)
    return Account(account.since, known, account.open, profile, account.seen, account.tier)


def _read(decoder: msgspec.msgpack.Decoder[T], raw: msgspec.Raw) -> T | None:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def _pack(account: Account) -> bytes:
    try:
        return _encoder.encode(account)
    except OverflowError:  # a debt so large that it is paid beyond the latest moment
        return _encoder.encode(
            _clamped(msgspec.to_builtins(account, builtin_types=(bytes, bytearray)))
        )


def _clamped(value: object) -> object:
    """Return the value with no number beyond the latest moment."""
    if isinstance(value, dict):
        parts = cast("dict[object, object]", value)
        return {key: _clamped(part) for key, part in parts.items()}
    if isinstance(value, list):
        return [_clamped(part) for part in cast("list[object]", value)]
    return min(value, MAX_INTEGER) if isinstance(value, int) else value
