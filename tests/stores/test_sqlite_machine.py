from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from querybudget.stores import Clock, Store
from querybudget.stores.sqlite.store import SqliteStore
from querybudget.testing.contracts import StoreMachine

pytestmark = pytest.mark.slow


class SqliteMachine(StoreMachine):
    examples = 30

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    def make_store(self, clock: Clock) -> Store:
        return SqliteStore(Path(self.folder.name) / "budgets.db", clock)

    def reopen_store(self, clock: Clock) -> Store:
        return self.make_store(clock)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestSqliteMachine = SqliteMachine.TestCase
