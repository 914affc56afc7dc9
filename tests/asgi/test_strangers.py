"""Strangers, who have no key or make keys up, and what their requests do to others' budgets."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.stores import MemoryStore
from querybudget.stores.sqlite import SqliteStore
from querybudget.testing import ManualClock
from querybudget.testing.asgi import drive, http_scope, request
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio

REAL = ("sk-real-1", "sk-real-2")
USAGE = {"prompt_tokens": 30, "completion_tokens": 70, "total_tokens": 100}
ANSWER = msgspec.json.encode(
    {"choices": [{"message": {"content": "hello there"}}], "usage": USAGE, "object": "x"}
)
ASK = request({"model": "m", "messages": [{"role": "user", "content": "hi"}]})


async def model_server(scope: Scope, receive: Receive, send: Send) -> None:
    """A model behind keys, and a few paths that check none."""
    status = {"/docs": 200, "/nowhere": 404, "/v1/embeddings": 405, "/moved": 307}.get(
        scope["path"], 200
    )
    body = b"{}"
    if scope["path"] in {"/v1/chat/completions", "/me"}:
        keys = [v.decode() for k, v in scope["headers"] if k == b"authorization"]
        known = any(key.removeprefix("Bearer ") in REAL for key in keys)
        status, body = (200, ANSWER) if known else (401, b"{}")
        if known and scope["path"] == "/me":
            scope["state"]["querybudget"].verified()
    while (await receive()).get("more_body"):
        pass
    kind = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": kind})
    await send({"type": "http.response.body", "body": body})


async def call(app: Any, key: str = "", path: str = "/v1/chat/completions", **more: Any) -> int:
    messages: list[Message] = ASK if path.startswith("/v1") else request()
    method = "POST" if path.startswith("/v1") else "GET"
    return (await drive(app, http_scope(path, method=method, key=key, **more), messages)).status


@asynccontextmanager
async def served(
    policy: Mapping[str, Any], store: Any = None, **more: Any
) -> AsyncGenerator[QueryBudgetMiddleware]:
    shared = {"version": 1, "identity": ["api_key"], "secret": "thirty-two bytes of a secret....."}
    app = QueryBudgetMiddleware(model_server, {**shared, **policy}, store=store, **more)
    try:
        yield app
    finally:
        await app.limiter.aclose()
        if hasattr(store, "aclose"):
            await store.aclose()


def opened(kind: str, path: Path, size: int) -> Any:
    clock = ManualClock()
    if kind == "memory":
        return MemoryStore(clock, max_identities=size)
    return SqliteStore(path / "budgets.db", clock, max_identities=size)


RPD = {"name": "rpd", "limit": "5 requests/day"}
SLOW = {"url": "memory://", "timeout": "60s"}


@pytest.mark.parametrize("path", ["/docs", "/nowhere", "/v1/embeddings", "/moved"])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_spent_caller_stays_spent_through_a_flood_of_made_up_keys(
    kind: str, path: str, tmp_path: Path
) -> None:
    policy = {"budgets": [RPD], "store": SLOW}
    async with served(policy, opened(kind, tmp_path, 100)) as app:
        assert [await call(app, REAL[0]) for _ in range(6)] == [200] * 5 + [429]
        for number in range(150):
            await call(app, f"made-up-{number}", path)
        assert await call(app, REAL[0]) == 429
        assert app.limiter.store.evicted == 0  # type: ignore[attr-defined]


async def test_a_spent_caller_stays_spent_where_calls_are_open_during_the_flood() -> None:
    store = MemoryStore(ManualClock(), max_identities=100)
    policy = {"budgets": [{"name": "tokens", "limit": "100 tokens/day"}]}
    inside: list[int] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/docs" and not inside:
            inside.append(1)
            for number in range(50):
                await call(app, f"made-up-{number}", "/docs")
        await model_server(scope, receive, send)

    async with served({**policy, "identity": ["api_key"]}, store) as app:
        app.app = slow
        assert [await call(app, REAL[0]), await call(app, REAL[0])] == [200, 429]


async def test_a_caller_whom_the_application_vouches_for_is_known() -> None:
    store = MemoryStore(ManualClock(), max_identities=100)
    async with served({"budgets": [RPD]}, store) as app:
        assert [await call(app, REAL[0], "/me") for _ in range(6)] == [200] * 5 + [429]
        for number in range(50):
            await call(app, f"made-up-{number}", "/docs")
        assert await call(app, REAL[0], "/me") == 429


async def test_a_caller_whom_a_proxy_names_is_known_from_the_first_use() -> None:
    store = MemoryStore(ManualClock(), max_identities=100)
    named = {"header": {"name": "x-user", "trusted_proxies": "192.0.2.0/24"}}
    async with served({"budgets": [RPD], "identity": [named, "api_key"]}, store) as app:
        ann: dict[str, Any] = {"headers": {"x-user": "ann"}}
        assert [await call(app, path="/docs", **ann) for _ in range(6)] == [200] * 5 + [429]
        for number in range(50):
            await call(app, f"made-up-{number}", "/docs")
        assert await call(app, path="/docs", **ann) == 429


@pytest.mark.real_server
async def test_redis_forgets_a_made_up_key_soon_and_a_verified_one_after_its_window(
    redis_server: RedisServer,
) -> None:
    redis = pytest.importorskip("redis.asyncio")
    store = {"url": redis_server.url, "timeout": "60s", "prefix": "strangers"}
    policy = {"budgets": [{"name": "rpm", "limit": "500 requests/30 days"}], "store": store}
    client = redis.Redis.from_url(redis_server.url)
    async with served(policy) as app:
        names: dict[str, bytes] = {}
        for who, key, path in (
            ("stranger", "made-up", "/docs"),
            ("real", REAL[0], "/v1/chat/completions"),
            ("later", REAL[1], "/docs"),
        ):
            before = set(await client.keys("strangers:*"))
            await call(app, key, path)
            await app.limiter.aclose()
            (names[who],) = set(await client.keys("strangers:*")) - before
        hour = 3_600_000 + 2_000
        assert 0 < await client.pttl(names["stranger"]) <= hour
        assert await client.pttl(names["real"]) > 29 * 86_400_000
        assert 0 < await client.pttl(names["later"]) <= hour
        await call(app, REAL[1])
        await app.limiter.aclose()
        assert await client.pttl(names["later"]) > 29 * 86_400_000
    async with served(policy) as another_worker:
        await call(another_worker, REAL[1], "/docs")
        await another_worker.limiter.aclose()
        assert await client.pttl(names["later"]) > 29 * 86_400_000
    await client.aclose()


@pytest.mark.parametrize("path", ["/nowhere", "/v1/embeddings", "/moved", "/v1/chat/completions"])
@pytest.mark.parametrize(
    "shared",
    [
        {"per": "everyone"},
        {"per": "tier"},
        {"per": ["everyone", "tier"]},
        {"per": "network"},
        {"per": "identity"},
    ],
)
async def test_strangers_who_are_rejected_cost_what_they_share_with_others_nothing(
    shared: dict[str, Any], path: str
) -> None:
    policy = {
        "budgets": [{"name": "rpd", "limit": "5 requests/day", **shared}],
        "partitions": {"network": {"client_address": {"ipv4_prefix": 24}}},
    }
    key = "made-up" if shared["per"] != "identity" else ""
    async with served(policy, MemoryStore(ManualClock())) as app:
        for number in range(20):
            await call(app, key and f"{key}-{number}", path)
        answers = [await call(app, REAL[0] if key else "") for _ in range(5)]
        assert 429 not in answers


async def test_a_rejected_request_counts_on_the_callers_own_account() -> None:
    async with served({"budgets": [RPD]}, MemoryStore(ManualClock())) as app:
        assert [await call(app, "any", "/nowhere") for _ in range(6)] == [404] * 5 + [429]


async def test_a_rejected_request_of_a_verified_caller_counts_on_shared_accounts() -> None:
    everyone = {"name": "all", "limit": "5 requests/day", "per": "everyone"}
    async with served({"budgets": [everyone]}, MemoryStore(ManualClock())) as app:
        assert await call(app, REAL[0]) == 200
        assert [await call(app, REAL[0], "/nowhere") for _ in range(5)] == [404] * 4 + [429]


@pytest.mark.parametrize("written", ["api_key", {"api_key": {"from": ["x-litellm-api-key"]}}])
@pytest.mark.parametrize("place", ["header", "query", "cookie", "basic"])
async def test_a_made_up_key_beside_the_real_one_brings_no_new_budget(
    written: Any, place: str
) -> None:
    async def lenient(scope: Scope, receive: Receive, send: Send) -> None:
        """A server that finds the key anywhere, and looks at nothing else."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": ANSWER})

    if written != "api_key" and place != "header":
        written = {"api_key": {"from": [{place: "password" if place == "basic" else "token"}]}}
    answers = 0
    async with served({"budgets": [RPD], "identity": [written]}, MemoryStore(ManualClock())) as app:
        app.app = lenient
        for number in range(50):
            made_up = (b"authorization", b"Bearer made-up-%d" % number)
            name = "key" if written == "api_key" else "token"
            login = b"Basic " + b64encode(b"user-%d:real" % number)
            headers, query = {
                "header": ([made_up, (b"x-litellm-api-key", b"real")], b""),
                "query": ([made_up], name.encode() + b"=real"),
                "cookie": ([made_up, (b"cookie", b"token=real")], b""),
                "basic": ([(b"authorization", login)], b""),
            }[place]
            scope = http_scope(headers=headers, query_string=query)
            answers += (await drive(app, scope, ASK)).status == 200
    assert answers == 5
