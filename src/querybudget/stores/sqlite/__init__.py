"""`SqliteStore`: accounts in a file that the processes of one host share."""

from __future__ import annotations

from querybudget.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
