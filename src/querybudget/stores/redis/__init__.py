"""Accounts in Redis or Valkey: one script for each operation, as exact as the ledger.

store.py           the store, and charges that got no reply
single_server.py   operations where all accounts are on one server: one script each
cluster.py         operations across several masters: reserve and compensate
coverage.py        profiles, updated by clients with compare-and-set
connection.py      connections and pipelining
scripts.py         the scripts, assembled from the files of lua/
codec.py           the binary layout of calls, replies and accounts
"""

from __future__ import annotations

from querybudget.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
