from __future__ import annotations

from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock
from querybudget.testing.contracts import StoreConcurrency
from querybudget.testing.contracts.concurrency import Place


class TestMemoryStoreConcurrently(StoreConcurrency):
    def place(self) -> Place:
        return lambda: MemoryStore(ManualClock())
