"""The commands of operators, on a store that processes share."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from pathlib import Path

import pytest

from querybudget.cli.commands import examples_of
from querybudget.cli.main import command_parser, main
from tests.cli.operated import POLICY, Folder, called, folder

__all__ = ["folder"]

SERVING = {"proxy", "console", "demo", "link"}
"""Commands that go on until they are stopped: their examples are only parsed."""


def leaves(parser: argparse.ArgumentParser) -> list[str]:
    """The examples of a parser."""
    return examples_of(parser)


COMMANDS = command_parser().commands
EXAMPLES = [(name, example) for name, parser in COMMANDS.items() for example in leaves(parser)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    assert leaves(COMMANDS[name])


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[text for _, text in EXAMPLES])
def test_every_example_of_a_help_text_works(name: str, example: str, folder: Folder) -> None:
    words = {"3f2a9c01": folder.keys["user"][:8], "OVERRIDE": folder.override, "REQUEST": "req_1"}
    argv = [words.get(word, word) for word in shlex.split(example)[1:]]
    if name in SERVING:
        command_parser().parse_args(argv)
    else:
        folder.run(*argv)


CALLERS = {
    "user": ["--user", "ada"],
    "api_key": ["--api-key", "sk-1"],
    "header": ["--header", "x-end-user=bob"],
    "claim": ["--claim", "org.id=acme"],
    "address": ["--address", "192.0.2.7"],
}


@pytest.mark.parametrize("kind", CALLERS)
def test_a_caller_is_named_by_what_an_operator_has(kind: str, folder: Folder) -> None:
    key = folder.keys[kind]
    assert folder.json("peek", *CALLERS[kind])["account"] == key
    assert folder.json("peek", key)["account"] == key
    assert folder.json("peek", key[:8])["account"] == key


def test_an_api_key_is_read_from_standard_input(folder: Folder) -> None:
    assert (
        folder.json("peek", "--api-key", "-", typed="sk-1\n")["account"] == folder.keys["api_key"]
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["peek"], "expected one caller"),
        (["peek", "abc12345", "--user", "ada"], "expected one caller"),
        (["peek", "0badc0de"], "0badc0de"),
        (["peek", "ab"], "8 characters"),
        (["grant", "--user", "ada", "--until", "2h"], "expected how much"),
        (["grant", "--user", "ada", "--until", "2h", "--amount", "5"], "expected of what"),
        (
            ["grant", "--user", "ada", "--until", "2h", "--factor", "2", "--budget", "tokns"],
            "tokens",
        ),
        (["forget", "--user", "ada"], "--yes"),
        (["remove", "nothing"], "there is no override 'nothing'"),
        (
            ["grant", "--user", "ada", "--until", "2h", "--amount", "5 tokens", "--budget", "rpm"],
            "expected requests, which 'rpm' counts, found tokens",
        ),
        (["find", "req_1"], "--log FILE"),
        (["find", "req_0x", "--log", "traffic.jsonl"], "req_0x"),
        (["top", "--once", "--by", "scoer"], "score"),
    ],
)
def test_what_is_wrong_is_said(argv: list[str], said: str, folder: Folder) -> None:
    assert said in folder.run(*argv, status=1)


@pytest.mark.parametrize(
    "argv",
    [
        ["grant", "--user", "ada", "--until", "soon", "--factor", "2"],
        ["grant", "--user", "ada", "--factor", "2"],
        ["override", "--user", "ada", "--limit", "many"],
        ["nothing"],
    ],
)
def test_arguments_that_cannot_be_read_have_status_2(argv: list[str], folder: Folder) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2


def test_accounts_in_memory_are_reached_through_a_console(folder: Folder) -> None:
    with open("memory.yaml", "w") as file:  # noqa: PTH123 - the folder of this test
        file.write("budgets: [{name: n, limit: 1/minute}]")
    said = folder.run("accounts", "--policy", "memory.yaml", status=1)
    assert "--console URL" in said


def test_nowhere_to_look_is_said(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUERYBUDGET_POLICY")
    assert "--policy FILE" in folder.run("accounts", status=1)


def test_a_grant_raises_a_limit_until_it_is_removed(folder: Folder) -> None:
    def limit() -> int:
        budgets = folder.json("peek", "--user", "ada")["budgets"]
        return next(int(one["limit"]) for one in budgets if one["budget"] == "rpm") // 10**6

    assert limit() == 60
    made = folder.json("grant", "--user", "ada", "--amount", "40 requests", "--until", "2h")
    assert limit() == 100
    assert made["id"] in folder.run("overrides")
    assert folder.run("remove", made["id"][:6]).startswith("removed")
    assert limit() == 60
    assert [entry["action"] for entry in folder.json("audit")][:2] == ["remove", "grant"]


def test_who_did_what_and_why_is_kept(folder: Folder) -> None:
    folder.run("allow", "--user", "ada", "--by", "eve", "--reason", "load test")
    said = folder.run("audit", "--limit", "1")
    assert "eve" in said
    assert "load test" in said
    assert "allow" in said


def test_whoever_is_forgotten_is_gone(folder: Folder) -> None:
    assert folder.json("forget", "--user", "ada", "--yes")["erased"] == 1
    assert folder.keys["user"][:8] in folder.run("peek", folder.keys["user"][:8], status=1)
    assert folder.run("forget", "--user", "ada", "--yes", status=1) == ""


def test_a_pardon_of_an_innocent_says_so(folder: Folder) -> None:
    assert "nothing to pardon" in folder.run("pardon", "--user", "ada")


def test_accounts_and_top_list_the_same_callers(folder: Folder) -> None:
    listed = {view["account"] for view in folder.json("accounts")}
    assert listed == set(folder.keys.values())
    assert {view["account"] for view in folder.json("top", "--by", "seen")} == listed
    assert len(folder.json("top", "--limit", "2")) == 2
    assert folder.keys["user"][:8] in folder.run("top", "--once")


def test_a_quoted_request_is_found_in_the_log(folder: Folder) -> None:
    assert "Refused for now." in folder.run("find", "req_1", "--log", "traffic.jsonl")
    assert folder.json("find", "req_1", "--log", "traffic.jsonl")["request_id"] == "req_1"


def test_without_a_log_find_looks_into_the_policys(folder: Folder) -> None:
    Path("logging.yaml").write_text(f"{POLICY}traffic_log: traffic.jsonl\n")
    assert "Refused for now." in folder.run("find", "req_1", "--policy", "logging.yaml")
    said = folder.run("find", "req_0x", "--policy", "logging.yaml", status=1)
    assert "in the log traffic.jsonl" in said


def test_money_that_was_spent_is_seen_however_little(folder: Folder) -> None:
    policy = POLICY.replace("budgets.db", "spent.db")
    prices = 'models: {"*": {input: 100, output: 400}}'
    policy += f"  - {{name: spend, limit: 5 usd/day}}\n{prices}\n"
    Path("spending.yaml").write_text(policy)
    asyncio.run(called("spending.yaml"))
    asked = ["--user", "ada", "--policy", "spending.yaml"]
    assert "  spend: $0.0050 of $5.00 spent" in folder.run("peek", *asked)
    folder.run("override", *asked, "--budget", "spend", "--limit", "100 usd")
    assert "usd: limit $100, until" in folder.run("override", *asked, "--limit", "100 usd")


def test_an_allowed_account_is_not_called_a_shadow(folder: Folder) -> None:
    folder.run("allow", "--user", "ada")
    said = folder.run("peek", "--user", "ada")
    assert "requests left (allowed)" in said
    assert "allowed: all budgets count and refuse nothing" in said
    assert "(shadow)" not in said


def test_a_store_that_is_down_is_said_once(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Path("policy.yaml").read_text().replace("sqlite:///budgets.db", "redis://127.0.0.1:1")
    Path("down.yaml").write_text(policy)
    said = folder.run("block", "--user", "ada", "--policy", "down.yaml", status=1)
    assert "did not answer" in said
    assert len(said.splitlines()) == 1
    assert caplog.text == ""


def test_a_column_shows_what_accounts_are_sorted_by(folder: Folder) -> None:
    header, first, *_ = folder.run("top", "--by", "tokens", "--once").splitlines()
    assert header.split()[:3] == ["account", "tokens", "kind"]
    assert int(first.removeprefix(first.split()[0]).replace("*", "").split()[0].replace(",", ""))


def test_commands_need_none_of_the_functions_that_give_servers_overrides(folder: Folder) -> None:
    path = Path("policy.yaml")
    source = "overrides: [{callable: 'of_the_servers:overrides'}]\n"
    path.write_text(path.read_text("utf-8") + source, "utf-8")
    assert folder.json("peek", "--user", "ada")["account"] == folder.keys["user"]
