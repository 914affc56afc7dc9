"""What the page on operating shows is what the commands print."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path

import msgspec
import pytest

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.cli.main import main
from querybudget.limiter import Limiter
from querybudget.policy import load_policy
from querybudget.testing import FakeModel, drive, http_scope, request
from querybudget.testing.sweeping import sweep
from querybudget.traffic.record import TrafficRecord

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
POLICY = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^```console\n\$ querybudget (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
SWEPT = 40
"""Prompts of the sweep: enough to be suspect."""

ID = re.compile(r"\b[0-9a-f]{12}\b")
CHANGES = re.compile(
    r"\b[0-9a-f]{12}\b|\b(?:[0-9]+ (?:s|min|h|d) ago|now)\b|[+-]?[0-9][0-9:.,TZms-]*| +"
)
"""What differs from one run to the next: ids, moments, figures, and the blanks of columns."""

CALLS = {"ada": 42, "bob": 3}


async def call(policy: str) -> None:
    """Make the calls of the page's callers: eve asks for everything, a little of each."""
    async with Limiter(load_policy(policy)) as limiter:
        app = QueryBudgetMiddleware(FakeModel(), limiter=limiter)
        for name, times in CALLS.items():
            for _ in range(times):
                await ask(app, name, "How do I reverse a list in Python?")
        for prompt in sweep(SWEPT):
            await ask(app, "eve", prompt)


async def ask(app: QueryBudgetMiddleware, name: str, prompt: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    driven = await drive(app, http_scope(user={"id": name}, client=None), request(body))
    assert driven.status == 200


def alike(text: str) -> list[str]:
    return [CHANGES.sub("#", line.strip()) for line in text.splitlines()]


def test_each_command_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PAGE.read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUERYBUDGET_SECRET", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("QUERYBUDGET_POLICY", "policy.yaml")
    monkeypatch.setattr("getpass.getuser", lambda: "ana")
    policy = POLICY.search(page)
    assert policy is not None
    patient = '{url: "sqlite:///budgets.db", timeout: 60s}'
    Path("policy.yaml").write_text(policy[1].replace("sqlite:///budgets.db", patient))
    record = TrafficRecord(
        at=1_795_000_000_000_000,
        identity="7aee1ec14acc987df584f771737b7968",
        request_id="req_1",
        path="/v1/chat/completions",
        verdict="wait",
    )
    Path("traffic.jsonl").write_bytes(msgspec.json.encode(record) + b"\n")
    asyncio.run(call("policy.yaml"))
    ids: dict[str, str] = {}
    shown = SHOWN.findall(page)
    assert len(shown) >= 8
    for command, expected in shown:
        argv = [ids.get(word, word) for word in shlex.split(command)]
        assert main(argv) == 0, capsys.readouterr().err
        printed = capsys.readouterr().out
        assert alike(printed) == alike(expected), f"querybudget {command}\n{printed}"
        ids |= dict(zip(ID.findall(expected), ID.findall(printed), strict=True))
