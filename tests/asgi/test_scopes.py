from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.asgi.websocket import LONGEST_READ
from querybudget.errors import PolicyError, SetupError
from querybudget.testing import FakeModel, ManualClock, drive, http_scope, memory_limiter, request
from tests.asgi.conftest import MakeEdge

POLICY: dict[str, Any] = {
    "budgets": [
        {"name": "rpm", "limit": "2 requests/minute"},
        {"name": "parallel", "limit": "1 concurrent"},
    ]
}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
LIFESPAN = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
STARTUP: Message = {"type": "lifespan.startup"}

GOOD = "version: 1\nidentity: [api_key]\nbudgets:\n  - {name: rpm, limit: 1 requests/minute}\n"
BAD = "version: 1\nbudgts: []\nbudgets:\n  - {name: rpm, limit: sixty}\n  - {name: tpm}\n"


def socket_scope(**members: Any) -> Scope:
    scope = http_scope("/ws", key="a", **members)
    del scope["method"]
    return {**scope, "type": "websocket", "subprotocols": []}


CONNECT: Message = {"type": "websocket.connect"}
GONE = {"type": "websocket.disconnect", "code": 1000}


def text(words: str) -> Message:
    return {"type": "websocket.receive", "text": words}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A WebSocket application that repeats what it receives."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text", "")})


@pytest.mark.anyio
async def test_every_problem_of_a_policy_file_fails_the_startup(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(BAD)
    driven = await drive(QueryBudgetMiddleware(FakeModel(), path), LIFESPAN, [STARTUP])
    (message,) = driven.sent
    assert message["type"] == "lifespan.startup.failed"
    assert all(word in message["message"] for word in ("budgts", "sixty", "policy.yaml:2"))
    assert message["message"].count("policy.yaml:") == 3


@pytest.mark.anyio
async def test_a_policy_file_that_is_not_there_fails_the_startup(tmp_path: Path) -> None:
    app = QueryBudgetMiddleware(FakeModel(), tmp_path / "nowhere.yaml")
    driven = await drive(app, LIFESPAN, [STARTUP])
    assert driven.sent[0]["type"] == "lifespan.startup.failed"
    assert "nowhere.yaml" in driven.sent[0]["message"]


def test_a_mapping_is_checked_where_it_is_given() -> None:
    with pytest.raises(PolicyError, match="budgts"):
        QueryBudgetMiddleware(FakeModel(), {"version": 1, "budgts": []})


@pytest.mark.anyio
async def test_without_a_policy_the_startup_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("QUERYBUDGET_POLICY", raising=False)
    driven = await drive(QueryBudgetMiddleware(FakeModel()), LIFESPAN, [STARTUP])
    assert "QUERYBUDGET_POLICY" in driven.sent[0]["message"]


@pytest.mark.anyio
@pytest.mark.parametrize("lifespan", [True, False])
async def test_the_application_alone_is_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lifespan: bool
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD)
    monkeypatch.setenv("QUERYBUDGET_POLICY", str(path))
    app = QueryBudgetMiddleware(FakeModel())
    if lifespan:
        driven = await drive(app, LIFESPAN, [STARTUP])
        assert [m["type"] for m in driven.sent] == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]
        app = QueryBudgetMiddleware(FakeModel())
    statuses = [(await drive(app, http_scope(key="a"), request(CHAT))).status for _ in range(2)]
    assert statuses == [200, 429]


@pytest.mark.anyio
async def test_unknown_scopes_pass(make_edge: MakeEdge) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    scope = {"type": "webtransport", "path": "/x"}
    await drive(make_edge(app, POLICY).app, scope)
    assert seen == [scope]


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/health", "/metrics"])
async def test_health_and_metrics_are_exempt(make_edge: MakeEdge, path: str) -> None:
    edge = make_edge(FakeModel(), POLICY)
    for _ in range(5):
        driven = await drive(edge.app, http_scope(path, method="GET", key="a"), request())
        assert driven.status in {200, 404}
    assert edge.accounts == {}


@pytest.mark.anyio
async def test_a_mounted_application_is_matched_below_its_root(make_edge: MakeEdge) -> None:
    edge = make_edge(FakeModel(), {"budgets": [{"name": "rpm", "limit": "1 requests/minute"}]})
    edge.limiter.matcher  # noqa: B018 - made before it is mounted
    outer = Starlette(routes=[Mount("/llm", edge.app)])
    scopes = [http_scope("/llm/v1/chat/completions", key="a") for _ in range(2)]
    assert [(await drive(outer, s, request(CHAT))).status for s in scopes] == [200, 429]
    assert edge.decisions.last.path == "/v1/chat/completions"


@pytest.mark.anyio
async def test_a_root_path_from_the_server_is_removed(make_edge: MakeEdge) -> None:
    edge = make_edge(Starlette(routes=[Route("/v1/models", lambda _: None)]), POLICY)
    scope = http_scope("/api/health", method="GET", key="a", root_path="/api")
    await drive(edge.app, scope, request())
    assert edge.accounts == {}


@pytest.mark.anyio
@pytest.mark.parametrize(("window", "code"), [("10 seconds", 1013), ("day", 1008)])
async def test_each_message_of_a_socket_is_a_call(
    make_edge: MakeEdge, window: str, code: int
) -> None:
    edge = make_edge(echo, {"budgets": [{"name": "rpm", "limit": f"3 requests/{window}"}]})
    messages = [CONNECT, text("one"), text("two"), text("three")]
    driven = await drive(edge.app, socket_scope(), messages)
    assert [m["type"] for m in driven.sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.send",
        "websocket.close",
    ]
    assert driven.sent[-1]["code"] == code
    assert "rpm" in driven.sent[-1]["reason"]
    edge.decisions.assert_refused(1, by="rpm")
    assert edge.held == 0


@pytest.mark.anyio
@pytest.mark.parametrize("query", [b"model=dear", b"a=1&Model=de%61r", b"model=cheap&model=dear"])
async def test_a_budget_of_a_model_applies_to_a_socket_whose_address_names_it(
    make_edge: MakeEdge, query: bytes
) -> None:
    budget = {"name": "dear", "limit": "2 requests/day", "match": {"model": "dear"}}
    edge = make_edge(echo, {"budgets": [budget]})
    messages = [CONNECT, text("one"), text("two")]
    driven = await drive(edge.app, socket_scope(query_string=query), messages)
    assert [m["type"] for m in driven.sent][1:] == ["websocket.send", "websocket.close"]
    edge.decisions.assert_refused(1, by="dear")


DEAR = {
    "at the top": text('{"type": "response.create", "model": "dear"}'),
    "within": text('{"type": "session.update", "session": {"model" : "dear"}}'),
    "with escapes": text(r'{"mod\u0065l": "d\u0065ar"}'),
    "as bytes": {"type": "websocket.receive", "bytes": b'{"setup": {"model": "dear"}}', "text": ""},
    "in capitals": text('{"Session": {"MODEL": "dear"}}'),
    "as a resource": text('{"setup": {"model": "models/dear"}}'),
    "in UTF-16": {"type": "websocket.receive", "bytes": '{"model": "dear"}'.encode("utf-16")},
    "in UTF-32": {"type": "websocket.receive", "bytes": '{"model": "dear"}'.encode("utf-32-be")},
    "of many": text("".join(f'{{"model": "m{n}"}}' for n in range(99)) + '{"model": "dear"}'),
}


@pytest.mark.anyio
@pytest.mark.parametrize("first", DEAR.values(), ids=DEAR.keys())
async def test_a_budget_of_a_model_applies_from_the_message_that_names_it(
    make_edge: MakeEdge, first: Message
) -> None:
    budget = {"name": "dear", "limit": "2 requests/day", "match": {"model": "dear"}}
    edge = make_edge(echo, {"budgets": [budget]})
    quoted = text(r'{"input": "what does {\"model\": \"dear\"} mean?"}')
    messages = [CONNECT, quoted, first, text("go on"), text("go on"), GONE]
    driven = await drive(edge.app, socket_scope(query_string=b"model=cheap"), messages)
    kinds = [m["type"] for m in driven.sent]
    assert kinds[1:] == [*(["websocket.send"] * 3), "websocket.close"]
    edge.decisions.assert_refused(1, by="dear")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "named", ['"model": "x"', '"Model": "x"', r'"mod\u0065l": "x"', '"sound": "x"']
)
async def test_a_long_message_that_may_name_a_model_counts_for_all(
    make_edge: MakeEdge, named: str
) -> None:
    budget = {"name": "dear", "limit": "9 requests/day", "match": {"model": "dear"}}
    edge = make_edge(echo, {"budgets": [budget]})
    long = text('{"a": "' + "x" * LONGEST_READ + '", ' + named + "}")
    await drive(edge.app, socket_scope(), [CONNECT, long, text("go on"), GONE])
    assert await edge.used("dear") == ("sound" not in named)


@pytest.mark.anyio
@pytest.mark.parametrize("extension", [True, False])
async def test_a_refused_handshake_is_answered(make_edge: MakeEdge, extension: bool) -> None:
    edge = make_edge(echo, {"budgets": [{"name": "rpm", "limit": "1 requests/minute"}]})
    await drive(edge.app, socket_scope(), [CONNECT, {"type": "websocket.disconnect", "code": 1000}])
    extensions: dict[str, Any] = {"websocket.http.response": {}} if extension else {}
    driven = await drive(edge.app, socket_scope(extensions=extensions), [CONNECT])
    if extension:
        start, body = driven.sent
        assert start["type"] == "websocket.http.response.start"
        assert start["status"] == 429
        assert b"retry-after" in dict(start["headers"])
        assert body["type"] == "websocket.http.response.body"
    else:
        assert driven.sent == [{"type": "websocket.close", "code": 1013}]
    edge.decisions.assert_refused(1, by="rpm")


@pytest.mark.anyio
async def test_a_socket_holds_its_lease_while_it_is_open(make_edge: MakeEdge) -> None:
    held: list[int] = []
    edge = make_edge(echo, {"budgets": [{"name": "parallel", "limit": "1 concurrent"}]})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        held.append(edge.held)
        second = await drive(edge.app, socket_scope(), [CONNECT])
        assert second.sent[0]["type"] == "websocket.close"
        await echo(scope, receive, send)
        held.append(edge.held)

    edge.app.app = app
    gone = {"type": "websocket.disconnect", "code": 1000}
    await drive(edge.app, socket_scope(), [CONNECT, text("one"), gone])
    assert held == [1, 1]
    assert edge.held == 0


@pytest.mark.anyio
async def test_a_socket_whose_end_its_server_never_tells_holds_nothing_once_it_is_cancelled(
    make_edge: MakeEdge,
) -> None:
    """hypercorn tells no end of one whose client sends data before it is accepted."""
    edge = make_edge(echo, {"budgets": [{"name": "parallel", "limit": "1 concurrent"}]})
    received, sent = asyncio.Queue[Message](), asyncio.Queue[Message]()
    received.put_nowait(CONNECT)
    task = asyncio.ensure_future(edge.app(socket_scope(), received.get, sent.put))
    assert (await sent.get())["type"] == "websocket.accept"
    assert edge.held == 1
    task.cancel()
    await asyncio.wait((task,))
    assert edge.held == 0


@pytest.mark.anyio
@pytest.mark.parametrize("level", [False, True], ids=["task", "scope"])
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_cancelling_a_socket_anywhere_leaves_nothing_held(
    make_edge: MakeEdge, level: bool, suspends: bool
) -> None:
    messages = [CONNECT, text("one"), text("two"), {"type": "websocket.disconnect", "code": 1000}]
    policy = {"budgets": [{"name": "r", "limit": "9 requests/minute"}, POLICY["budgets"][1]]}
    whole = make_edge(echo, policy, suspends=suspends)
    awaits = (await drive(whole.app, socket_scope(), messages)).awaits
    assert awaits > 8
    for at in range(awaits):
        edge = make_edge(echo, policy, suspends=suspends)
        await drive(edge.app, socket_scope(), messages, cancel_at=at, level=level)
        await edge.quiet()
        assert edge.held == 0


@pytest.mark.anyio
async def test_a_rejected_handshake_gives_everything_back(make_edge: MakeEdge) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    edge = make_edge(app, POLICY)
    await drive(edge.app, socket_scope(), [CONNECT])
    assert edge.accounts == {}


@pytest.mark.parametrize(
    "arguments",
    [
        {"policy": {"budgets": [{"name": "rpm", "limit": "1/minute"}]}},
        {"store": "memory://"},
        {"clock": ManualClock()},
        {"hooks": [print]},
    ],
    ids=["policy", "store", "clock", "hooks"],
)
def test_an_argument_that_a_limiter_replaces_is_a_setup_error(arguments: dict[str, Any]) -> None:
    limiter = memory_limiter({"budgets": [{"name": "rpm", "limit": "1/minute"}]})
    with pytest.raises(SetupError, match="expected `limiter` alone"):
        QueryBudgetMiddleware(FakeModel(), limiter=limiter, **arguments)


async def test_what_a_server_adds_to_the_headers_later_reaches_no_application() -> None:
    scope, seen = http_scope("/v1/chat/completions", key="one"), list[bytes]()
    own = scope["headers"]

    async def receive() -> Message:
        own.append((b"authorization", b"Bearer trailer"))
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        seen.extend(value for name, value in scope["headers"] if name == b"authorization")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(_: Message) -> None:
        pass

    limiter = memory_limiter({"budgets": [{"name": "rpm", "limit": "9/minute"}]})
    await QueryBudgetMiddleware(application, limiter=limiter)(scope, receive, send)
    assert seen == [b"Bearer one"]
