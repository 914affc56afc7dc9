"""The pytest plugin: three fixtures. It imports what they need only when one is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from querybudget.limiter import Limiter, PromptAnalyzer
    from querybudget.policy.model import Policy
    from querybudget.testing.clock import ManualClock
    from querybudget.testing.decisions import Decisions

__all__ = ["MakeLimiter", "querybudget_clock", "querybudget_decisions", "querybudget_limiter"]


class MakeLimiter(Protocol):
    """What the fixture ``querybudget_limiter`` is: makes a limiter from a policy."""

    def __call__(
        self,
        policy: Policy | Mapping[str, Any] | str | os.PathLike[str],
        *,
        analyzer: PromptAnalyzer | None = None,
    ) -> Limiter:
        """Make one; `analyzer` looks at what calls ask, a `FakeAnalyzer` for example."""
        ...


@pytest.fixture
def querybudget_clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    from querybudget.testing.clock import ManualClock  # noqa: PLC0415 - only when asked for

    return ManualClock()


@pytest.fixture
def querybudget_decisions() -> Decisions:
    """What the limiters of `querybudget_limiter` decided in this test."""
    from querybudget.testing.decisions import Decisions  # noqa: PLC0415 - only when asked for

    return Decisions()


@pytest.fixture
def querybudget_limiter(
    querybudget_clock: ManualClock, querybudget_decisions: Decisions
) -> MakeLimiter:
    """Make a limiter in memory from a policy, with this test's clock and decisions."""
    from querybudget.testing.limiter import memory_limiter  # noqa: PLC0415 - only when asked for

    def make(
        policy: Policy | Mapping[str, Any] | str | os.PathLike[str],
        *,
        analyzer: PromptAnalyzer | None = None,
    ) -> Limiter:
        return memory_limiter(
            policy, clock=querybudget_clock, hooks=[querybudget_decisions], analyzer=analyzer
        )

    return make
