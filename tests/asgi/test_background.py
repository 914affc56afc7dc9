"""An answer made in the background is charged what it used, once, whoever fetches it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from querybudget.adapters.base import Usage
from querybudget.asgi.background import BackgroundAnswers
from querybudget.asgi.types import Receive, Scope, Send
from querybudget.testing import drive, http_scope, request
from tests.asgi.conftest import Edge, MakeEdge

POLICY = {
    "estimate": {"output_tokens": 100},
    "budgets": [
        {"name": "tokens", "limit": "1_000_000 tokens/day"},
        {"name": "parallel", "limit": "20 concurrent"},
    ],
}
ASK: dict[str, Any] = {"model": "m", "input": "x" * 400, "background": True}
ESTIMATE = 200
USED = {"input_tokens": 90, "output_tokens": 20_000, "total_tokens": 20_090}


class Server:
    """A Responses API whose answers are made in the background."""

    def __init__(self) -> None:
        self.made = 0
        self.status = "queued"
        self.usage: dict[str, int] | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.broken = False

    def response(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "response",
            "status": self.status,
            "output": [],
            "usage": self.usage,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"")
        name = scope["path"].removesuffix("/cancel").rpartition("/")[2]
        if name == "responses":
            self.made += 1
            name = f"resp_{self.made}"
        answer = self.response(name)
        if scope["method"] == "DELETE":
            answer = {"id": name, "object": "response", "deleted": True}
        if scope["path"].endswith("/input_items"):
            answer = {"object": "list", "data": []}
        kind, content = b"application/json", json.dumps(answer).encode()
        if b"stream=true" in scope["query_string"] or b'"stream": true' in body:
            kind, event = b"text/event-stream", f"response.{self.status}"
            data = json.dumps({"type": event, "response": answer})
            content = f"event: {event}\ndata: {data}\n\n".encode()
        headers = [(b"content-type", kind), *self.headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if self.broken:
            raise ConnectionError
        await send({"type": "http.response.body", "body": content})


async def ask(edge: Edge, **members: Any) -> None:
    body = json.dumps({**ASK, **members}).encode()
    await drive(edge.app, http_scope("/v1/responses", key="owner"), request(body))


async def fetch(
    edge: Edge, name: str = "resp_1", method: str = "GET", key: str = "owner", query: bytes = b""
) -> Any:
    scope = http_scope(f"/v1/responses/{name}", method=method, key=key, query_string=query)
    answer = await drive(edge.app, scope, request(b""))
    return answer.body


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["owner", "another", ""])
@pytest.mark.parametrize("query", [b"", b"stream=true&starting_after=7"])
async def test_a_fetched_answer_is_charged_to_its_owner_once(
    make_edge: MakeEdge, key: str, query: bytes
) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    await ask(edge)
    assert (await edge.used("tokens"), edge.held) == (ESTIMATE, 1)
    assert not edge.limiter.renewals._open
    for server.status in ("queued", "in_progress"):
        await fetch(edge, key=key, query=query)
        assert await edge.used("tokens") == ESTIMATE
    server.status, server.usage = "completed", USED
    for _ in range(3):
        await fetch(edge, key=key, query=query)
        assert (await edge.used("tokens"), edge.held) == (20_090, 0)
    charged = [e for e in edge.decisions.events if e.usage and e.usage.output]
    assert [(e.usage, e.operation) for e in charged] == [(Usage(90, output=20_000), "responses")]


@pytest.mark.anyio
async def test_what_was_reserved_too_much_is_given_back(make_edge: MakeEdge) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    await ask(edge, max_output_tokens=100_000)
    server.status, server.usage = "completed", {"input_tokens": 90, "output_tokens": 10}
    await fetch(edge)
    assert await edge.used("tokens") == 100


@pytest.mark.anyio
async def test_an_answer_fetched_after_its_reservation_expired_is_charged_the_rest(
    make_edge: MakeEdge,
) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    await ask(edge)
    edge.clock.advance(3600)
    assert await edge.used("parallel") == 0
    server.status, server.usage = "completed", USED
    await fetch(edge)
    assert await edge.used("tokens") == 20_090


@pytest.mark.anyio
@pytest.mark.parametrize("status", ["failed", "cancelled", "incomplete"])
async def test_an_answer_that_ends_without_a_report_stays_at_the_estimate(
    make_edge: MakeEdge, status: str
) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    await ask(edge)
    server.status = status
    await fetch(edge, "resp_1/cancel" if status == "cancelled" else "resp_1")
    assert (await edge.used("tokens"), edge.held) == (ESTIMATE, 0)


@pytest.mark.anyio
async def test_a_deleted_answer_is_charged_at_the_estimate(make_edge: MakeEdge) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    await ask(edge)
    await fetch(edge, method="DELETE")
    assert (await edge.used("tokens"), edge.held) == (ESTIMATE, 0)


@pytest.mark.anyio
async def test_what_is_not_the_answer_changes_nothing(make_edge: MakeEdge) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    await ask(edge)
    await fetch(edge, "resp_1/input_items")
    server.status, server.usage = "completed", USED
    await fetch(edge, "resp_9")
    await fetch(edge, "resp_10")
    server.headers = [(b"content-encoding", b"br")]
    await fetch(edge)
    server.headers, server.broken = [], True
    await fetch(edge)
    assert (await edge.used("tokens"), edge.held) == (ESTIMATE, 1)


@pytest.mark.anyio
async def test_an_answer_that_is_fetched_is_not_asked_for_in_a_coding(make_edge: MakeEdge) -> None:
    seen: list[Any] = []
    server = Server()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append([value for name, value in scope["headers"] if name == b"accept-encoding"])
        await server(scope, receive, send)

    edge = make_edge(app, POLICY)
    await ask(edge)
    for name in ("resp_1", "resp_2"):
        headers = {"accept-encoding": "gzip"}
        scope = http_scope(f"/v1/responses/{name}", method="GET", headers=headers)
        await drive(edge.app, scope, request(b""))
    assert seen[1:] == [[], [b"gzip"]]


@pytest.mark.anyio
async def test_a_stream_that_goes_on_in_the_background_stays_open(make_edge: MakeEdge) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    server.status = "in_progress"
    await ask(edge, stream=True)
    assert edge.held == 1
    server.status, server.usage = "completed", USED
    await fetch(edge, query=b"stream=true")
    assert (await edge.used("tokens"), edge.held) == (20_090, 0)


@pytest.mark.anyio
async def test_an_answer_that_is_there_at_once_is_charged_at_once(make_edge: MakeEdge) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    server.status, server.usage = "completed", USED
    await ask(edge)
    assert (await edge.used("tokens"), edge.held) == (20_090, 0)
    await fetch(edge)
    assert await edge.used("tokens") == 20_090


@pytest.mark.anyio
async def test_a_stored_answer_that_is_fetched_again_costs_no_tokens(make_edge: MakeEdge) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    server.status, server.usage = "completed", USED
    await ask(edge, background=False)
    await fetch(edge)
    assert await edge.used("tokens") == 20_090


@pytest.mark.anyio
async def test_the_oldest_of_too_many_answers_is_charged_at_its_estimate(
    make_edge: MakeEdge,
) -> None:
    server = Server()
    edge = make_edge(server, POLICY)
    edge.app._calls.background = BackgroundAnswers(limit=2)
    for _ in range(3):
        await ask(edge)
    assert edge.held == 2
    server.status, server.usage = "completed", USED
    for name in ("resp_1", "resp_2", "resp_3"):
        await fetch(edge, name)
    assert (await edge.used("tokens"), edge.held) == (ESTIMATE + 2 * 20_090, 0)


@pytest.mark.anyio
async def test_answers_are_charged_at_their_estimates_when_the_process_ends(
    make_edge: MakeEdge,
) -> None:
    edge = make_edge(Server(), POLICY)
    await ask(edge)
    assert await edge.app._calls.end(0) == 0
    assert (await edge.used("tokens"), edge.held) == (ESTIMATE, 0)
    assert [event.operation for event in edge.decisions.events] == ["responses"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["", "r" * 201, None, 7])
async def test_an_id_of_no_use_is_not_kept(make_edge: MakeEdge, name: object) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = json.dumps({"id": name, "status": "queued", "output": [], "usage": None}).encode()
        await send({"type": "http.response.body", "body": body})

    edge = make_edge(app, POLICY)
    await ask(edge)
    assert (await edge.used("tokens"), edge.held) == (ESTIMATE, 0)
