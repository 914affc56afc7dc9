from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from querybudget.testing.contracts import StoreConcurrency

pytest_plugins = ["tests.servers.fixtures"]

# A loaded machine draws examples slowly. That is no fault of a test, so no profile fails for it.
# Hypothesis has defaults of its own where CI is set; these do not depend on them.
_UNTIMED = settings(deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow])

# `make quick` takes the first; the other two are chosen here. CI draws the same examples in every
# run, so more of them would cost time in each and find something once.
settings.register_profile("quick", _UNTIMED, max_examples=10)
settings.register_profile("local", _UNTIMED, max_examples=50)
settings.register_profile("ci", _UNTIMED, max_examples=50, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the store contract's tests with processes as slow: each process imports everything."""
    suite = getattr(item, "cls", None)
    if suite and issubclass(suite, StoreConcurrency) and "processes" in item.name:
        item.add_marker("slow")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
