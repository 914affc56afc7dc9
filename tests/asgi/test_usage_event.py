"""A stream's usage is asked for where it counts, and shown only to clients who asked themselves."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Usage
from querybudget.adapters.usage_request import ask_for_usage
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.asgi.usage_event import HELD, WithoutUsageEvent
from querybudget.testing import FakeModel, Reply, drive, http_scope, request
from tests.asgi.conftest import MakeEdge
from tests.growth.instructions import lines

TOKENS = {"budgets": [{"name": "tokens", "limit": "100_000 tokens/minute"}]}
MONEY = {
    "budgets": [{"name": "money", "limit": "100 usd/day"}],
    "models": {"*": {"input": 1, "output": 1}},
}
REQUESTS = {"budgets": [{"name": "rpm", "limit": "100 requests/minute"}]}
CHAT: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "messages": [{"role": "user", "content": "hello"}],
}
ASKED = {"include_usage": True}


class Server:
    """An application that keeps what it received, and streams an answer in pieces."""

    def __init__(
        self, pieces: Sequence[bytes], headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self.pieces = pieces
        self.headers = [(b"content-type", b"text/event-stream"), *headers]
        self.body = b""
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def event(**members: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c", **members}).encode() + b"\n\n"


TEXT = event(choices=[{"index": 0, "delta": {"content": "Blue."}}], usage=None)
STOP = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
FILTERED = event(choices=[], prompt_filter_results=[])
REPORT = event(choices=[], usage={"prompt_tokens": 30, "completion_tokens": 20_000})
DONE = b"data: [DONE]\n\n"
STREAM = [FILTERED, TEXT, STOP, REPORT, DONE]
LEFT = FILTERED + TEXT + STOP + DONE


@pytest.mark.anyio
@pytest.mark.parametrize("policy", [TOKENS, MONEY])
@pytest.mark.parametrize(
    "options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}]
)
async def test_reasoning_that_is_not_shown_counts(
    make_edge: MakeEdge, policy: dict[str, Any], options: dict[str, Any]
) -> None:
    server = Server(STREAM)
    edge = make_edge(server, policy)
    body = json.dumps({**CHAT, **options}).encode()
    answer = await drive(edge.app, http_scope(key="a"), request(body))
    assert answer.body == LEFT
    assert edge.decisions.events[-1].usage == Usage(30, output=20_000)
    assert json.loads(server.body) == {**CHAT, "stream_options": ASKED}
    assert dict(server.scope["headers"])[b"content-length"] == str(len(server.body)).encode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("policy", "body"),
    [
        pytest.param(TOKENS, {**CHAT, "stream_options": ASKED}, id="the client asks itself"),
        pytest.param(REQUESTS, CHAT, id="nothing counts tokens"),
        pytest.param({**TOKENS, "streams": {"usage": "leave"}}, CHAT, id="the policy leaves it"),
        pytest.param(TOKENS, {**CHAT, "stream_options": 7}, id="options of the wrong type"),
    ],
)
async def test_otherwise_nothing_changes(
    make_edge: MakeEdge, policy: dict[str, Any], body: dict[str, Any]
) -> None:
    server, sent = Server(STREAM), json.dumps(body).encode()
    answer = await drive(make_edge(server, policy).app, http_scope(key="a"), request(sent))
    assert answer.chunks == [*STREAM, b""]
    assert server.body == sent


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v1/embeddings"])
async def test_other_dialects_are_not_asked(make_edge: MakeEdge, path: str) -> None:
    server = Server([DONE])
    body = json.dumps({**CHAT, "input": "hello", "max_tokens": 9}).encode()
    await drive(make_edge(server, TOKENS).app, http_scope(path, key="a"), request(body))
    assert server.body == body


@pytest.mark.anyio
async def test_a_call_without_a_stream_is_not_asked(make_edge: MakeEdge) -> None:
    server, body = Server([DONE]), json.dumps({**CHAT, "stream": False}).encode()
    await drive(make_edge(server, TOKENS).app, http_scope(key="a"), request(body))
    assert server.body == body


@pytest.mark.anyio
async def test_a_compressed_body_is_passed_on_plain(make_edge: MakeEdge) -> None:
    server = Server(STREAM)
    headers = {"content-encoding": "gzip", "accept-encoding": "gzip, br"}
    body = gzip.compress(json.dumps(CHAT).encode())
    scope = http_scope(key="a", headers=headers)
    await drive(make_edge(server, TOKENS).app, scope, request(body))
    assert json.loads(server.body)["stream_options"] == ASKED
    assert not {b"content-encoding", b"accept-encoding"} & {n for n, _ in server.scope["headers"]}


@pytest.mark.anyio
async def test_a_stream_that_became_shorter_has_no_length(make_edge: MakeEdge) -> None:
    length = str(len(b"".join(STREAM))).encode()
    server = Server(STREAM, [(b"Content-Length", length)])
    answer = await drive(make_edge(server, TOKENS).app, http_scope(key="a"), request(CHAT))
    assert answer.body == LEFT
    assert b"content-length" not in {name.lower() for name, _ in answer.sent[0]["headers"]}


@pytest.mark.anyio
async def test_each_chunk_still_leaves_at_once(make_edge: MakeEdge) -> None:
    answer = await drive(make_edge(Server(STREAM), TOKENS).app, http_scope(key="a"), request(CHAT))
    assert answer.chunks == [FILTERED, TEXT, STOP, DONE, b""]


@pytest.mark.anyio
async def test_the_fake_model_s_usage_is_counted_and_not_shown(make_edge: MakeEdge) -> None:
    model = FakeModel(Reply(text="a long answer", usage=Usage(12, output=345), chunks=3))
    edge = make_edge(model, TOKENS)
    answer = await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert b'"usage"' not in answer.body
    assert answer.body.endswith(DONE)
    assert edge.decisions.events[-1].usage == Usage(12, output=345)


# -- the request


@pytest.mark.parametrize(
    ("body", "asking"),
    [
        (b"{}", b'{"stream_options":{"include_usage":true}}'),
        (b" { } \n", b' { "stream_options":{"include_usage":true}} \n'),
        (b'{"a": 1 }', b'{"a": 1 ,"stream_options":{"include_usage":true}}'),
        (
            b'\xef\xbb\xbf{"a":[{}]}',
            b'\xef\xbb\xbf{"a":[{}],"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"a": NaN, "a": "stream_options"}',
            b'{"a": NaN, "a": "stream_options","stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream_options":{"x":1},"a":2.50}',
            b'{"stream_options":{"x":1,"include_usage":true},"a":2.50}',
        ),
        (
            b'{"stream_options":{"include_usage":0}}',
            b'{"stream_options":{"include_usage":true}}',
        ),
    ],
)
def test_only_the_option_is_added(body: bytes, asking: bytes) -> None:
    assert ask_for_usage(body) == asking


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"x"',
        b"{",
        b"[}",
        b'{"stream_options":{"include_usage":true}}',
        b'{"stream_options":{"include_usage":"True"}}',
        b'{"stream_options":{"include_usage":1}}',
        b'{"stream_options":[]}',
    ],
)
def test_a_body_that_asks_or_is_no_object_stays_as_it_is(body: bytes) -> None:
    assert ask_for_usage(body) is body


@pytest.mark.parametrize("options", [{"include_usage": False}, {}, None, "off"])
def test_what_a_proxy_may_put_in_place_of_the_options_asks_too(options: object) -> None:
    body = json.dumps({**CHAT, "extra_body": {"stream_options": options, "seed": 1}}).encode()
    asking = json.loads(ask_for_usage(body))
    assert asking["stream_options"] == ASKED
    assert asking["extra_body"] == {"stream_options": ASKED, "seed": 1}
    within = json.dumps({**CHAT, "extra_body": {"extra_body": {"stream_options": options}}})
    asking = json.loads(ask_for_usage(within.encode()))
    assert asking["extra_body"] == {"extra_body": {"stream_options": ASKED}}


@given(
    members=st.dictionaries(
        st.sampled_from(["a", "stream_options", "Stream_Options", "é"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=5,
        ),
    )
)
def test_every_other_member_means_the_same(members: dict[str, Any]) -> None:
    asking = json.loads(ask_for_usage(json.dumps(members).encode()))
    options = members.get("stream_options")
    if options is None or isinstance(options, dict):
        given_options = {} if options is None else options
        asked = given_options.get("include_usage") in (True, 1)
        expected = given_options if asked else {**given_options, **ASKED}
        assert asking.pop("stream_options")["include_usage"] == expected["include_usage"]
    kept = {name: value for name, value in members.items() if name != "stream_options"}
    assert {n: v for n, v in asking.items() if n != "stream_options"} == kept


# -- the answer


def passed_on(pieces: Sequence[bytes]) -> bytes:
    events = WithoutUsageEvent()
    messages = [
        *({"type": "http.response.body", "body": piece, "more_body": True} for piece in pieces),
        {"type": "http.response.body", "body": b"", "more_body": False},
    ]
    left = [events.pass_on(message) for message in messages]
    assert left[-1] is not None
    return b"".join(message["body"] for message in left if message is not None)


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted(place % (len(body) + 1) for place in places)
    return [body[a:b] for a, b in zip([0, *ends], [*ends, len(body)], strict=True)]


SPACED = REPORT.replace(b'"choices": []', b'"choices" : [ ]').replace(b"data: ", b"data:")
STREAMS = [
    (b"".join(STREAM), LEFT),
    (TEXT + SPACED + DONE, TEXT + DONE),
    (b": ping\n\n" + TEXT + b"event: usage\nid: 3\n" + REPORT, b": ping\n\n" + TEXT),
    (b"\xef\xbb\xbf" + TEXT + REPORT.rstrip(), b"\xef\xbb\xbf" + TEXT),
    (b"".join(STREAM).replace(b"\n", b"\r\n"), LEFT.replace(b"\n", b"\r\n")),
    (b"".join(STREAM).replace(b"\n", b"\r"), LEFT.replace(b"\n", b"\r")),
    (event(choices=[], usage=None) + DONE, event(choices=[], usage=None) + DONE),
    (event(choices=[{"delta": {}}], usage={"prompt_tokens": 1}),) * 2,
    (event(choices=[{"delta": {"content": REPORT.decode()}}]),) * 2,
    (json.dumps({"choices": [], "usage": {"prompt_tokens": 1}}).encode(),) * 2,
    (b'{"choices":[],"usage":{}}\n{"choices":[],"usage":{}}\n',) * 2,
    (b"plain text\n\n" + REPORT,) * 2,
    (b"",) * 2,
]


@given(stream=st.sampled_from(STREAMS), places=st.lists(st.integers(0, 800), max_size=9))
def test_only_the_report_is_taken_out_wherever_a_stream_is_cut(
    stream: tuple[bytes, bytes], places: list[int]
) -> None:
    assert passed_on(cut(stream[0], places)) == stream[1]
    assert passed_on([bytes((byte,)) for byte in stream[0]]) == stream[1]


@given(pieces=st.lists(st.binary(max_size=20), max_size=8))
def test_bytes_of_any_kind_are_passed_on_as_they_are(pieces: list[bytes]) -> None:
    assert passed_on(pieces) == b"".join(pieces)


def test_no_line_of_an_unlabelled_answer_is_held_back() -> None:
    events, line = WithoutUsageEvent(), b'{"response":"Blue","done":false}\n'
    message: Message = {"type": "http.response.body", "body": line, "more_body": True}
    assert events.pass_on(message) is message
    assert events.pass_on(message) is message


def test_an_event_without_end_is_not_held_back_for_ever() -> None:
    events, seen = WithoutUsageEvent(), 0
    for piece in [b"data: ", *[b"x" * 1024] * 200]:
        message = {"type": "http.response.body", "body": piece, "more_body": True}
        left = events.pass_on(message)
        seen += len(left["body"]) if left is not None else 0
    assert seen >= 200 * 1024 - HELD


@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 4000, b"\n" * 4000, b":\n\n" * 1300, b"\r" * 4000]
)
def test_what_a_stream_costs_byte_by_byte_is_in_proportion_to_its_length(stream: bytes) -> None:
    assert executed(stream) <= 2.2 * executed(stream[: len(stream) // 2]) + 1000


def executed(stream: bytes) -> int:
    """Return how many lines of Python passing a stream on executes, byte by byte."""
    return lines(passed_on, [bytes((byte,)) for byte in stream])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_of_any_ending_pass_unchanged_wherever_they_are_cut(end: bytes) -> None:
    """sse-starlette, for one, ends lines in CRLF."""
    stream = b"".join(STREAM).replace(b"\n", end)
    left = LEFT.replace(b"\n", end)
    assert [at for at in range(len(stream)) if passed_on(cut(stream, [at])) != left] == []
    assert passed_on([stream[at : at + 1] for at in range(len(stream))]) == left
