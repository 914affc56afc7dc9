"""The commands of operators on accounts in a server's memory, through the server's console."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from querybudget import QueryBudgetMiddleware, console
from querybudget.cli.main import main
from querybudget.limiter import Limiter
from querybudget.policy import load_policy
from tests.proxy.served import serve

POLICY = """\
secret: 0123456789abcdef0123456789abcdef
identity: [api_key]
exempt: [/console/*]
budgets:
  - {name: rpm, limit: 3 requests/minute}
"""
TOKEN = "a-console-token-of-some-length"


async def answer(_: Request) -> JSONResponse:
    return JSONResponse({"choices": []})


@contextmanager
def server() -> Iterator[str]:
    """Serve a model behind budgets, and their console, from another thread; the URL."""
    ready, loops, ends, urls = threading.Event(), [], [], list[str]()

    async def served() -> None:
        ends.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        async with Limiter(load_policy("policy.yaml")) as limiter:
            application = Starlette()
            application.add_route("/v1/chat/completions", answer, methods=["POST"])
            application.mount("/console", console.app(limiter, token=TOKEN))
            application.add_middleware(QueryBudgetMiddleware, limiter=limiter)
            async with serve(application) as port:
                urls.append(f"http://127.0.0.1:{port}")
                ready.set()
                await ends[0].wait()

    thread = threading.Thread(target=asyncio.run, args=(served(),))
    thread.start()
    ready.wait()
    try:
        yield urls[0]
    finally:
        loops[0].call_soon_threadsafe(ends[0].set)
        thread.join()


def test_every_change_acts_on_accounts_in_a_server_s_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY)
    monkeypatch.setenv("QUERYBUDGET_POLICY", "policy.yaml")
    monkeypatch.setenv("QUERYBUDGET_CONSOLE_TOKEN", TOKEN)
    ada = ("--api-key", "sk-ada")

    with server() as url:

        def asked() -> int:
            body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
            headers = {"authorization": "Bearer sk-ada"}
            return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers).status_code

        def run(*argv: str, status: int = 0) -> Any:
            assert main([*argv, "--console", f"{url}/console", "--json"]) == status
            out, err = capsys.readouterr()
            return err if status else msgspec.json.decode(out)

        assert [asked() for _ in range(4)] == [200, 200, 200, 429]
        key = run("peek", *ada)["account"]
        run("grant", *ada, "--factor", "2", "--until", "2h")
        assert asked() == 200
        blocked = run("block", *ada)
        assert asked() == 403
        assert len(run("overrides")["entries"]) == 2
        assert run("remove", blocked["id"])["removed"]
        run("allow", *ada)
        assert [asked() for _ in range(3)] == [200, 200, 200]
        assert [view["account"] for view in run("top")] == [key]
        assert [view["account"] for view in run("accounts")] == [key]
        run("pardon", *ada)
        assert run("forget", *ada, "--yes")["erased"] == 1
        assert run("accounts") == []
        assert run("overrides")["entries"] == []
        did = [entry["action"] for entry in run("audit")]
        assert did == ["forget", "forget", "pardon", "allow", "remove", "block", "grant"]
        assert key in run("peek", key, status=1)
        monkeypatch.setenv("QUERYBUDGET_CONSOLE_TOKEN", "another")
        assert "token" in run("overrides", status=1)
    assert "did not answer" in run("overrides", status=1)
