"""What operators have changed, as stores keep it: overrides and the audit log, and their bounds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from itertools import islice

import msgspec

from querybudget.errors import SetupError
from querybudget.overrides import AuditEntry, Override, Overrides

AUDITED = 10_000
"""Entries of the audit log that a store keeps."""

MAX_OVERRIDES = 100_000
"""Overrides that a store keeps, those that have ended left out."""

LONGEST = 4_096
"""Bytes of one override or one entry of the audit log."""

SWEPT = 100
"""Overrides that have ended and are removed with each change, at most."""

NO_OVERRIDES = "none"
"""The version before the first change. An empty one would be that of a process that knows none."""

_encoder = msgspec.msgpack.Encoder()
_override = msgspec.msgpack.Decoder(Override)
_audit = msgspec.msgpack.Decoder(AuditEntry)


def new_version() -> str:
    """Return a version that no other state has, not even one of a store that lost its data."""
    return os.urandom(8).hex()


def packed(entry: Override | AuditEntry) -> bytes:
    """Return an entry as stores keep it.

    Raises:
        SetupError: It is too long, or a number is out of bounds.
    """
    try:
        found = _encoder.encode(entry)
    except (OverflowError, UnicodeEncodeError) as error:
        raise SetupError(f"expected numbers and texts that can be kept: {error}") from error
    if len(found) > LONGEST:
        raise SetupError(
            f"expected at most {LONGEST:,} bytes of names and reasons, found {len(found):,}"
        )
    return found


def check(*entries: Override | AuditEntry) -> None:
    """Raise what `packed` raises, for a store that keeps entries in another form."""
    for entry in entries:
        _ = packed(entry)


def unpacked(found: bytes) -> Override:
    """Return an override that a store has kept."""
    return _override.decode(found)


def unpacked_audit(found: bytes) -> AuditEntry:
    """Return an entry of the audit log that a store has kept."""
    return _audit.decode(found)


def listed(version: str, entries: Iterable[Override], now: int) -> Overrides:
    """Return overrides that have not ended, oldest first."""
    current = [entry for entry in entries if not ended(entry, now)]
    return Overrides(version, tuple(sorted(current, key=lambda entry: (entry.at, entry.id))))


def ended(entry: Override, now: int) -> bool:
    """Return True if an override has ended."""
    return 0 < entry.until <= now


def too_many() -> SetupError:
    """Return the error for one override too many."""
    return SetupError(
        f"expected at most {MAX_OVERRIDES:,} overrides: remove some, give them an end, or put them"
        " into the policy's `overrides`"
    )


class Changes:
    """Overrides and the audit log in the memory of one process."""

    def __init__(self) -> None:
        self._entries: dict[str, Override] = {}
        self._version = NO_OVERRIDES
        self._log = deque[AuditEntry](maxlen=AUDITED)
        self._sweep_at = SWEPT

    def overrides(self, version: str, now: int) -> Overrides | None:
        """As `Administers.overrides`."""
        if version == self._version:
            return None
        return listed(self._version, self._entries.values(), now)

    def override(self, entry: Override, audit: AuditEntry | None, now: int) -> None:
        """As `Administers.override`."""
        check(entry, *((audit,) if audit else ()))
        if len(self._entries) >= self._sweep_at:
            self._entries = {n: kept for n, kept in self._entries.items() if not ended(kept, now)}
            self._sweep_at = min(max(SWEPT, 2 * len(self._entries)), MAX_OVERRIDES)
        if len(self._entries) >= MAX_OVERRIDES and entry.id not in self._entries:
            raise too_many()
        self._entries[entry.id] = entry
        self._version = new_version()
        if audit is not None:
            self._log.append(audit)

    def remove(self, name: str, audit: AuditEntry | None) -> bool:
        """As `Administers.remove_override`."""
        if audit is not None:
            check(audit)
        if self._entries.pop(name, None) is None:
            return False
        self._version = new_version()
        if audit is not None:
            self._log.append(audit)
        return True

    def note(self, audit: AuditEntry) -> None:
        """As `Administers.note`."""
        check(audit)
        self._log.append(audit)

    def audit(self, limit: int) -> tuple[AuditEntry, ...]:
        """As `Administers.audit`."""
        return tuple(islice(reversed(self._log), max(0, limit)))
