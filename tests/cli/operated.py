"""A folder with a policy, its store with a few callers, and a traffic log: what operators have."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from querybudget.adapters.base import Call, Dialect
from querybudget.cli.main import main
from querybudget.limiter import Limiter, Outcome
from querybudget.overrides import Effect, Override
from querybudget.policy import load_policy
from querybudget.testing import http_scope
from querybudget.traffic.record import TrafficRecord
from querybudget.units import Micros

POLICY = """\
secret: 0123456789abcdef0123456789abcdef
store: {url: "sqlite:///budgets.db", timeout: 60s}
identity:
  - user
  - claim: org.id
  - header: {name: x-end-user, trusted_proxies: [10.0.0.0/8]}
  - api_key
  - client_address
tests:
  - name: a first call is admitted
    calls:
      - {caller: ada, expect: admitted}
budgets:
  - {name: rpm, limit: 60 requests/minute}
  - {name: tokens, limit: 1M tokens/day}
"""

RING = "group:8a8e9907c471"
"""A group that Ada is linked into."""

LOGGED = 520
"""Calls in the log, each of another caller: enough to calibrate by."""


def line(number: int) -> bytes:
    """A line of the log."""
    record = TrafficRecord(
        at=Micros(1_795_000_000_000_000 + number),
        request_id=f"req_{number}",
        identity=f"{number:032x}",
        verdict="wait",
    )
    return msgspec.json.encode(record) + b"\n"


@dataclass
class Folder:
    """Where an operator works.

    Attributes:
        keys: The keys of its callers, by what they are called here.
        override: The id of an override of Ada's.
    """

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    keys: dict[str, str]
    override: str = ""

    def run(self, *argv: str, typed: str = "", status: int = 0) -> str:
        """Run a command; what it printed, or why it failed."""
        self.monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        found = main(argv)
        out, err = self.capsys.readouterr()
        assert found == status, err or out
        return err if status else out

    def json(self, *argv: str, **options: Any) -> Any:
        """Run a command with ``--json``; what it printed."""
        return msgspec.json.decode(self.run(*argv, "--json", **options))


async def called(policy: str) -> dict[str, str]:
    """Make a call of each of a few callers; their keys."""
    user: dict[str, Any] = {"user": {"id": "ada"}}
    scopes = {
        "user": http_scope(state={}, **user),
        "api_key": http_scope(key="sk-1"),
        "header": http_scope(headers={"x-end-user": "bob"}, client=("10.0.0.1", 1)),
        "claim": http_scope(auth={"claims": {"org": {"id": "acme"}}}),
        "address": http_scope(client=("192.0.2.7", 1)),
    }
    keys = {}
    async with Limiter(load_policy(policy)) as limiter:
        for name, scope in scopes.items():
            call = Call(Dialect.OPENAI, "chat", max_output=10, input_bytes=40)
            admission = await limiter.admit(scope, call)
            assert admission.refusal is None
            await limiter.settle(admission, Outcome.ANSWERED)
            keys[name] = admission.identity.key
    return keys


async def linked(policy: str, account: str) -> None:
    """Link an account into a group."""
    entry = Override("link", account, RING, Effect.LINK, reason="template:4.4 timing:5.0")
    async with Limiter(load_policy(policy)) as limiter:
        await limiter.administering.override(entry, None)


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Folder:
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY)
    Path("stricter.yaml").write_text(POLICY.replace("60 requests", "30 requests"))
    for log in ("traffic", "monday", "tuesday"):
        Path(f"{log}.jsonl").write_bytes(b"".join(map(line, range(LOGGED))))
    Path("body.json").write_text('{"model": "m", "messages": []}')
    monkeypatch.setenv("QUERYBUDGET_POLICY", "policy.yaml")
    made = Folder(capsys, monkeypatch, asyncio.run(called("policy.yaml")))
    asyncio.run(linked("policy.yaml", made.keys["user"]))
    made.override = made.json("block", made.keys["address"][:8], "--reason", "test")["id"]
    return made
