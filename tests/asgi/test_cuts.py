from __future__ import annotations

import pytest

from querybudget.adapters.base import Usage
from querybudget.asgi.types import Receive, Scope, Send
from querybudget.testing import Driven, Failure, FakeModel, Reply, drive, http_scope, request
from tests.asgi.conftest import Edge, MakeEdge

POLICY = {
    "budgets": [
        {"name": "rpm", "limit": "10 requests/minute"},
        {"name": "tokens", "limit": "100_000 tokens/minute"},
        {"name": "parallel", "limit": "4 concurrent"},
        {"name": "all", "limit": "1000 requests/day", "per": "everyone"},
    ]
}
CHAT = {
    "model": "m",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [{"role": "user", "content": "hello"}],
}
TEXT = "0123456789abcdefghij"  # 5 pieces of 4 bytes, one token each by the default estimate
REPLY = Reply(text=TEXT, chunks=5, usage=Usage(input=7, output=5))


def served(driven: Driven) -> int:
    """Pieces of text that reached the client."""
    return driven.body.count(b'"content":"') - driven.body.count(b'"content":""')


async def settled(edge: Edge, driven: Driven) -> None:
    """Nothing is held, and what was charged is what was sent: at most one piece more, in flight."""
    await edge.quiet()
    assert edge.held == 0
    used = await edge.used("tokens")
    if not edge.decisions.admitted:  # Cut before it was admitted: given back.
        assert used == 0
        assert await edge.used("rpm") == 0
        return
    (event,) = edge.decisions.admitted
    pieces = served(driven)
    assert event.usage is not None
    assert pieces <= event.usage.output <= pieces + 1
    assert used == event.usage.input + event.usage.output
    assert await edge.used("rpm") == 1
    assert await edge.used("all") == 1


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("level", [False, True], ids=["task", "scope"])
@pytest.mark.parametrize("spec", ["2.3", "2.4"], ids=["child_task", "same_task"])
async def test_cancelling_at_any_await_leaves_nothing_held_and_charges_what_was_sent(
    make_edge: MakeEdge, suspends: bool, level: bool, spec: str
) -> None:
    asgi = {"version": "3.0", "spec_version": spec}  # Starlette streams from a child task in 2.3
    whole = make_edge(FakeModel(REPLY), POLICY, suspends=suspends)
    awaits = (await drive(whole.app, http_scope(key="a", asgi=asgi), request(CHAT))).awaits
    assert awaits > 20
    for at in range(awaits):
        edge = make_edge(FakeModel(REPLY), POLICY, suspends=suspends)
        scope, messages = http_scope(key="a", asgi=asgi), request(CHAT)
        driven = await drive(edge.app, scope, messages, cancel_at=at, level=level)
        await settled(edge, driven)


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("level", [False, True], ids=["task", "scope"])
async def test_cancelling_in_any_turn_of_the_loop_leaves_nothing_held_and_charges_what_was_sent(
    make_edge: MakeEdge, suspends: bool, level: bool
) -> None:
    turn, driven = 0, Driven(cut=True)
    while driven.cut:
        edge = make_edge(FakeModel(REPLY), POLICY, suspends=suspends)
        scope, messages = http_scope(key="a"), request(CHAT)
        driven = await drive(edge.app, scope, messages, cancel_in_turn=turn, level=level)
        await settled(edge, driven)
        turn += 1
    assert turn > 20
    assert served(driven) == 5


@pytest.mark.anyio
async def test_output_after_the_client_hung_up_is_not_charged(
    make_edge: MakeEdge,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(7):
            body = b'data: {"choices":[{"delta":{"content":"abcd"}}]}\n\n'
            await send({"type": "http.response.body", "body": body, "more_body": True})
            if at == 2:
                assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body"})

    edge = make_edge(app, POLICY)
    await drive(edge.app, http_scope(key="a"), request(CHAT), disconnect_after=4)
    usage = edge.decisions.last.usage
    assert usage
    assert usage.output == 3


@pytest.mark.anyio
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_usage_that_is_reported_after_the_client_hung_up_is_charged(
    make_edge: MakeEdge, streams: bool
) -> None:
    usage = b'"usage":{"prompt_tokens":7,"completion_tokens":3000}'
    kind = b"text/event-stream" if streams else b"application/json"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}
        )
        text = b'{"choices":[{"message":{"content":"a"}}],' + usage + b"}"
        if streams:
            text = b'data: {"choices":[],' + usage + b"}\n\ndata: [DONE]\n\n"
        await send({"type": "http.response.body", "body": text, "more_body": True})
        await send({"type": "http.response.body"})

    edge = make_edge(app, POLICY)
    await drive(edge.app, http_scope(key="a"), request(CHAT), disconnect_at=1)
    used = edge.decisions.last.usage
    assert used
    assert (used.input, used.output, used.estimated) == (7, 3000, False)


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
async def test_hanging_up_after_any_message_charges_what_was_sent(
    make_edge: MakeEdge, suspends: bool
) -> None:
    for after in range(1, 11):
        edge = make_edge(FakeModel(REPLY), POLICY, suspends=suspends)
        scope, messages = http_scope(key="a"), request(CHAT)
        driven = await drive(edge.app, scope, messages, disconnect_after=after)
        await settled(edge, driven)


@pytest.mark.anyio
@pytest.mark.parametrize("at", [0, 1, 2, 3])
async def test_hanging_up_while_the_body_is_read_costs_nothing_and_calls_no_application(
    make_edge: MakeEdge, at: int
) -> None:
    model = FakeModel(REPLY)
    edge = make_edge(model, POLICY)
    await drive(edge.app, http_scope(key="a"), request(CHAT, pieces=4), disconnect_at=at)
    assert model.requests == []
    assert edge.accounts == {}


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
async def test_an_exception_before_the_answer_gives_everything_back(
    make_edge: MakeEdge, stream: bool
) -> None:
    edge = make_edge(FakeModel(Reply(failure=Failure.BEFORE_START)), POLICY)
    driven = await drive(edge.app, http_scope(key="a"), request({**CHAT, "stream": stream}))
    assert type(driven.error).__name__ == "FakeModelError"
    assert edge.held == 0
    assert {b: await edge.used(b) for b in ("rpm", "tokens", "all")} == {
        "rpm": 0,
        "tokens": 0,
        "all": 0,
    }


@pytest.mark.anyio
@pytest.mark.parametrize("failure", [Failure.MID_STREAM, Failure.ERROR_EVENT])
async def test_a_stream_that_breaks_is_charged_up_to_there(
    make_edge: MakeEdge, failure: Failure
) -> None:
    reply = Reply(text=TEXT, chunks=5, failure=failure, fail_after=3)
    edge = make_edge(FakeModel(reply), POLICY)
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert served(driven) == 3
    usage = edge.decisions.last.usage
    assert usage
    assert usage.output == 3
    assert edge.held == 0


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 529])
async def test_a_call_that_the_application_fails_is_given_back(
    make_edge: MakeEdge, status: int
) -> None:
    edge = make_edge(FakeModel(Reply(status=status)), POLICY)
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert driven.status == status
    assert edge.accounts == {}


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 403])
async def test_an_answer_to_an_anonymous_caller_carries_no_figures(
    make_edge: MakeEdge, status: int
) -> None:
    edge = make_edge(FakeModel(Reply(status=status)), POLICY)
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert [name for name in driven.headers if "ratelimit" in name] == []


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_call_that_the_application_rejects_keeps_only_the_request(
    make_edge: MakeEdge, status: int
) -> None:
    edge = make_edge(FakeModel(Reply(status=status)), POLICY)
    await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert edge.held == 0
    assert await edge.used("rpm") == 1
    assert await edge.used("tokens") == 0


@pytest.mark.anyio
async def test_a_whole_answer_is_charged_what_it_reported(make_edge: MakeEdge) -> None:
    edge = make_edge(FakeModel(REPLY), POLICY)
    await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert await edge.used("tokens") == 12


@pytest.mark.anyio
async def test_a_hook_that_raises_harms_nothing(
    make_edge: MakeEdge, caplog: pytest.LogCaptureFixture
) -> None:
    edge = make_edge(FakeModel(REPLY), POLICY)

    def broken(event: object) -> None:
        raise RuntimeError("a hook of the operator's")

    edge.limiter.reporter._hooks = (broken, edge.decisions)
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert driven.status == 200
    assert edge.held == 0
    edge.decisions.assert_admitted(1)
    assert "a hook failed" in caplog.text
