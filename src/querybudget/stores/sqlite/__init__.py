"""`SqliteStore`: accounts in a file that the processes of one host share.

store.py    SqliteStore
file.py     opening the file, its failures, and opening it anew
rows.py     reading and writing accounts
schema.py   tables and their versions
worker.py   the thread that speaks to SQLite; forks
"""

from __future__ import annotations

from querybudget.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
