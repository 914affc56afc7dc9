from __future__ import annotations

import pytest

from querybudget.stores import Clock, MemoryStore, Store
from querybudget.testing.contracts import StoreMachine

pytestmark = pytest.mark.slow


class MemoryMachine(StoreMachine):
    def make_store(self, clock: Clock) -> Store:
        return MemoryStore(clock)


TestMemoryMachine = MemoryMachine.TestCase
