from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from querybudget.admin import LocalAdmin
from querybudget.cli.commands import TOKEN as TOKEN_VARIABLE
from querybudget.cli.console import HOST, PORT
from querybudget.cli.main import main
from querybudget.limiter import Limiter, Outcome, request_scope
from querybudget.overrides import Effect, Override
from querybudget.policy.model import Policy

TOKEN = "a-token-that-nobody-guesses"
POLICY = """\
version: 1
secret: 0123456789abcdef0123456789abcdef
identity: [api_key]
store: {{url: "{store}", timeout: 60s}}
budgets:
  - {{name: rpm, limit: 60 requests/minute}}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY.format(store=f"sqlite:///{tmp_path}/budgets.db"))
    return file


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been served."""
    calls = list[dict[str, Any]]()
    monkeypatch.setattr("uvicorn.run", lambda app, **options: calls.append({"app": app, **options}))
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    return calls


def site_of(call: dict[str, Any]) -> Any:
    return call["app"].routes[0].app.state.site


def test_the_console_of_a_shared_store_is_served_to_this_machine(
    policy: Path, served: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["console", "--policy", str(policy)]) == 0
    assert (served[0]["host"], served[0]["port"]) == (HOST, PORT) == ("127.0.0.1", 8321)
    site = site_of(served[0])
    assert (site.access.sessions, site.deciding) == (None, False)
    assert capsys.readouterr().out == (
        "console at http://127.0.0.1:8321/ (read-only: there is no token)\n"
    )


def test_the_token_is_in_a_variable(
    policy: Path, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_TOKEN", TOKEN)
    monkeypatch.setenv(TOKEN_VARIABLE, f"{TOKEN}-too")
    arguments = ["console", "--policy", str(policy), "--port", "9000"]
    assert main([*arguments, "--token-env", "CONSOLE_TOKEN", "--public-read"]) == 0
    assert main(arguments) == 0
    named, usual = (site_of(each).access for each in served)
    assert named.sessions.is_token(TOKEN)
    assert (named.public, usual.public) == (True, False)
    assert usual.sessions.is_token(f"{TOKEN}-too")


@pytest.mark.parametrize(
    ("token", "store", "message"),
    [
        (None, "sqlite:///b.db", "expected the console's token in the variable NO_SUCH_TOKEN"),
        ("short", "sqlite:///b.db", "expected a console token of at least 16 characters, found 5"),
        (TOKEN, "memory://", "found memory://: mount the console in the server instead"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_served(
    policy: Path,
    served: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token: str | None,
    store: str,
    message: str,
) -> None:
    policy.write_text(POLICY.format(store=store))
    if token:
        monkeypatch.setenv("NO_SUCH_TOKEN", token)
    assert main(["console", "--policy", str(policy), "--token-env", "NO_SUCH_TOKEN"]) == 1
    assert message in capsys.readouterr().err
    assert served == []


def test_a_missing_extra_is_named(
    policy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["console", "--policy", str(policy)]) == 1
    assert "pip install 'querybudget[cli,console]'" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "999999999999"])
def test_a_port_is_a_port(policy: Path, port: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["console", "--policy", str(policy), "--port", port])
    assert stopped.value.code == 2


def test_the_example_of_the_help_runs(
    policy: Path,
    served: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["console", "--help"])
    example = capsys.readouterr().out.partition("example:\n  querybudget ")[2].splitlines()[0]
    monkeypatch.chdir(policy.parent)
    monkeypatch.setenv("CONSOLE_TOKEN", TOKEN)
    assert main(example.split()) == 0
    assert len(served) == 1


def test_accounts_and_overrides_of_the_servers_are_there_from_the_first_look(
    policy: Path, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert main(["console", "--policy", str(policy)]) == 0
    limiter = Limiter(Policy.load(str(policy)))

    async def serve_one_and_block_it() -> str:
        async with limiter:
            scope = request_scope("/v1/chat/completions", headers={"authorization": "Bearer sk-a"})
            admission = await limiter.admit(scope)
            await limiter.settle(admission, Outcome.ANSWERED)
            key = admission.identity.key
            await LocalAdmin(limiter).change(Override("", key, effect=Effect.BLOCK), "block")
            return key

    key = asyncio.run(serve_one_and_block_it())
    bearer = {"authorization": f"Bearer {TOKEN}"}
    with TestClient(served[0]["app"], base_url="http://localhost") as client:
        view = client.get(f"/api/accounts/{key[:8]}", headers=bearer).json()
    assert view["account"] == key
    assert [override["effect"] for override in view["overrides"]] == ["block"]
