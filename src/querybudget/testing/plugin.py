"""The pytest plugin: three fixtures, and the tests that a policy carries.

Each imports what it needs when a test uses it. With ``querybudget_policy = "policy.yaml"`` in
pytest's configuration, each of the policy's tests is one of pytest's, named ``policy.yaml::NAME``.
They run with all other tests if pytest is given no path, and alone by ``pytest policy.yaml``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from querybudget.limiter import Limiter, PromptAnalyzer
    from querybudget.limiter.limiter import Sleep
    from querybudget.policy.model import Policy
    from querybudget.testing.clock import ManualClock
    from querybudget.testing.decisions import Decisions

POLICY = "querybudget_policy"
"""The option of pytest's configuration that names a policy; a list of lines names several."""


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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `POLICY`."""
    parser.addini(POLICY, "policy file whose `tests` are run", "string", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest collect the policy where it was given no paths itself."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args += [str(path) for path in _policies(config) if str(path) not in config.args]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the tests of a policy."""
    if file_path not in _policies(parent.config):
        return None
    from querybudget.testing.collected import PolicyFile  # noqa: PLC0415 - loaded when used

    file: PolicyFile = PolicyFile.from_parent(parent, path=file_path)  # pyright: ignore[reportUnknownMemberType] - pytest leaves its arguments untyped
    return file


def _policies(config: pytest.Config) -> list[Path]:
    lines = str(config.getini(POLICY)).splitlines()
    return [config.rootpath / line.strip() for line in lines if line.strip()]
