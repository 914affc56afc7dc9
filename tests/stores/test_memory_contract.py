from __future__ import annotations

from querybudget.stores import Clock, MemoryStore, Store
from querybudget.testing.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    def make_store(self, clock: Clock) -> Store:
        return MemoryStore(clock)
