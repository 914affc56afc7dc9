from __future__ import annotations

from querybudget.stores import Clock, MemoryStore, Store
from querybudget.testing.contracts import StoreMachine


class MemoryMachine(StoreMachine):
    def make_store(self, clock: Clock) -> Store:
        return MemoryStore(clock)


TestMemoryMachine = MemoryMachine.TestCase
