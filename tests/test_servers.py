"""Each server's hook, in its own shape: what docs/servers.md says of it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount

from querybudget import QueryBudgetMiddleware, SetupError
from querybudget.testing import FakeModel

BODY = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text("budgets: [{name: requests, limit: 2 requests/minute}]")
    return str(path)


def server() -> Starlette:
    return Starlette(routes=[Mount("/", FakeModel())])


def statuses(app: Any, times: int = 3, key: str = "k") -> list[int]:
    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as http:
            path = "/v1/chat/completions"
            return [
                (await http.post(path, json=BODY, headers=headers)).status_code
                for _ in range(times)
            ]

    return anyio.run(ask)


def test_vllm_imports_the_class_by_its_path_and_passes_nothing(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUERYBUDGET_POLICY", policy)
    app = server()
    argument = "querybudget.QueryBudgetMiddleware"  # of --middleware
    module, name = argument.rsplit(".", 1)
    found: Any = getattr(importlib.import_module(module), name)
    assert inspect.isclass(found)
    taken: Any = found
    app.add_middleware(taken)
    assert statuses(app) == [200, 200, 429]


def test_vllm_checks_keys_further_in_and_they_leave_nothing_behind(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUERYBUDGET_POLICY", policy)
    app = server()
    built: list[QueryBudgetMiddleware] = []

    class Remembered(QueryBudgetMiddleware):
        def __init__(self, app: Any) -> None:
            super().__init__(app)
            built.append(self)

    app.add_middleware(BaseHTTPMiddleware, dispatch=only_key_k)
    app.add_middleware(Remembered)
    assert statuses(app, 5, key="bogus") == [401] * 5
    assert len(built[0].limiter.store) == 0  # type: ignore[arg-type]
    assert statuses(app) == [200, 200, 429]


async def only_key_k(request: Request, following: Callable[[Request], Any]) -> Response:
    if request.headers["authorization"] != "Bearer k":
        return PlainTextResponse("no such key", 401)
    answer: Response = await following(request)
    return answer


@pytest.mark.parametrize("server_is", ["sglang", "litellm", "llama-cpp-python", "fastapi"])
def test_servers_that_give_their_application_take_it_with_arguments(
    server_is: str, policy: str
) -> None:
    app = server()
    app.add_middleware(QueryBudgetMiddleware, policy=policy)
    assert statuses(app) == [200, 200, 429]


def test_sglang_checks_keys_further_out_and_bogus_ones_never_arrive(policy: str) -> None:
    app = server()
    app.add_middleware(QueryBudgetMiddleware, policy=policy)
    app.add_middleware(BaseHTTPMiddleware, dispatch=only_key_k)
    assert statuses(app, 4, key="bogus") == [401] * 4
    assert statuses(app) == [200, 200, 429]


def test_litserve_takes_pairs_of_a_class_and_its_arguments(policy: str) -> None:
    app = server()
    middlewares: list[Any] = [(QueryBudgetMiddleware, {"policy": policy})]
    for middleware in middlewares:
        kind, arguments = middleware
        app.add_middleware(kind, **arguments)
    assert statuses(app) == [200, 200, 429]


def test_bentoml_wraps_the_application_with_options(policy: str) -> None:
    app: Any = server()
    middlewares: list[tuple[Any, dict[str, Any]]] = [(QueryBudgetMiddleware, {"policy": policy})]
    for kind, options in reversed(middlewares):
        app = kind(app, **options)
    assert statuses(app) == [200, 200, 429]


def test_a_missing_policy_is_said_when_the_server_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("QUERYBUDGET_POLICY", raising=False)
    app = server()
    app.add_middleware(QueryBudgetMiddleware)
    sent: list[Any] = []

    async def start() -> None:
        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

    with pytest.raises(SetupError, match="QUERYBUDGET_POLICY"):
        anyio.run(start)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "QUERYBUDGET_POLICY" in sent[0]["message"]
