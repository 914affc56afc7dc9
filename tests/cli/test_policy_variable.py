"""Commands take the policy from QUERYBUDGET_POLICY where no argument names one."""

from __future__ import annotations

import argparse

import pytest

from querybudget.cli.main import command_parser, main

OWN = frozenset({"demo"})
"""Commands with a policy of their own, whatever the environment names."""


def policies() -> dict[str, object]:
    """Return what the policy of each command is by default."""
    return {
        name: action.default
        for name, parser in command_parser().commands.items()
        for action in vars(parser)["_actions"]
        if isinstance(action, argparse.Action) and action.dest == "policy" and name not in OWN
    }


def test_every_command_with_a_policy_takes_it_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUERYBUDGET_POLICY", "named.yaml")
    found = policies()
    assert {"check", "explain", "replay", "calibrate", "report", "console", "top"} < set(found)
    assert found.pop("test") == ["named.yaml"]
    assert set(found.values()) == {"named.yaml"}


@pytest.mark.parametrize(
    "command", ["check", "test", "explain", "replay log", "report log", "console"]
)
def test_a_command_without_any_policy_says_how_to_name_one(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("QUERYBUDGET_POLICY", raising=False)
    assert main(command.split()) == 1
    assert "set QUERYBUDGET_POLICY" in capsys.readouterr().err


def test_an_argument_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUERYBUDGET_POLICY", "nowhere.yaml")
    assert main(["check", "preset:distillation"]) == 0
    assert "preset:distillation is valid" in capsys.readouterr().out
