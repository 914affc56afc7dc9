"""WebSockets pass through the proxy, and budgets count them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from querybudget.proxy import app
from querybudget.proxy.upgrades import UpgradingGet
from querybudget.units import Micros
from tests.proxy.served import POLICY, ask, proxied, serve

pytestmark = pytest.mark.anyio


def url(port: int, path: str = "/ws") -> str:
    return f"ws://127.0.0.1:{port}{path}"


class Echo:
    """Answers each message; `bye` closes.

    Attributes:
        closed: The codes by which callers have closed.
    """

    def __init__(self) -> None:
        self.closed = asyncio.Queue[int]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        subprotocol = next(iter(scope["subprotocols"]), None)
        headers = [(b"x-path", scope["path"].encode()), (b"set-cookie", b"a=1")]
        await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers})
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") == "bye":
                await send({"type": "websocket.close", "code": 4321, "reason": "as asked"})
                return
            kind = "bytes" if message.get("bytes") is not None else "text"
            await send({"type": "websocket.send", kind: message[kind]})
        self.closed.put_nowait(message["code"])


async def test_messages_pass_both_ways_with_the_subprotocol_and_headers() -> None:
    async with (
        serve(Echo()) as server,
        proxied(server) as port,
        connect(url(port), subprotocols=["chat"], proxy=None) as socket,  # type: ignore[list-item]
    ):
        assert socket.subprotocol == "chat"
        assert socket.response is not None
        assert socket.response.headers["x-path"] == "/ws"
        assert socket.response.headers["set-cookie"] == "a=1"
        for payload in ("text", b"\x00bytes", "x" * 100_000):
            await socket.send(payload)
            assert await socket.recv() == payload


async def test_how_either_side_closes_is_passed_on() -> None:
    echo = Echo()
    async with serve(echo) as server, proxied(server) as port:
        async with connect(url(port), proxy=None) as socket:
            await socket.send("bye")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (4321, "as asked")
        async with connect(url(port), proxy=None) as socket:
            await socket.close(4999)
        assert await echo.closed.get() == 4999


async def test_a_refused_handshake_is_passed_on_with_its_body() -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        start = {"status": 401, "headers": [(b"www-authenticate", b"Bearer")]}
        await send({"type": "websocket.http.response.start", **start})
        await send({"type": "websocket.http.response.body", "body": b"who?"})

    async with serve(refuse) as server, proxied(server) as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url(port), proxy=None)
    assert refused.value.response.status_code == 401
    assert refused.value.response.body == b"who?"
    assert refused.value.response.headers["www-authenticate"] == "Bearer"


async def test_a_dead_server_refuses_the_handshake() -> None:
    async with serve(Echo()) as server:
        pass
    async with proxied(server) as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url(port), proxy=None)
    assert refused.value.response.status_code == 502


async def test_a_redirect_is_the_caller_s_to_follow() -> None:
    asked = asyncio.Queue[str]()

    async def redirect(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        asked.put_nowait(scope["path"])
        start = {"status": 307, "headers": [(b"location", b"/elsewhere")]}
        await send({"type": "websocket.http.response.start", **start})
        await send({"type": "websocket.http.response.body", "body": b""})

    async with serve(redirect) as server, proxied(server) as port:
        dialing = connect(url(port), proxy=None)
        dialing.process_redirect = lambda error: error  # type: ignore[assignment, method-assign]
        with pytest.raises(InvalidStatus):
            await dialing
    assert asked.qsize() == 1


async def test_a_message_beyond_the_budget_closes_the_socket() -> None:
    policy = POLICY | {"budgets": [{"name": "requests", "limit": "3 requests/minute"}]}
    async with (
        serve(Echo()) as server,
        proxied(server, policy) as port,
        connect(url(port), proxy=None) as socket,
    ):
        for _ in range(2):
            await socket.send("x")
            await socket.recv()
        await socket.send("x")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1013


@pytest.mark.parametrize("limit", ["whole", "read"])
async def test_a_socket_that_takes_too_long_is_closed_on_both_sides(limit: str) -> None:
    echo, settings = Echo(), dict[str, Any]({limit: Micros(1)})
    async with (
        serve(echo) as server,
        proxied(server, **settings) as port,
        connect(url(port), proxy=None) as socket,
    ):
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1001
        assert await echo.closed.get() == 1001


async def test_a_post_that_asks_for_a_socket_is_refused_and_not_left_waiting() -> None:
    handshake = (
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    lines = ("POST /free/x HTTP/1.1", "content-length: 5", *handshake)
    proxy = app("http://127.0.0.1:1", POLICY)
    async with serve(proxy, http=UpgradingGet) as port:
        answer = await ask(port, *lines, body=b"hello")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer
    async with (
        serve(Echo(), http=UpgradingGet, lifespan="off") as port,
        connect(url(port), proxy=None) as socket,
    ):
        await socket.send("x")
        assert await socket.recv() == "x"
