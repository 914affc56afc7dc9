"""`LimitsStore`: any storage of the `limits` package.

store.py     LimitsStore
counters.py  a quota as counters of a `limits` storage
storages.py  opening a storage by its URL
"""

from __future__ import annotations

from querybudget.stores.limits.store import LimitsStore

__all__ = ["LimitsStore"]
