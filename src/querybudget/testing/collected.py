"""The tests of a policy as pytest's own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from querybudget.errors import PolicyError
from querybudget.policy.model import Policy
from querybudget.policy.scenario import Scenario
from querybudget.testing.scenarios import ScenarioResult, run_scenario


class PolicyFile(pytest.File):
    """A policy whose tests pytest runs."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the policy's tests.

        Raises:
            CollectError: The policy is wrong, or carries no tests.
        """
        try:
            policy = Policy.load(self.path)
        except PolicyError as error:
            raise self.CollectError(str(error)) from None
        if not policy.tests:
            raise self.CollectError(f"{self.path} carries no tests: add some as `tests`")
        for scenario in policy.tests:
            item: pytest.Item = PolicyItem.from_parent(  # pyright: ignore[reportUnknownMemberType] - pytest leaves its arguments untyped
                self, name=scenario.name, policy=policy, scenario=scenario
            )
            yield item


class ScenarioError(AssertionError):
    """A policy does not do what one of its tests expects."""

    def __init__(self, result: ScenarioResult) -> None:
        super().__init__(str(result))
        self.result = result


class PolicyItem(pytest.Item):
    """One test of a policy."""

    def __init__(self, *, policy: Policy, scenario: Scenario, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._policy = policy
        self._scenario = scenario

    def runtest(self) -> None:
        """Run it.

        Raises:
            ScenarioError: Something is not as expected.
        """
        result = run_scenario(self._policy, self._scenario)
        if not result.passed:
            raise ScenarioError(result)

    def repr_failure(
        self,
        excinfo: pytest.ExceptionInfo[BaseException],
        style: object = None,  # noqa: ARG002 - pytest gives it
    ) -> str:
        """Return what was expected and what was found."""
        if not isinstance(excinfo.value, ScenarioError):
            return str(super().repr_failure(excinfo))
        name = os.path.relpath(self.path, self.config.invocation_params.dir)
        return "\n".join(
            f"{name}:{failure.line}: {failure}" for failure in excinfo.value.result.failures
        )

    def reportinfo(self) -> tuple[os.PathLike[str], int, str]:
        """Return where it is written, and its name."""
        return self.path, self._scenario.line - 1, self.name
