"""The pytest plugin: three fixtures, each of which imports what it needs when a test uses it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from querybudget.limiter import Limiter, PromptAnalyzer
    from querybudget.limiter.limiter import Sleep
    from querybudget.policy.model import Policy
    from querybudget.testing.clock import ManualClock
    from querybudget.testing.decisions import Decisions


class MakeLimiter(Protocol):
    """The type of the fixture ``querybudget_limiter``: makes a limiter from a policy."""

    def __call__(
        self,
        policy: Policy | Mapping[str, Any] | str | os.PathLike[str],
        *,
        analyzer: PromptAnalyzer | None = None,
        sleep: Sleep | None = None,
    ) -> Limiter:
        """Make one; the arguments are those of `memory_limiter`."""
        ...


@pytest.fixture
def querybudget_clock() -> ManualClock:
    """Return the clock of this test, which stands still until the test moves it."""
    from querybudget.testing.clock import ManualClock  # noqa: PLC0415 - loaded when used

    return ManualClock()


@pytest.fixture
def querybudget_decisions() -> Decisions:
    """Return the events of the limiters that `querybudget_limiter` made in this test."""
    from querybudget.testing.decisions import Decisions  # noqa: PLC0415 - loaded when used

    return Decisions()


@pytest.fixture
def querybudget_limiter(
    querybudget_clock: ManualClock, querybudget_decisions: Decisions
) -> MakeLimiter:
    """Return a function that makes limiters in memory, with this test's clock and decisions."""
    from querybudget.testing.limiter import memory_limiter  # noqa: PLC0415 - loaded when used

    return partial(memory_limiter, clock=querybudget_clock, hooks=[querybudget_decisions])
