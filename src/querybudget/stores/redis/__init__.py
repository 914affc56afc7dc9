"""Accounts in Redis or Valkey: one script for each operation, as exact as the ledger."""

from __future__ import annotations

from querybudget.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
