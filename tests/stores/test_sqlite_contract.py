from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from querybudget.stores import Clock, Store
from querybudget.stores.sqlite.store import SqliteStore
from querybudget.testing.contracts import StoreContract


class TestSqliteStore(StoreContract):
    files: Iterator[Path]

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.files = (tmp_path / f"{index}.db" for index in count())

    def make_store(self, clock: Clock) -> Store:
        return SqliteStore(next(self.files), clock)
