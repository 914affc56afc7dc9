"""The report of a store."""

from __future__ import annotations

import msgspec


class StoredAccount(msgspec.Struct, frozen=True):
    """One account of a store, as far as a picture needs it."""

    ground: int
    score: int
