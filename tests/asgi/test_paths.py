"""Paths at the edge: what a proxy or server behind may lead to a model is charged as such."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from querybudget import paths
from querybudget.paths import LONGEST
from querybudget.testing import FakeModel, drive, http_scope, request
from tests.asgi.conftest import MakeEdge

CHAT = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}
POLICY: dict[str, Any] = {
    "exempt": ["/health", "/health/*", "/metrics*", "/ws/*"],
    "budgets": [{"name": "tokens", "limit": "1000 tokens/minute"}],
}
AROUND = [
    "/health/../v1/chat/completions",
    "/health/%2e%2e/v1/chat/completions",
    "/health/..%2fv1/chat/completions",
    "/health/%252e%252e/v1/chat/completions",
    "/health/x/../../v1/chat/completions",
    "/health//../../v1/chat/completions",
    "/health/..;/v1/chat/completions",
    "/health/..%5cv1%5cchat%5ccompletions",
    "/metrics/../v1/chat/completions/",
    "/metrics%2f..%2fv1%2fchat%2fcompletions",
    "/health/./../v1/chat/completions",
    "/health/../v1/chat/completions%3f",
    "/health/../v1/chat/completions%23/health",
    "/health/%2e./v1//chat/completions",
    "//health/v1/chat/completions",
    "/v1/chat/completions%3b",
    "/V1/Chat/Completions",
]


def scope_of(raw: str, **members: Any) -> Any:
    return http_scope(unquote(raw), key="a", raw_path=raw.encode(), **members)


@pytest.mark.anyio
@pytest.mark.parametrize("raw", AROUND)
async def test_no_spelling_of_a_path_leads_around_a_budget(make_edge: MakeEdge, raw: str) -> None:
    edge = make_edge(FakeModel(), POLICY)
    await drive(edge.app, scope_of(raw), request({**CHAT, "max_tokens": 2_000}))
    assert edge.decisions.last.operation in {"chat", "unreadable"}
    assert edge.decisions.last.expected.output > 0


@pytest.mark.anyio
async def test_a_path_that_servers_read_as_different_operations_is_unreadable(
    make_edge: MakeEdge,
) -> None:
    edge = make_edge(FakeModel(), POLICY)
    for raw in ("/v1/chat/completions%23/../../embeddings", "/v1/messages%3f/../responses"):
        await drive(edge.app, scope_of(raw), request(CHAT))
        assert edge.decisions.last.operation == "unreadable"


@pytest.mark.anyio
async def test_plain_paths_are_exempt_as_before(make_edge: MakeEdge) -> None:
    edge = make_edge(FakeModel(), POLICY)
    for raw in ("/health", "/health/", "/health/deep/er", "/metrics"):
        await drive(edge.app, scope_of(raw, method="GET"), request())
    assert edge.decisions.events == []


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/ws/../v1/realtime", "/ws/%2e%2e/v1/realtime"])
async def test_a_websocket_is_exempt_by_plain_paths_alone(make_edge: MakeEdge, path: str) -> None:
    edge = make_edge(FakeModel(), {**POLICY, "budgets": [{"name": "n", "limit": "1/minute"}]})
    scope = http_scope(unquote(path), key="a", type="websocket")
    await drive(edge.app, scope, [{"type": "websocket.connect"}])
    assert [event.method for event in edge.decisions.events] == ["WEBSOCKET"]


@pytest.mark.anyio
async def test_a_budget_for_a_path_applies_to_every_reading_of_it(make_edge: MakeEdge) -> None:
    budget = {"name": "files", "limit": "1 requests/minute", "match": {"path": "/v1/files"}}
    edge = make_edge(FakeModel(), {"budgets": [budget]})
    for raw in ("/v1/files", "/x/../v1/files", "/v1%252ffiles", "//v1/files/"):
        await drive(edge.app, scope_of(raw, method="GET"), request())
    assert [event.verdict for event in edge.decisions.events] == ["admit", "wait", "wait", "wait"]


ROOTS = {
    "a root that the path has not": ("/messages", "/v1"),
    "a root that the path has too": ("/v1/messages", "/v1"),
    "a deeper root": ("/messages", "/llm/v1"),
    "a root with a slash": ("/messages", "/v1/"),
    "a root that is only a prefix": ("/v1/messages", "/llm"),
    "no root": ("/v1/messages", ""),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "root"), ROOTS.values(), ids=ROOTS.keys())
async def test_the_adapter_is_found_by_root_path_and_path(
    make_edge: MakeEdge, path: str, root: str
) -> None:
    edge = make_edge(FakeModel(), POLICY)
    scope = http_scope(path, key="a", root_path=root)
    await drive(edge.app, scope, request({**CHAT, "max_tokens": 2_000}))
    assert edge.decisions.last.operation == "messages"
    edge.decisions.assert_refused(1, by="tokens")


@pytest.mark.anyio
async def test_a_mount_under_v1_is_metered(make_edge: MakeEdge) -> None:
    edge = make_edge(FakeModel(), POLICY)
    outer = Starlette(routes=[Mount("/v1", edge.app)])
    for path in ("/v1/messages", "/v1/responses", "/v1/chat/completions"):
        await drive(outer, http_scope(path, key="a"), request({**CHAT, "input": "x"}))
    assert [event.operation for event in edge.decisions.events] == ["messages", "responses", "chat"]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_path_longer_than_any_is_refused_before_anything_reads_it(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    edge = make_edge(FakeModel(), POLICY)
    read: list[str] = []
    monkeypatch.setattr(paths, "is_plain", read.append)
    driven = await drive(edge.app, scope_of("/a" * LONGEST, type=kind))
    assert driven.sent[0].get("status", driven.sent[0].get("code")) in {414, 1008}
    assert read == []


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_long_path_of_many_readings_is_refused_unread(
    make_edge: MakeEdge, kind: str
) -> None:
    edge = make_edge(FakeModel(), POLICY)
    scope = scope_of("/health" + "/x/.." * 2_000, type=kind)
    driven = await drive(edge.app, scope, request(CHAT))
    assert driven.sent[0].get("status", driven.sent[0].get("code")) in {414, 1008}
    assert "receive:http.request" not in driven.log
    assert edge.accounts == {}
