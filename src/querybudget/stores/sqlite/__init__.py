"""`SqliteStore`: accounts in a file that the processes of one host share.

store.py    the store
file.py     opening the file, transactions, and what its errors mean
rows.py     reading and writing accounts, expiry and eviction
schema.py   tables and migrations
worker.py   the thread that runs transactions; forks
"""

from __future__ import annotations

from querybudget.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
