"""`querybudget link`, and what `check` says of a policy that links accounts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from querybudget.cli.main import main

POLICY = """\
secret: 0123456789abcdef0123456789abcdef
store: {url: "sqlite:///budgets.db", timeout: 60s}
partitions: {org: {claim: org.id}}
linking: {attributes: org}
budgets:
  - {name: breadth, limit: 1000 buckets/30 days}
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_one_look_says_what_was_found(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the lease is free again
        assert main(["link", "--once", "--policy", str(policy)]) == 0
        said = capsys.readouterr().out
        assert said.startswith("0 accounts, 0 of them established: 0 belong to 0 groups")
    assert main(["link", "--once", "--json", "--policy", str(policy)]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["accounts"] == 0


def test_a_policy_that_links_nobody_is_said_to(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.write_text(POLICY.replace("linking: {attributes: org}\n", ""))
    assert main(["link", "--once", "--policy", str(policy)]) == 1
    assert "expected `linking` in the policy, found none" in capsys.readouterr().err


def test_check_says_how_accounts_are_linked(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(policy)]) == 0
    said = "accounts are linked by system prompt, org and how they behave, in shadow, by a worker"
    assert said in capsys.readouterr().out
