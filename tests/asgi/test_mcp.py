"""Tools of MCP count as models, its other messages count nothing, and refusals are JSON-RPC's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from querybudget.adapters.mcp import MAX_MESSAGES
from querybudget.asgi.types import Receive, Scope, Send
from querybudget.testing import drive, http_scope, request
from querybudget.testing.asgi import Driven
from tests.asgi.conftest import Edge, MakeEdge

POLICY = {
    "routes": [{"path": "/mcp", "read": "mcp"}],
    "budgets": [
        {"name": "searches", "limit": "2 requests/day", "match": {"model": "search"}},
        {"name": "all", "limit": "4 requests/day"},
        {"name": "tokens", "limit": "1_000_000 tokens/day"},
        {"name": "parallel", "limit": "20 concurrent"},
    ],
}
FREE: list[dict[str, Any]] = [
    {"method": "initialize", "id": 0, "params": {"protocolVersion": "2025-06-18"}},
    {"method": "notifications/initialized"},
    {"method": "notifications/cancelled", "params": {"requestId": 1}},
    {"method": "tools/list", "id": 1},
    {"method": "ping", "id": "a"},
    {"method": "server/discover", "id": 4},
    {"method": "tasks/result", "id": 5, "params": {"taskId": "t"}},
    {"id": 2, "result": {"content": []}},
    {"id": 3, "error": {"code": 1, "message": "no"}},
]


async def answers(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 202, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def edge(make_edge: MakeEdge) -> Edge:
    return make_edge(answers, POLICY)


def message(**members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", **members}


def asks(tool: str, number: Any = 7, **arguments: Any) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    return message(id=number, method="tools/call", params=params)


async def send(edge: Edge, body: object) -> Driven:
    return await drive(edge.app, http_scope("/mcp", key="ada"), request(body))


async def used(edge: Edge) -> dict[str, int]:
    return {name: await edge.used(name) for name in ("searches", "all", "parallel")}


@pytest.mark.anyio
@pytest.mark.parametrize("number", [7, "c0ffee", 0])
async def test_a_refused_tool_call_is_an_error_of_json_rpc_with_the_message_s_id(
    edge: Edge, number: int | str
) -> None:
    for _ in range(2):
        assert (await send(edge, asks("search", number, query="terns"))).status == 202
    refused = await send(edge, asks("search", number, query="terns"))
    body = json.loads(refused.body)
    assert refused.status == 429
    assert refused.headers["content-type"] == "application/json"
    assert refused.headers["content-length"] == str(len(refused.body))
    assert (body["jsonrpc"], body["id"], body["error"]["code"]) == ("2.0", number, -32000)
    assert body["error"]["data"]["violated-policies"] == ["searches"]
    assert (await send(edge, asks("opening_hours"))).status == 202
    assert await used(edge) == {"searches": 2, "all": 3, "parallel": 0}


@pytest.mark.anyio
@pytest.mark.parametrize("number", [None, True, 1.5, "x" * 1000, ["a"], {"a": 1}])
async def test_a_refusal_repeats_no_id_that_is_none(edge: Edge, number: Any) -> None:
    for _ in range(2):
        await send(edge, asks("search"))
    assert json.loads((await send(edge, asks("search", number))).body)["id"] is None


@pytest.mark.anyio
async def test_messages_that_call_nothing_count_in_no_budget_and_pass_when_all_is_used_up(
    edge: Edge,
) -> None:
    for _ in range(4):
        assert (await send(edge, asks("opening_hours"))).status == 202
    assert (await send(edge, asks("opening_hours"))).status == 429
    for free in [*(message(**members) for members in FREE), [message(**one) for one in FREE]]:
        assert (await send(edge, free)).status == 202
    assert await used(edge) == {"searches": 0, "all": 4, "parallel": 0}


@pytest.mark.anyio
async def test_each_tool_call_of_a_batch_counts_and_what_calls_nothing_beside_it_does_not(
    edge: Edge,
) -> None:
    batch = [message(**FREE[3]), asks("search", 1), asks("search", 2), message(**FREE[1])]
    assert (await send(edge, batch)).status == 202
    assert await used(edge) == {"searches": 2, "all": 2, "parallel": 0}
    refused = await send(edge, [asks("search", 3), message(**FREE[3])])
    assert (refused.status, json.loads(refused.body)["id"]) == (429, None)


@pytest.mark.anyio
async def test_each_of_more_messages_than_are_read_counts(make_edge: MakeEdge) -> None:
    budgets = [{"name": "all", "limit": "2000 requests/day"}]
    edge = make_edge(answers, {**POLICY, "budgets": budgets})
    await send(edge, [asks("search", number) for number in range(MAX_MESSAGES + 1)])
    assert await edge.used("all") == MAX_MESSAGES + 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","method":"ping","method":"tools/call","params":{"name":"search"}}',
        b'{"jsonrpc":"2.0","method":"tools/call","method":"ping","params":{"name":"search"}}',
        b'{"jsonrpc":"2.0","method":"ping","METHOD":"tools/call","params":{"name":"search"}}',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a","name":"search"}}',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a","Name":"search"}}',
        b'{"jsonrpc":"2.0","method":"t\\u006fols/call","params":{"name":"search"}}',
        b'[[{"jsonrpc":"2.0","method":"tools/call","params":{"name":"search"}}]]',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"search"}',
        json.dumps(asks("search")).encode("utf-16"),
        b"[]",
        b"",
    ],
)
async def test_no_spelling_of_a_tool_call_is_free(edge: Edge, body: bytes) -> None:
    await send(edge, body)
    assert await used(edge) == {"searches": 1, "all": 1, "parallel": 0}


@pytest.mark.anyio
async def test_a_method_that_nobody_knows_to_be_free_is_a_model_of_its_own_name(
    make_edge: MakeEdge,
) -> None:
    match = {"model": ["resources/read", "prompts/get"]}
    budgets = [{"name": "reads", "limit": "9 requests/day", "match": match}]
    edge = make_edge(answers, {**POLICY, "budgets": budgets})
    for method in ("resources/read", "prompts/get", "resources/list"):
        await send(edge, message(id=1, method=method, params={"name": "search"}))
    assert await edge.used("reads") == 2


@pytest.mark.anyio
async def test_a_budget_that_names_them_counts_messages_that_call_nothing(
    make_edge: MakeEdge,
) -> None:
    match = {"operation": "mcp_session"}
    budgets = [{"name": "messages", "limit": "9 requests/day", "match": match}]
    edge = make_edge(answers, {**POLICY, "budgets": budgets})
    for members in FREE:
        await send(edge, message(**members))
    await send(edge, asks("search"))
    assert await edge.used("messages") == len(FREE)


@pytest.mark.anyio
async def test_a_route_that_names_its_operation_still_leaves_out_what_calls_nothing(
    make_edge: MakeEdge,
) -> None:
    routes = [{"path": "/mcp", "read": "mcp", "operation": "tools"}]
    limit = {"limit": "9 requests/day"}
    budgets = [
        {"name": "all", **limit},
        {"name": "named", **limit, "match": {"operation": "tools"}},
    ]
    edge = make_edge(answers, {"routes": routes, "budgets": budgets})
    await send(edge, message(**FREE[0]))
    await send(edge, asks("search"))
    assert (await edge.used("named"), await edge.used("all")) == (1, 1)


@pytest.mark.anyio
async def test_the_arguments_of_a_tool_call_are_its_prompt(edge: Edge) -> None:
    await send(edge, asks("opening_hours", day="x" * 400))
    assert await edge.used("tokens") >= 100
