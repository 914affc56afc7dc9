from __future__ import annotations

import pytest

from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.testing import FakeModel, Reply, drive, http_scope, request
from tests.asgi.conftest import MakeEdge

POLICY = {
    "budgets": [
        {"name": "rpm", "limit": "10 requests/minute"},
        {"name": "tokens", "limit": "100_000 tokens/minute"},
        {"name": "parallel", "limit": "4 concurrent"},
    ]
}
CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}


class Producer:
    """An application that says in a log when it makes each chunk of its answer."""

    def __init__(self, log: list[str], chunks: int = 5) -> None:
        self.log = log
        self.chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"text/event-stream"), (b"X-Own", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(self.chunks):
            self.log.append(f"produce {at}")
            body = b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % at
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_stream_is_the_same_with_and_without_the_middleware(
    make_edge: MakeEdge, path: str
) -> None:
    body = {**CHAT, "max_tokens": 9, "input": "hello"}
    model = FakeModel(Reply(text="a long answer, in pieces", chunks=7))
    bare = await drive(model, http_scope(path, key="a"), request(body))
    edge = make_edge(model, POLICY)
    metered = await drive(edge.app, http_scope(path, key="a"), request(body))
    assert metered.sent[1:] == bare.sent[1:]
    assert metered.sent[0]["status"] == bare.sent[0]["status"]
    assert metered.sent[0]["headers"][: len(bare.sent[0]["headers"])] == bare.sent[0]["headers"]
    edge.decisions.assert_admitted(1)


@pytest.mark.anyio
async def test_each_chunk_leaves_before_the_next_is_produced(make_edge: MakeEdge) -> None:
    log: list[str] = []
    edge = make_edge(Producer(log), POLICY)
    await drive(edge.app, http_scope(key="a"), request(CHAT), log=log)
    at = log.index("produce 0")
    body = "send:http.response.body"
    assert log[at:] == [word for n in range(5) for word in (f"produce {n}", body)] + [body]


@pytest.mark.anyio
async def test_body_messages_are_the_very_objects_the_application_sent(
    make_edge: MakeEdge,
) -> None:
    sent: list[Message] = []
    inner = Producer([])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            sent.append(message)
            await send(message)

        await inner(scope, receive, note)

    driven = await drive(make_edge(app, POLICY).app, http_scope(key="a"), request(CHAT))
    assert [id(m) for m in driven.sent[1:]] == [id(m) for m in sent[1:]]


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_the_application_receives_the_body_whole_and_in_one_message(
    make_edge: MakeEdge, pieces: int
) -> None:
    messages = request(CHAT, pieces=pieces)
    messages[0]["extra"] = "kept"
    received: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.append(await receive())
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})
        received.append(await receive())

    policy = {**POLICY, "streams": {"usage": "leave"}}
    await drive(make_edge(app, policy).app, http_scope(key="a"), messages)
    whole = messages if pieces == 1 else request(CHAT)
    assert received == [*whole, {"type": "http.disconnect"}]


@pytest.mark.anyio
async def test_receive_after_the_body_waits_for_the_real_disconnect(
    make_edge: MakeEdge,
) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"{}"})
        log.append((await receive())["type"])

    await drive(make_edge(app, POLICY).app, http_scope(key="a"), request(CHAT), log=log)
    assert log[-1] == "http.disconnect"
    assert log.index("send:http.response.body") < log.index("receive:http.disconnect")


@pytest.mark.anyio
async def test_the_lease_is_free_before_the_client_can_see_the_end(
    make_edge: MakeEdge,
) -> None:
    open_at_send: list[tuple[bool, int]] = []
    edge = make_edge(Producer([]), POLICY)
    messages = request(CHAT)

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        last = message["type"] == "http.response.body" and not message["more_body"]
        open_at_send.append((last, edge.held))

    await edge.app(http_scope(key="a"), receive, send)
    assert open_at_send[-1] == (True, 0)
    assert {held for last, held in open_at_send if not last} == {1}


@pytest.mark.anyio
async def test_start_is_touched_once_and_unknown_messages_pass(make_edge: MakeEdge) -> None:
    strange = {"type": "http.response.debug", "info": {"template": "t"}}
    hints = {"type": "http.response.early_hint", "links": [b"</style.css>"]}
    start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in (hints, strange, start):
            await send(message)
        await send({"type": "http.response.body", "body": b"x"})
        await send(trailers)

    driven = await drive(make_edge(app, POLICY).app, http_scope(key="a"), request(CHAT))
    assert driven.sent[0] is hints
    assert driven.sent[1] is strange
    assert driven.sent[2]["trailers"] is True
    assert driven.sent[4] is trailers
    assert start["headers"] == []


@pytest.mark.anyio
async def test_pathsend_passes_and_settles(make_edge: MakeEdge) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": "/answer.json"})

    edge = make_edge(app, POLICY)
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert driven.sent[-1] == {"type": "http.response.pathsend", "path": "/answer.json"}
    assert edge.held == 0
    assert await edge.used("rpm") == 1


@pytest.mark.anyio
async def test_the_applications_own_budget_headers_are_replaced_not_doubled(
    make_edge: MakeEdge,
) -> None:
    own = {"x-ratelimit-limit-requests": "9999", "X-RateLimit-Anything": "1"}
    edge = make_edge(FakeModel(Reply(headers=own)), POLICY)
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert driven.headers["x-ratelimit-limit-requests"] == "10"
    assert "x-ratelimit-anything" not in driven.headers
