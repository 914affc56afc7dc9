from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

WHOLE_RUNS = frozenset({"result", "tiny"})


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark as slow what looks at a whole run of a benchmark."""
    if WHOLE_RUNS.intersection(getattr(item, "fixturenames", ())):
        item.add_marker("slow")


@pytest.fixture(autouse=True)
def _log_again() -> Iterator[None]:
    """Undo what a benchmark does to the log of its process."""
    yield
    logging.getLogger("querybudget").setLevel(logging.NOTSET)
