"""`LimitsStore`: any storage of the `limits` package.

store.py     the store
counters.py  a sliding window as two counters
storages.py  opening a storage by its URL
"""

from __future__ import annotations

from querybudget.stores.limits.store import LimitsStore

__all__ = ["LimitsStore"]
