"""The log says by itself what is on, and names each caller that is refused once in an hour."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.limiter import notices
from querybudget.limiter.notices import description, fingerprint
from querybudget.policy import Policy
from querybudget.testing import FakeModel, ManualClock, drive, http_scope, memory_limiter, request

pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef0123456789abcdef"
RULES: dict[str, Any] = {
    "version": 1,
    "secret": SECRET,
    "identity": ["api_key"],
    "budgets": [
        {"name": "calls", "limit": "1/minute"},
        {"name": "tried", "limit": "1/day", "mode": "shadow"},
    ],
}
CHAT = {"model": "m", "messages": []}
ZONED = {
    **RULES,
    "budgets": [
        {"name": "d", "limit": "9/day", "window": "calendar", "timezone": "Europe/Berlin"},
        {"name": "t", "limit": "9 tokens/day", "match": {"model": ["b", "a"], "tier": "default"}},
    ],
}

IN_ANOTHER_PROCESS = """
import sys
from querybudget.limiter.notices import fingerprint
from querybudget.policy import Policy
print(fingerprint(Policy.load(eval(sys.argv[1]))))
"""


def test_the_line_says_policy_hash_store_budgets_and_modes() -> None:
    policy = Policy.load(RULES)
    line = description(policy, "redis://host/0")
    assert line == (
        f"querybudget is on: policy <mapping> ({fingerprint(policy)}), store redis://host/0,"
        " 1 budget enforced ('calls'), 1 budget in shadow ('tried')"
    )


def test_the_line_names_the_servers_of_the_policy() -> None:
    assert description(Policy.load({**RULES, "server": "vllm"}), "x").endswith(", server vllm")


def test_a_policy_of_many_budgets_is_one_short_line() -> None:
    budgets = [{"name": f"b{n}", "limit": "1/minute"} for n in range(40)]
    line = description(Policy.load({**RULES, "budgets": budgets}), "x")
    assert "40 budgets enforced ('b0', " in line
    assert "30 more)" in line
    assert "\n" not in line


@pytest.mark.parametrize("rules", [RULES, ZONED], ids=["plain", "zoned"])
def test_the_hash_is_the_same_in_every_process(rules: dict[str, Any]) -> None:
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, repr(rules)]
    said = {
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert said == {fingerprint(Policy.load(rules))}


def test_the_hash_changes_with_every_budget_and_never_with_the_secret() -> None:
    one = fingerprint(Policy.load(RULES))
    assert fingerprint(Policy.load({**RULES, "secret": "f" * 32})) == one
    other = [{"name": "calls", "limit": "2/minute"}, RULES["budgets"][1]]
    assert fingerprint(Policy.load({**RULES, "budgets": other})) != one


async def test_a_server_that_starts_logs_the_line_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = QueryBudgetMiddleware(FakeModel(), RULES)
    await drive(app, {"type": "lifespan", "state": {}}, [{"type": "lifespan.startup"}])
    lines = [one for one in caplog.records if "querybudget is on" in one.getMessage()]
    assert [line.levelno for line in lines] == [logging.INFO]
    assert "store memory://" in lines[0].getMessage()
    assert SECRET not in caplog.text


async def test_where_logging_is_not_set_up_the_line_is_shown_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("querybudget")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "hasHandlers", lambda: False)
    app = QueryBudgetMiddleware(FakeModel(), RULES)
    await drive(app, {"type": "lifespan", "state": {}}, [{"type": "lifespan.startup"}])
    assert "querybudget is on: policy <mapping>" in capsys.readouterr().err


class Calls:
    """Calls through a middleware with a manual clock, and what the log says of them."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.clock = ManualClock()
        self.caplog = caplog
        limiter = memory_limiter(RULES, clock=self.clock)
        self.app = QueryBudgetMiddleware(FakeModel(), limiter=limiter)

    async def call(self, key: str, path: str = "/v1/chat/completions") -> int:
        return (await drive(self.app, http_scope(path, key=key), request(CHAT))).status

    @property
    def said(self) -> list[str]:
        lines = [record.getMessage() for record in self.caplog.records]
        return [line for line in lines if "first in an hour" in line]


async def test_the_first_refusal_of_a_caller_is_logged_once_in_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = Calls(caplog)
    statuses = [await calls.call("alice") for _ in range(5)]
    assert statuses == [200, 429, 429, 429, 429]
    (line,) = calls.said
    assert "was refused (by 'calls', again in" in line
    assert "(api_key) at /v1/chat/completions was refused" in line
    assert "alice" not in line
    [await calls.call("bob") for _ in range(2)]
    assert len(calls.said) == 2
    calls.clock.advance(3_599)
    [await calls.call("alice") for _ in range(2)]
    assert len(calls.said) == 2
    calls.clock.advance(2)
    [await calls.call("alice") for _ in range(3)]
    assert len(calls.said) == 3


async def test_a_flood_of_callers_fills_neither_the_log_nor_the_memory(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "CALLERS", 5)
    calls = Calls(caplog)
    for number in range(20):
        for _ in range(2):
            await calls.call(f"key-{number}")
    assert len(calls.said) == 5
    assert calls.said[-1].endswith("(other callers are not named for a while)")
    assert len(calls.app.limiter._notices._named) == 5
    calls.clock.advance(3_601)
    for _ in range(2):
        await calls.call("later")
    assert len(calls.said) == 6


async def test_a_path_that_a_caller_made_up_is_one_short_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = Calls(caplog)
    for _ in range(2):
        await calls.call("a", "/x\r\nERROR all is lost\x1b[31m" + "y" * 9_000)
    for line in calls.said:
        assert line.isprintable()
        assert len(line) < 500
