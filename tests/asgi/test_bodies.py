from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from querybudget.adapters.media import may_be_plain
from querybudget.asgi.body import decoded
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.limiter.scopes import method_of
from querybudget.testing import FakeModel, Reply, drive, http_scope, request
from tests.asgi.conftest import MakeEdge

POLICY = {
    "body": {"limit": "1 MiB"},
    "budgets": [
        {"name": "rpm", "limit": "10 requests/minute"},
        {"name": "tokens", "limit": "1_000_000 tokens/minute"},
        {"name": "parallel", "limit": "4 concurrent"},
    ],
}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x" * 4000}]}
GZIP = {"content-encoding": "gzip"}


class Counting:
    """Reads the whole body, answers 200, and keeps the bytes it read."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


def too_large(path: str, body: Any) -> str:
    if path.endswith("messages"):
        assert body["type"] == "error"
    return str(body["error"]["message"])


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_body_declared_too_large_is_refused_before_it_is_read(
    make_edge: MakeEdge, path: str
) -> None:
    app = Counting()
    edge = make_edge(app, POLICY)
    scope = http_scope(path, key="a", headers={"content-length": "50000000"})
    driven = await drive(edge.app, scope, request(b"x"))
    assert driven.status == 413
    assert "1048576" in too_large(path, driven.json)
    assert "receive:http.request" not in driven.log
    assert app.bodies == []
    assert edge.accounts == {}


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_body_that_grows_too_large_is_refused_where_it_does(
    make_edge: MakeEdge, path: str
) -> None:
    app, edge = Counting(), None
    edge = make_edge(app, POLICY)
    piece: Message = {"type": "http.request", "body": b"x" * 500_000, "more_body": True}
    driven = await drive(edge.app, http_scope(path, key="a"), [piece] * 100)
    assert driven.status == 413
    assert too_large(path, driven.json)
    assert driven.log.count("receive:http.request") == 3
    assert app.bodies == []
    assert edge.accounts == {}


@pytest.mark.anyio
async def test_a_body_of_exactly_the_limit_passes(make_edge: MakeEdge) -> None:
    app = Counting()
    edge = make_edge(app, POLICY)
    for size, status in ((1 << 20, 200), ((1 << 20) + 1, 413)):
        body = json.dumps(CHAT).encode().ljust(size)
        driven = await drive(edge.app, http_scope(key="a"), request(body, pieces=3))
        assert driven.status == status
    assert [len(body) for body in app.bodies] == [1 << 20]


@pytest.mark.anyio
async def test_a_gzip_bomb_is_refused(make_edge: MakeEdge) -> None:
    app = Counting()
    edge = make_edge(app, POLICY)
    bomb = gzip.compress(b" " * 50_000_000)
    driven = await drive(edge.app, http_scope(key="a", headers=GZIP), request(bomb))
    assert driven.status == 413
    assert app.bodies == []


@pytest.mark.anyio
async def test_a_bomb_that_ends_as_nothing_is_refused(make_edge: MakeEdge) -> None:
    app = Counting()
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # gzip data of nothing but empty blocks
    bomb = gzip.compress(head + b"\0\0\0\xff\xff" * 1_000_000)
    headers = {"content-encoding": "gzip, gzip"}
    driven = await drive(
        make_edge(app, POLICY).app, http_scope(key="a", headers=headers), request(bomb)
    )
    assert driven.status == 413
    assert app.bodies == []


@pytest.mark.anyio
async def test_a_gzip_bomb_of_many_members_is_refused(make_edge: MakeEdge) -> None:
    app = Counting()
    bomb = gzip.compress(b" " * 900_000) * 2
    driven = await drive(
        make_edge(app, POLICY).app, http_scope(key="a", headers=GZIP), request(bomb)
    )
    assert driven.status == 413


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "deflate", "two members"])
async def test_a_compressed_body_counts_what_it_says_and_passes_as_it_came(
    make_edge: MakeEdge, encoding: str
) -> None:
    plain = json.dumps(CHAT).encode()
    body = zlib.compress(plain) if encoding == "deflate" else gzip.compress(plain)
    if encoding == "two members":
        body, encoding = gzip.compress(plain[:9]) + gzip.compress(plain[9:]), "gzip"
    app = Counting()
    edge = make_edge(app, POLICY)
    headers = {"content-encoding": encoding}
    await drive(edge.app, http_scope(key="a", headers=headers), request(body))
    assert app.bodies == [body]
    assert edge.decisions.last.model == "m"
    assert edge.decisions.last.expected.input == 1000


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "another type": b"[1, 2]",
    "null": b"null",
    "a number for a model": b'{"model": 3, "messages": "x"}',
    "text for messages": b'{"model": "m", "messages": "x"}',
    "truncated UTF-8": b'{"model": "m", "messages": [{"role": "user", "content": "\xe2\x82',
    "no UTF-8": b'{"model": "\xff\xfe"}',
    "a lone surrogate": b'{"model": "\\ud800", "messages": []}',
    "deep": b'{"messages": ' + b"[" * 100_000,
    "huge numbers": b'{"model": "m", "messages": [], "n": 1e400, "max_tokens": -99999999999999}',
}


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"])
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_body_that_cannot_be_read_reaches_the_application_untouched(
    make_edge: MakeEdge, path: str, body: bytes
) -> None:
    app = Counting()
    edge = make_edge(app, POLICY)
    driven = await drive(edge.app, http_scope(path, key="a"), request(body))
    assert driven.error is None
    assert driven.status == 200
    assert app.bodies == [body]
    assert edge.held == 0
    assert await edge.used("rpm") == 1


@pytest.mark.anyio
async def test_a_bad_request_costs_a_request_and_no_tokens(make_edge: MakeEdge) -> None:
    edge = make_edge(FakeModel(), POLICY)
    driven = await drive(edge.app, http_scope(key="a"), request(b"{"))
    assert driven.status == 400
    assert await edge.used("rpm") == 1
    assert await edge.used("tokens") == 0


@pytest.mark.anyio
async def test_damaged_gzip_reaches_the_application_untouched(make_edge: MakeEdge) -> None:
    whole = gzip.compress(json.dumps(CHAT).encode())
    for body in (b"no gzip at all", whole[:-9], whole[:20] + b"\0\0" + whole[22:], b""):
        app = Counting()
        edge = make_edge(app, POLICY)
        driven = await drive(edge.app, http_scope(key="a", headers=GZIP), request(body))
        assert driven.status == 200
        assert app.bodies == [body]
        assert edge.held == 0


FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
HIDDEN = b'\r\n--b\r\nContent-Disposition: form-data; name="n"\r\n\r\n9\r\n--b--'


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (FORM, gzip.compress(b"model=m&n=1", mtime=0) + b"&model=dear&n=9"),
        (FORM, zlib.compress(b"model=m&n=1") + b"&model=dear&n=9"),
        (PARTS, gzip.compress(b"--b--", mtime=0) + HIDDEN),
        ("application/json", b" \n[" + bytes(9)),
        ("application/json", b"\xef\xbb\xbf{" + bytes(9)),
        ("application/json", b"\xff\xfe{" + bytes(9)),
        ("application/json", b"\x00{" + bytes(9)),
    ],
    ids=[
        "a gzipped form before another",
        "a deflated form before another",
        "parts before others",
        "a list",
        "an object with a mark",
        "an object in UTF-16 with a mark",
        "an object in UTF-16",
    ],
)
def test_a_compressed_body_that_is_another_one_to_servers_that_ignore_codings_is_not_read(
    kind: str, sent: bytes
) -> None:
    headers = [(b"content-encoding", b"gzip"), (b"content-type", kind.encode())]
    assert may_be_plain(headers, sent)
    if sent[0] in {0x1F, 0x78}:
        headers[0] = (b"content-encoding", b"gzip" if sent[0] == 0x1F else b"deflate")
        assert decoded({"headers": headers}, sent, 1 << 20) is None


def test_a_compressed_form_is_read() -> None:
    form = HIDDEN[2:] * 9
    headers = [(b"content-encoding", b"gzip"), (b"content-type", PARTS.encode())]
    assert decoded({"headers": headers}, gzip.compress(form), 1 << 20) == form


STRANGE = {
    "authorization twice": [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
    "content-length twice": [(b"content-length", b"2"), (b"content-length", b"3")],
    "content-length is no number": [(b"content-length", b"-1")],
    "an endless header": [(b"authorization", b"Bearer " + b"x" * 5_000_000)],
    "bytes beyond ASCII": [(b"authorization", b"Bearer \xff\xfe\x00"), (b"x-\xff", b"\x80")],
    "an empty credential": [(b"authorization", b""), (b"x-api-key", b" ")],
    "an unknown encoding": [(b"content-encoding", b"br")],
    "two encodings": [(b"content-encoding", b"gzip, gzip")],
}


@pytest.mark.anyio
@pytest.mark.parametrize("headers", STRANGE.values(), ids=STRANGE.keys())
async def test_strange_headers_cause_no_error(
    make_edge: MakeEdge, headers: list[tuple[bytes, bytes]]
) -> None:
    app = Counting()
    edge = make_edge(app, POLICY)
    driven = await drive(edge.app, http_scope(headers=headers), request(CHAT))
    assert driven.error is None
    assert driven.status == 200
    assert edge.held == 0


@pytest.mark.anyio
async def test_an_absurd_content_length_is_too_large(make_edge: MakeEdge) -> None:
    scope = http_scope(key="a", headers={"content-length": "9" * 5000})
    assert (await drive(make_edge(Counting(), POLICY).app, scope, request(b"x"))).status == 413


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "GET", "DELETE", "TRACE"])
async def test_methods_that_ask_no_model_count_as_requests_alone(
    make_edge: MakeEdge, method: str
) -> None:
    edge = make_edge(Counting(), POLICY)
    driven = await drive(edge.app, http_scope(method=method, key="a"), request(b"x" * 2_000_000))
    assert driven.status == 200
    assert await edge.used("rpm") == 1
    assert await edge.used("tokens") == 0


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["compress", "br", "gzip", "gzip, compress"])
async def test_an_answer_that_cannot_be_decoded_is_charged_at_the_estimate(
    make_edge: MakeEdge, encoding: str
) -> None:
    edge = make_edge(FakeModel(Reply(headers={"content-encoding": encoding})), POLICY)
    await drive(edge.app, http_scope(key="a"), request({**CHAT, "max_tokens": 70}))
    assert await edge.used("tokens") == 1070


@pytest.mark.anyio
async def test_a_compressed_answer_is_charged_what_it_reports(make_edge: MakeEdge) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    body = gzip.compress(json.dumps({"choices": [], "usage": usage}).encode())
    headers = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(body), 10):
            more = at + 10 < len(body)
            piece = body[at : at + 10]
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    edge = make_edge(app, POLICY)
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert driven.body == body
    assert await edge.used("tokens") == 12


@pytest.mark.anyio
async def test_a_body_that_never_gets_a_byte_further_is_refused(make_edge: MakeEdge) -> None:
    empty: Message = {"type": "http.request", "body": b"", "more_body": True}
    edge = make_edge(Counting(), POLICY)
    driven = await drive(edge.app, http_scope(key="a"), [empty] * 100_000)
    assert driven.status == 413
    assert driven.log.count("receive:http.request") < 2_000
    assert edge.accounts == {}


@pytest.mark.anyio
async def test_a_client_that_leaves_in_its_body_is_not_answered(make_edge: MakeEdge) -> None:
    app = Counting()
    edge = make_edge(app, POLICY)
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT, pieces=5), disconnect_at=3)
    assert (driven.sent, app.bodies, edge.accounts) == ([], [], {})


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "deflate"])
async def test_a_body_in_any_coding_counts_what_it_says(make_edge: MakeEdge, encoding: str) -> None:
    plain = json.dumps(CHAT).encode()
    raw = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = {
        "br": brotli.compress(plain),
        "zstd": zstandard.compress(plain),
        "gzip, br": brotli.compress(gzip.compress(plain)),
        "deflate": raw.compress(plain) + raw.flush(),
    }[encoding]
    edge = make_edge(Counting(), POLICY)
    headers = [(b"content-encoding", word.encode()) for word in encoding.split(",")]
    await drive(edge.app, http_scope(key="a", headers=headers), request(body))
    assert edge.decisions.last.model == "m"
    assert edge.decisions.last.expected.input == 1000


@pytest.mark.anyio
async def test_a_body_in_an_unknown_coding_is_unreadable_and_counts_what_it_may_become(
    make_edge: MakeEdge,
) -> None:
    edge = make_edge(
        Counting(),
        {**POLICY, "budgets": [{"name": "tokens", "limit": "2_000_000 tokens/minute"}]},
    )
    scope = http_scope(key="a", headers={"content-encoding": "compress"})
    driven = await drive(edge.app, scope, request(b"\x1f\x9d short"))
    assert driven.status == 200
    assert edge.decisions.last.operation == "unreadable"
    assert edge.decisions.last.expected.input == (1 << 20) * 5 // 4


@pytest.mark.anyio
async def test_a_body_that_two_servers_read_differently_is_unreadable(make_edge: MakeEdge) -> None:
    """Raw deflate has no mark of its own, and its text may look like JSON."""
    edge = make_edge(Counting(), POLICY)
    plain = json.dumps({**CHAT, "n": 100}).encode()
    body = b'["' + bytes(brotli.compress(plain)) + b'"]'
    for encoding in ("deflate", "br", "gzip", "zstd", "compress"):
        scope = http_scope(key="a", headers={"content-encoding": encoding})
        await drive(edge.app, scope, request(body))
        assert edge.decisions.last.operation == "unreadable"


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
async def test_a_small_body_that_becomes_a_large_one_is_refused(
    make_edge: MakeEdge, encoding: str
) -> None:
    plain = b'{"messages": []}'.ljust(8_000_000)
    body = {
        "gzip": gzip.compress(plain),
        "br": brotli.compress(plain),
        "zstd": zstandard.compress(plain),
    }[encoding]
    app = Counting()
    edge = make_edge(app, {**POLICY, "body": {"limit": "16 MiB"}})
    scope = http_scope(key="a", headers={"content-encoding": encoding})
    driven = await drive(edge.app, scope, request(body))
    assert (driven.status, app.bodies) == (413, [])


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["post", "Post", "FROBNICATE", "PosT"])
async def test_a_method_in_any_case_or_unknown_costs_what_post_costs(
    make_edge: MakeEdge, method: str
) -> None:
    edge = make_edge(Counting(), {"budgets": [{"name": "tokens", "limit": "1200 tokens/minute"}]})
    headers = {"content-length": "9"}
    driven = [
        await drive(edge.app, http_scope(method=how, key="a", headers=headers), request(CHAT))
        for how in ("POST", method, method)
    ]
    assert [one.status for one in driven][1:] == [429, 429]
    assert edge.decisions.last.method == "POST"


@pytest.mark.parametrize(
    ("members", "method"),
    [
        ({"method": "get"}, "GET"),
        ({"method": "WEBSOCKET"}, "OTHER"),
        ({"method": "PROPFIND"}, "OTHER"),
        ({"method": "PROPFIND", "headers": {"content-length": "0"}}, "OTHER"),
        ({"method": "PROPFIND", "headers": {"content-length": "3"}}, "POST"),
        ({"method": "websocket", "headers": {"transfer-encoding": "chunked"}}, "POST"),
        ({"method": "PROPFIND", "http_version": "2"}, "POST"),
    ],
)
def test_a_method_that_http_does_not_know_is_a_post_if_a_body_may_come(
    members: dict[str, Any], method: str
) -> None:
    assert method_of(http_scope(**members)) == method
