"""What the proxy sends on, both ways, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from querybudget.testing import FakeModel
from querybudget.testing.fake_model import Reply
from querybudget.units import SECOND, Micros
from tests.proxy.served import POLICY, Talk, ask, fields, head_of, proxied, raw_server, serve

pytestmark = pytest.mark.anyio

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def to(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}")


def answering(answer: bytes, heard: list[list[bytes]] | None = None) -> Talk:
    """Answer each request on a connection with these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await head_of(reader)
            for size in fields(head, "content-length"):
                await reader.readexactly(int(size))
            if heard is not None:
                heard.append(head)
            writer.write(answer)
            await writer.drain()

    return talk


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_every_method_is_sent_on(method: str) -> None:
    heard: list[list[bytes]] = []
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    async with raw_server(answering(answer, heard)) as server, proxied(server) as port:
        answered = await ask(port, f"{method} /free/x HTTP/1.1")
    assert answered.startswith(b"HTTP/1.1 204 ")
    assert b"transfer-encoding" not in answered
    assert heard[0][0] == f"{method} /free/x HTTP/1.1".encode()


@pytest.mark.parametrize(
    "path",
    [
        "/free/a%2Fb%20c",
        "/free/../x",
        "/free//y;p=1?q=%20&&=a+b",
        "/free/%e2%82%ac",
        "//h/free",
        "/?",
    ],
)
async def test_a_path_is_sent_on_byte_for_byte(path: str) -> None:
    heard: list[list[bytes]] = []
    async with raw_server(answering(ANSWER, heard)) as server, proxied(server) as port:
        await ask(port, f"GET {path} HTTP/1.1")
    assert heard[0][0] == f"GET {path.removesuffix('?')} HTTP/1.1".encode()


@pytest.mark.parametrize("path", ["/../x", "/a/%2e%2e/x", "/a/..%2fx", "/%252e%252e/x", "/..;/x"])
async def test_no_path_leads_out_of_the_upstream_s_own(path: str) -> None:
    heard: list[list[bytes]] = []
    async with (
        raw_server(answering(ANSWER, heard)) as server,
        proxied(server, prefix="/base/") as port,
    ):
        assert (await ask(port, f"GET {path} HTTP/1.1")).startswith(b"HTTP/1.1 400 ")
        await ask(port, "GET /free/x?y HTTP/1.1")
    assert [head[0] for head in heard] == [b"GET /base/free/x?y HTTP/1.1"]


async def test_fields_of_one_connection_stay_there() -> None:
    heard: list[list[bytes]] = []
    answer = (
        b"HTTP/1.1 200 OK\r\nconnection: x-own, keep-alive\r\nx-own: 1\r\nkeep-alive: timeout=9\r\n"
        b"proxy-authenticate: Basic\r\nset-cookie: a=1\r\nset-cookie: b=2; Path=/\r\n"
        b"x-kept: 1\r\ncontent-length: 2\r\n\r\nok"
    )
    async with raw_server(answering(answer, heard)) as server, proxied(server) as port:
        answered = await ask(
            port,
            "POST /free/x HTTP/1.1",
            "connection: X-Own, content-length, content-type",
            "te: trailers",
            "upgrade: h2c",
            "proxy-authorization: Basic eA==",
            "expect: 100-continue",
            "content-type: text/plain",
            "content-length: 2",
            "x-kept: 1",
            body=b"ab",
        )
    sent = answered.split(b"HTTP/1.1 200 OK\r\n")[1].lower().split(b"\r\n")
    for name in ("x-own", "keep-alive", "proxy-authenticate"):
        assert fields([b"", *sent], name) == []
    assert fields([b"", *sent], "set-cookie") == [b"a=1", b"b=2; path=/"]
    assert fields([b"", *sent], "x-kept") == [b"1"]
    assert len(fields([b"", *sent], "date")) == 1
    for name in ("te", "upgrade", "proxy-authorization", "expect"):
        assert fields(heard[0], name) == []
    assert fields(heard[0], "content-type") == [b"text/plain"]
    assert fields(heard[0], "content-length") == [b"2"]
    assert fields(heard[0], "via") == [b"1.1 querybudget"]


async def test_no_field_by_which_budgets_were_found_is_taken_away_from_the_server() -> None:
    heard: list[list[bytes]] = []
    async with raw_server(answering(ANSWER, heard)) as server, proxied(server) as port:
        named = "connection: authorization, x-org, content-type, host, te"
        sent = (
            "authorization: Bearer k",
            "x-org: acme",
            "content-type: text/plain",
            "te: trailers",
        )
        await ask(port, "GET /free/x HTTP/1.1", named, *sent)
    assert fields(heard[0], "authorization") == [b"Bearer k"]
    assert fields(heard[0], "x-org") == [b"acme"]
    assert fields(heard[0], "content-type") == [b"text/plain"]
    assert fields(heard[0], "te") == fields(heard[0], "connection") == []


@pytest.mark.parametrize(
    "field",
    ["x-forwarded-user", "X-Forwarded-Prefix", "X_Forwarded_For", "x_real_ip", "Content_Length"],
)
async def test_no_stranger_says_what_only_a_proxy_in_front_knows(field: str) -> None:
    heard: list[list[bytes]] = []
    async with raw_server(answering(ANSWER, heard)) as server, proxied(server) as port:
        await ask(port, "GET /free/x HTTP/1.1", f"{field}: root")
    assert not [line for line in heard[0] if b"root" in line]


@pytest.mark.parametrize("target", ["/free/x#y", "/free/x?a#b"])
async def test_nothing_after_a_number_sign_is_sent_on(target: str) -> None:
    heard: list[list[bytes]] = []
    async with raw_server(answering(ANSWER, heard)) as server, proxied(server) as port:
        await ask(port, f"GET {target} HTTP/1.1")
    assert not [head for head in heard if b"#" in head[0]]


async def test_a_cookie_of_one_caller_is_not_sent_for_another() -> None:
    heard: list[list[bytes]] = []
    answer = ANSWER.replace(b"\r\n\r\n", b"\r\nset-cookie: session=secret\r\n\r\n")
    async with raw_server(answering(answer, heard)) as server, proxied(server) as port:
        for _ in range(2):
            await ask(port, "GET /free/x HTTP/1.1")
    assert [fields(head, "cookie") for head in heard] == [[], []]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (b"127.0.0.1", b"http", b"h", [])),
        (
            {"trusted_proxies": ("127.0.0.0/8",)},
            (
                b"9.9.9.9, 127.0.0.1",
                b"https",
                b"api.example",
                [b"for=9.9.9.9, for=127.0.0.1;proto=http"],
            ),
        ),
    ],
)
async def test_only_a_trusted_proxy_says_who_asked(
    settings: dict[str, Any], expected: tuple[object, ...]
) -> None:
    heard: list[list[bytes]] = []
    async with raw_server(answering(ANSWER, heard)) as server, proxied(server, **settings) as port:
        await ask(
            port,
            "GET /free/x HTTP/1.1",
            "x-forwarded-for: 9.9.9.9",
            "x-forwarded-proto: https",
            "x-forwarded-host: api.example",
            "forwarded: for=9.9.9.9",
        )
        names = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")
        found = (b", ".join(fields(heard[0], name)) for name in names)
        assert (*found, fields(heard[0], "forwarded")) == expected
        assert fields(heard[0], "host") == [f"127.0.0.1:{server}".encode()]


async def test_the_caller_s_host_is_sent_on_if_asked_for() -> None:
    heard: list[list[bytes]] = []
    async with (
        raw_server(answering(ANSWER, heard)) as server,
        proxied(server, keep_host=True) as port,
    ):
        await ask(port, "GET /free/x HTTP/1.1")
    assert fields(heard[0], "host") == [b"h"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 999\r\netag: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
async def test_an_answer_without_a_body_ends_at_its_head(answer: bytes) -> None:
    async with raw_server(answering(answer)) as server, proxied(server) as port, to(port) as client:
        for _ in range(2):
            answered = await client.get("/free/x")
            assert (str(answered.status_code).encode(), answered.content) == (answer[9:12], b"")


async def test_an_answer_to_head_has_its_length_and_no_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n"
    async with raw_server(answering(answer)) as server, proxied(server) as port, to(port) as client:
        for _ in range(2):
            answered = await client.head("/free/x")
            assert (answered.headers["content-length"], answered.content) == ("999", b"")


async def test_interim_answers_and_trailers_are_dropped() -> None:
    answer = (
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
        b"2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"
    )
    async with raw_server(answering(answer)) as server, proxied(server) as port:
        answered = await ask(port, "GET /free/x HTTP/1.1")
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answered.endswith(b"\r\n2\r\nok\r\n0\r\n\r\n")
    assert b"x-sum" not in answered


async def test_pieces_pass_as_they_come_both_ways() -> None:
    released, seen = asyncio.Event(), asyncio.Queue[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        seen.put_nowait(await reader.readuntil(b"one\r\n"))
        seen.put_nowait(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await released.wait()
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
        await writer.drain()

    async def content() -> AsyncIterator[bytes]:
        yield b"one"
        assert b"one" in await seen.get()  # the second piece is not made before the first arrived
        yield b"two"

    async with (
        raw_server(talk) as server,
        proxied(server) as port,
        to(port) as client,
        client.stream("POST", "/free/x", content=content()) as answer,
    ):
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"first"
        released.set()
        assert await anext(pieces) == b"second"
    assert b"two" in await seen.get()


async def test_a_caller_who_hangs_up_ends_the_server_s_request() -> None:
    hung_up = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        assert await reader.read() == b""
        hung_up.set()

    async with raw_server(talk) as server, proxied(server) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /free/x HTTP/1.1\r\nhost: h\r\n\r\n")
        await reader.readuntil(b"first")
        writer.close()
        await hung_up.wait()


async def test_a_caller_who_hangs_up_before_the_answer_ends_it_too() -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        asked.set()
        assert await reader.read() == b""
        hung_up.set()

    async with raw_server(talk) as server, proxied(server) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /free/x HTTP/1.1\r\nhost: h\r\n\r\n")
        await asked.wait()
        writer.close()
        await hung_up.wait()


@pytest.mark.parametrize("framing", [b"transfer-encoding: chunked", b"content-length: 99"])
async def test_an_answer_that_breaks_off_is_not_ended_as_if_it_were_whole(framing: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        piece = b"5\r\nfirst\r\n" if b"chunked" in framing else b"first"
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + piece)
        await writer.drain()

    async with raw_server(talk) as server, proxied(server) as port:
        answered = await ask(port, "GET /free/x HTTP/1.1")
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"first" in answered
    assert not answered.endswith(b"0\r\n\r\n")


async def test_connections_are_used_again_and_bounded() -> None:
    opened, waiting, released = 0, asyncio.Semaphore(0), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while True:
            await head_of(reader)
            waiting.release()
            await released.wait()
            writer.write(ANSWER)
            await writer.drain()

    settings: dict[str, Any] = {"connections": 2, "wait": Micros(60 * SECOND)}
    async with raw_server(talk) as server, proxied(server, **settings) as port:
        calls = [asyncio.create_task(ask(port, "GET /free/x HTTP/1.1")) for _ in range(6)]
        for _ in range(2):
            await waiting.acquire()
        assert opened == 2
        released.set()
        for answered in await asyncio.gather(*calls):
            assert answered.startswith(b"HTTP/1.1 200 OK")
    assert opened == 2


async def test_openai_s_client_streams_through_the_proxy_and_is_refused_by_it() -> None:
    policy = POLICY | {"budgets": [{"name": "requests", "limit": "1 requests/minute"}]}
    model = FakeModel(Reply(text="It works well."))
    async with serve(model) as server, proxied(server, policy) as port:
        client = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key="k", max_retries=0
        )
        async with client:
            chat: Any = client.chat.completions.create
            messages = [{"role": "user", "content": "hello"}]
            stream = await chat(model="m", messages=messages, stream=True)
            said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            assert "".join(said) == "It works well."
            with pytest.raises(openai.RateLimitError, match="requests"):
                await chat(model="m", messages=messages, stream=True)
    assert len(model.requests) == 1
