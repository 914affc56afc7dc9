"""By a reload, the traffic log and webhooks go elsewhere, and nothing is lost on the way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from querybudget.adapters.base import Call, Dialect
from querybudget.errors import SetupError
from querybudget.limiter import Limiter, Outcome
from querybudget.policy import load_policy
from querybudget.policy.model import Policy
from querybudget.traffic import TrafficRecord, read
from querybudget.traffic.log_files import files_of

pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef"
PATH = "/v1/chat/completions"


def policy(**more: Any) -> Policy:
    budget = {"name": "own", "limit": "2 requests/minute"}
    return load_policy({"secret": SECRET, "identity": ["user"], "budgets": [budget], **more})


async def call(limiter: Limiter, model: str, user: str = "ada") -> None:
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "user": user}
    asked = Call(dialect=Dialect.OPENAI, operation="chat", model=model)
    admission = await limiter.admit(scope, asked)
    await limiter.settle(admission, Outcome.ANSWERED)


def models(path: Path) -> list[str]:
    return [item.model for item in read(path) if isinstance(item, TrafficRecord)]


async def test_each_record_is_in_the_log_of_the_policy_that_its_call_ended_under(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first.jsonl.gz", tmp_path / "second.jsonl"
    async with Limiter(policy(traffic_log=str(first))) as limiter:
        await call(limiter, "a")
        change = await limiter.reload(policy(traffic_log=str(second)))
        await call(limiter, "b")
        await limiter.reload(policy())
        await call(limiter, "c")
        await limiter.reload(policy(traffic_log=str(first)))
        await call(limiter, "d")
    assert change.changes == ("`traffic_log` changes",)
    assert (models(first), models(second)) == (["a", "d"], ["b"])


async def test_a_log_that_stays_the_same_goes_on_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    async with Limiter(policy(traffic_log=str(path))) as limiter:
        for model in "ab":
            await call(limiter, model)
            await limiter.reload(policy(traffic_log=str(path), hold="1h"))
    assert models(path) == ["a", "b"]
    assert len(files_of(path)) == 1


async def test_prompts_are_kept_for_a_log_that_asks_for_them_and_no_longer(tmp_path: Path) -> None:
    path = str(tmp_path / "log.jsonl")
    async with Limiter(policy(traffic_log=path)) as limiter:
        wanted = [limiter.reporter.wants_texts]
        for prompts in (True, False):
            await limiter.reload(policy(traffic_log={"path": path, "prompts": prompts}))
            wanted.append(limiter.reporter.wants_texts)
    assert wanted == [False, True, False]


async def test_a_log_that_cannot_be_written_here_leaves_the_old_policy_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "log.jsonl"
    async with Limiter(policy(traffic_log=str(path))) as limiter:
        before = limiter.policy
        with pytest.raises(SetupError, match="zstandard"):
            await limiter.reload(policy(traffic_log=f"{path}.zst", hold="1h"))
        assert limiter.policy is before
        await call(limiter, "a")
    assert models(path) == ["a"]


async def test_webhooks_go_to_the_new_url_and_what_was_said_is_not_said_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    took = list[tuple[str, str]]()

    async def take(request: httpx.Request) -> httpx.Response:
        kind = msgspec.json.decode(request.content)["kind"]
        took.append((request.url.host, kind))
        return httpx.Response(204)

    transport = httpx.MockTransport(take)
    monkeypatch.setattr(httpx.AsyncClient, "_init_transport", lambda *_, **__: transport)
    to = {
        host: {"url": f"https://{host}/hook", "secret": SECRET, "events": ["refused"]}
        for host in ("one", "two")
    }
    async with Limiter(policy(webhooks=to["one"])) as limiter:
        for _ in range(3):
            await call(limiter, "a")
        change = await limiter.reload(policy(webhooks=to["two"]))  # before the first is sent
        await call(limiter, "a")
        for _ in range(3):
            await call(limiter, "a", user="bob")
        await limiter.reload(policy())
        for _ in range(3):
            await call(limiter, "a", user="eve")
    assert change.changes == ("`webhooks` changes",)
    assert took == [("two", "refused"), ("two", "refused")]
