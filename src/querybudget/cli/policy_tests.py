"""`querybudget test`: runs the tests that policies carry, for a terminal, as JSON, as JUnit XML."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from querybudget.errors import PolicyError, SetupError
from querybudget.policy.model import Policy
from querybudget.testing.scenario_checks import CallResult
from querybudget.testing.scenarios import ScenarioResult, run_scenario
from querybudget.text import listed, number, wait

_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'


class PolicyResults(msgspec.Struct, frozen=True):
    """What came of the tests of a policy.

    Attributes:
        policy: Its file.
        results: One for each test that was run.
        problems: Why the policy cannot be used; empty if it can.
    """

    policy: str
    results: tuple[ScenarioResult, ...] = ()
    problems: str = ""

    @property
    def failed(self) -> int:
        """Number of tests that failed; 1 if the policy cannot be used."""
        return sum(not result.passed for result in self.results) + bool(self.problems)


def run_tests(policies: Sequence[str], *, only: str, junit: str | None, as_json: bool) -> int:
    """Run the tests of policies and print what came of them.

    Args:
        policies: Files.
        only: Run tests whose name holds this.
        junit: File to write JUnit XML to; None for none.
        as_json: Whether to print JSON.

    Returns:
        The exit status: 0 if all passed, 1 if not or if there are none.

    Raises:
        SetupError: There is no such test, or the JUnit file cannot be written.
    """
    found = [_run(policy, only) for policy in policies]
    if only and not any(one.results or one.problems for one in found):
        raise SetupError(f"no test of {listed(policies)} has {only!r} in its name")
    if as_json:
        print(msgspec.json.format(msgspec.json.encode([_plain(one) for one in found])).decode())
    else:
        for line in _lines(found):
            print(line)
    if junit is not None:
        _write(Path(junit), _junit(found))
    untested = [one.policy for one in found if not (only or one.results or one.problems)]
    for name in untested:
        print(f"querybudget: {name} carries no tests: add some as `tests`", file=sys.stderr)
    return 1 if untested or any(one.failed for one in found) else 0


def _run(name: str, only: str) -> PolicyResults:
    try:
        policy = Policy.load(name)
    except PolicyError as error:
        return PolicyResults(name, problems=str(error))
    chosen = [scenario for scenario in policy.tests if only.lower() in scenario.name.lower()]
    return PolicyResults(name, tuple(run_scenario(policy, scenario) for scenario in chosen))


def _lines(found: Sequence[PolicyResults]) -> Iterator[str]:
    for one in found:
        if one.problems:
            yield one.problems
        for result in one.results:
            mark = "passed" if result.passed else "FAILED"
            yield f"{one.policy}:{result.scenario.line}: {mark}  {result.scenario.name}"
            yield from _failure_lines(one.policy, result)
    count = sum(len(one.results) for one in found)
    if not count:
        return  # what is wrong has been said, or is said of policies that carry none
    failed = sum(not result.passed for one in found for result in one.results)
    yield f"{count} {'test' if count == 1 else 'tests'}, {failed} failed"


def _failure_lines(policy: str, result: ScenarioResult) -> Iterator[str]:
    for failure in result.failures:
        yield f"  {policy}:{failure.line}:"
        yield f"    expected  {failure.expected}"
        yield f"    found     {failure.found}"


def _plain(one: PolicyResults) -> dict[str, Any]:
    return {
        "policy": one.policy,
        "problems": one.problems.splitlines(),
        "tests": [
            {
                "name": result.scenario.name,
                "line": result.scenario.line,
                "passed": result.passed,
                "failures": result.failures,
                "calls": [_plain_call(call) for call in result.calls],
            }
            for result in one.results
        ],
    }


def _plain_call(call: CallResult) -> dict[str, Any]:
    event = call.event
    return {
        "caller": call.caller,
        "at": wait(call.at),
        "decision": call.words,
        "status": call.status,
        "refused_by": list(event.violated) if event else [],
        "price": number(event.price) if event else 1,
        "charged": {name: number(one) for name, one in event.charged.items()} if event else {},
    }


def _junit(found: Sequence[PolicyResults]) -> bytes:
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - it is written, not read

    suites = ET.Element("testsuites")
    for one in found:
        count, failed = len(one.results) or bool(one.problems), one.failed
        about = {"name": one.policy, "tests": f"{count:d}", "failures": f"{failed:d}"}
        suite = ET.SubElement(suites, "testsuite", about)
        if one.problems:
            case = ET.SubElement(suite, "testcase", {"name": "policy", "classname": one.policy})
            ET.SubElement(case, "failure", {"message": "the policy is wrong"}).text = one.problems
        for result in one.results:
            name, line = result.scenario.name, f"{result.scenario.line}"
            about = {"name": name, "classname": one.policy, "file": one.policy, "line": line}
            case = ET.SubElement(suite, "testcase", about)
            for failure in result.failures:
                text = f"{one.policy}:{failure.line}: {failure}"
                ET.SubElement(case, "failure", {"message": str(failure)}).text = text
    return f"{_DECLARATION}{ET.tostring(suites, encoding='unicode')}\n".encode()


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SetupError(f"cannot write JUnit XML to {path}: {reason}") from None
