"""The examples of docs/testing.md, run as its reader would: by pytest, in a folder of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCK = re.compile(r"^```(python|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_examples_pass_in_a_downstream_suite(pytester: pytest.Pytester) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    policies = [code for language, code in blocks if language == "yaml"]
    for name, policy in zip(("with_tests", "policy", "breadth"), policies, strict=True):
        (pytester.path / f"{name}.yaml").write_text(policy)
    pytester.makepyfile("\n".join(code for language, code in blocks if language == "python"))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    # Its own, and the contract that a store of the reader's own inherits.
    assert outcomes.keys() <= {"passed", "skipped"}
    assert outcomes["passed"] > 9 + 100


def test_the_fixtures_share_one_clock_and_one_capture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        BUDGETS = [{"name": "rpm", "limit": "1 requests/minute"}]

        def test_it(querybudget_clock, querybudget_limiter, querybudget_decisions):
            one = querybudget_limiter({"version": 1, "budgets": BUDGETS})
            assert one.clock is querybudget_clock
            assert len(querybudget_decisions) == 0
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


POLICY_WITH_TESTS = """
budgets: [{name: rpm, limit: 1 requests/minute}]
tests:
  - name: a second call waits
    calls: [{caller: alice, times: 2, expect: {admitted: 1, refused: 1, by: rpm}}]
  - name: a second call passes
    calls: [{caller: alice, times: 2, expect: admitted}]
"""


def test_the_tests_of_a_policy_are_pytest_s_own(pytester: pytest.Pytester) -> None:
    (pytester.path / "policy.yaml").write_text(POLICY_WITH_TESTS)
    pytester.makeini("[pytest]\nquerybudget_policy = policy.yaml\ntestpaths = tests")
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests/test_app.py").write_text("def test_app(): pass")

    def run(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)

    whole = run("-v")
    whole.assert_outcomes(passed=2, failed=1)
    whole.stdout.fnmatch_lines(
        [
            "policy.yaml::a second call waits PASSED*",
            "policy.yaml:7: expected 2 calls of alice admitted, found 1: 1 admitted; 1 refused by*",
        ]
    )
    run("tests").assert_outcomes(passed=1)
    run("-k", "waits").assert_outcomes(passed=1, deselected=2)
    (pytester.path / "policy.yaml").write_text("budgets: [{name: rpm, limt: 1/minute}]")
    wrong = run("policy.yaml")
    wrong.assert_outcomes(errors=1)
    wrong.stdout.fnmatch_lines(["*policy.yaml:1: expected*found `limt` (did you mean `limit`?)*"])
