"""What operators have changed, on a server: overrides and the audit log."""

from __future__ import annotations

import struct

from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.stores.operators import (
    AUDITED,
    MAX_OVERRIDES,
    NO_OVERRIDES,
    SWEPT,
    listed,
    new_version,
    packed,
    too_many,
    unpacked,
    unpacked_audit,
)
from querybudget.stores.redis import scripts
from querybudget.stores.redis.single_server import SingleServerOps

_BOUNDS = struct.Struct(">III")


class ChangeOps:
    """Keeps overrides and the audit log, in keys of one slot."""

    def __init__(self, single: SingleServerOps) -> None:
        self._single = single

    async def overrides(self, version: str) -> Overrides | None:
        """As `Administers.overrides`."""
        entries, _, name, _ = self._keys
        found, *rest = await self._single.connection.run(
            scripts.overrides(), [entries, name], version.encode(), NO_OVERRIDES.encode()
        )
        if not rest:
            return None
        return listed(found.decode(), map(unpacked, rest[0][1::2]), self._single.now())

    async def override(self, entry: Override, audit: AuditEntry | None) -> None:
        """As `Administers.override`."""
        until = str(entry.until).encode() if entry.until else b""
        if await self._run(audit, entry.id.encode(), packed(entry), until) == b"F":
            raise too_many()

    async def remove(self, name: str, audit: AuditEntry | None) -> bool:
        """As `Administers.remove_override`."""
        return await self._run(audit, name.encode(), b"", b"") == b"O"

    async def note(self, audit: AuditEntry) -> None:
        """As `Administers.note`."""
        await self._run(audit)

    async def audit(self, limit: int) -> tuple[AuditEntry, ...]:
        """As `Administers.audit`."""
        if limit < 1:
            return ()
        log = self._keys[3]
        found = await self._single.connection.execute("LRANGE", log, b"0", b"%d" % (limit - 1))
        return tuple(map(unpacked_audit, found))

    @property
    def _keys(self) -> list[bytes]:
        names = ("overrides", "ends", "version", "audit")
        return [self._single.operator_key(name) for name in names]

    async def _run(self, audit: AuditEntry | None, *change: bytes) -> bytes:
        bounds = _BOUNDS.pack(MAX_OVERRIDES, SWEPT, AUDITED)
        reply: bytes = await self._single.connection.run(
            scripts.override(),
            self._keys,
            self._single.packed_now(),
            new_version().encode(),
            bounds,
            b"" if audit is None else packed(audit),
            *change,
        )
        return reply
