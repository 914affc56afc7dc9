"""`querybudget test`: what it prints, what it writes, and its exit status."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from querybudget.cli.main import main

POLICY = """\
budgets:
  - {name: rpm, limit: 1 requests/minute}
tests:
  - name: a second call waits
    calls: [{caller: alice, times: 2, expect: {admitted: 1, refused: 1, by: rpm}}]
  - name: a second call passes
    calls:
      - {caller: alice, times: 2, expect: {admitted: all, charged: {rpm: 2}}}
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY)
    return Path("policy.yaml")


def test_a_failure_is_said_with_its_line_what_was_expected_and_what_was_found(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "policy.yaml"]) == 1
    became = "1 admitted; 1 refused by rpm for 1m0s"
    assert capsys.readouterr().out.splitlines() == [
        "policy.yaml:4: passed  a second call waits",
        "policy.yaml:6: FAILED  a second call passes",
        "  policy.yaml:8:",
        "    expected  2 calls of alice admitted",
        f"    found     1: {became}",
        "  policy.yaml:8:",
        "    expected  2 charged to rpm",
        f"    found     1: {became}",
        "2 tests, 1 failed",
    ]


def test_some_tests_can_be_chosen_by_name(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "policy.yaml", "-k", "Waits"]) == 0
    assert "1 test, 0 failed" in capsys.readouterr().out
    assert main(["test", "policy.yaml", "-k", "nothing"]) == 1
    assert "no test of `policy.yaml` has 'nothing' in its name" in capsys.readouterr().err


def test_a_policy_without_tests_is_no_success(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.write_text(POLICY.partition("tests:")[0])
    assert main(["test", "policy.yaml"]) == 1
    said = capsys.readouterr()
    assert "policy.yaml carries no tests" in said.err
    assert not said.out


def test_a_wrong_policy_is_said_and_others_are_tested(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("wrong.yaml").write_text("budgets: [{name: rpm, limt: 1/minute}]")
    assert main(["test", "wrong.yaml", "policy.yaml", "--junit", "report.xml"]) == 1
    out = capsys.readouterr().out
    assert "wrong.yaml:1: expected" in out
    assert "2 tests, 1 failed" in out
    suites = ET.parse("report.xml").getroot()  # noqa: S314 - we wrote it
    assert [(suite.get("tests"), suite.get("failures")) for suite in suites] == [
        ("1", "1"),
        ("2", "1"),
    ]
    cases = list(suites[1])
    assert [case.get("name") for case in cases] == ["a second call waits", "a second call passes"]
    assert cases[0].find("failure") is None
    failure = cases[1].find("failure")
    assert failure is not None
    assert "expected 2 calls of alice admitted" in failure.attrib["message"]


def test_json_has_each_call(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "policy.yaml", "--json"]) == 1
    (file,) = msgspec.json.decode(capsys.readouterr().out)
    assert [test["passed"] for test in file["tests"]] == [True, False]
    first, second = file["tests"][0]["calls"]
    assert first["charged"] == {"rpm": 1}
    assert second["refused_by"] == ["rpm"]
    assert file["tests"][1]["failures"][0]["line"] == 8


def test_a_report_that_cannot_be_written_is_said(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "policy.yaml", "--junit", "no/where.xml"]) == 1
    assert "cannot write JUnit XML to no/where.xml" in capsys.readouterr().err


def test_check_says_how_many_tests_a_policy_carries(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "policy.yaml"]) == 0
    assert "policy.yaml is valid and has 1 budget and 2 tests\n" in capsys.readouterr().out
