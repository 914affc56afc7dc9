from __future__ import annotations

import pytest

WHOLE_RUNS = frozenset({"result", "tiny"})


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark as slow what looks at a whole run of a benchmark."""
    if WHOLE_RUNS.intersection(getattr(item, "fixturenames", ())):
        item.add_marker("slow")
