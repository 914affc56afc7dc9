"""A model server that is dead, silent or slow: what the caller reads, in the caller's dialect."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest

from querybudget.proxy import Upstream, app
from querybudget.testing import drive, http_scope, request
from querybudget.units import SECOND, Micros
from tests.proxy.served import POLICY, ask, head_of, proxied, raw_server

pytestmark = pytest.mark.anyio

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


class Failing(httpx.AsyncBaseTransport):
    """Raises an error for every request."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.error


FAILURES = {
    "refused": (httpx.ConnectError("no"), 502, "upstream_unavailable"),
    "broken": (httpx.RemoteProtocolError("no"), 502, "upstream_unavailable"),
    "unreadable": (httpx.ReadError("no"), 502, "upstream_unavailable"),
    "connect": (httpx.ConnectTimeout("no"), 504, "upstream_timeout"),
    "silent": (httpx.ReadTimeout("no"), 504, "upstream_timeout"),
    "full": (httpx.PoolTimeout("no"), 503, "upstream_busy"),
    "unsendable": (httpx.LocalProtocolError("no"), 400, "invalid_request"),
}


@pytest.mark.parametrize(("error", "status", "code"), FAILURES.values(), ids=FAILURES.keys())
async def test_each_failure_has_its_status(error: Exception, status: int, code: str) -> None:
    proxy = app("http://model", POLICY, transport=Failing(error))
    driven = await drive(proxy, http_scope(key="k"), request(CHAT))
    assert (driven.status, driven.json["error"]["code"]) == (status, code)
    assert ("retry-after" in driven.headers) == (status == 503)


async def test_a_web_page_can_read_what_the_proxy_itself_answers() -> None:
    policy = POLICY | {"refusals": {"cors": {"origins": ["https://page.example"]}}}
    proxy = app("http://model", policy, transport=Failing(httpx.ConnectError("no")))
    for path in ("/v1/chat/completions", "/free/x"):
        scope = http_scope(path, key="k")
        scope["headers"].append((b"origin", b"https://page.example"))
        driven = await drive(proxy, scope, request(CHAT))
        assert driven.status == 502
        assert driven.headers["access-control-allow-origin"] == "https://page.example"


DIALECTS = {
    "openai": ("/v1/chat/completions", CHAT, ("error", "code"), "upstream_unavailable"),
    "anthropic": ("/v1/messages", {**CHAT, "max_tokens": 9}, ("error", "type"), "api_error"),
    "ollama": ("/api/chat", CHAT, ("status",), 502),
    "gemini": (
        "/v1beta/models/m:generateContent",
        {"contents": [{"parts": [{"text": "hello"}]}]},
        ("error", "status"),
        "UNAVAILABLE",
    ),
    "none": ("/free/x", {}, ("status",), 502),
}


@pytest.mark.parametrize(("path", "body", "place", "found"), DIALECTS.values(), ids=DIALECTS.keys())
async def test_a_dead_server_is_told_in_the_caller_s_dialect(
    path: str, body: object, place: tuple[str, ...], found: object
) -> None:
    proxy = app("http://model", POLICY, transport=Failing(httpx.ConnectError("no")))
    driven = await drive(proxy, http_scope(path, key="k"), request(body))
    value = driven.json
    for member in place:
        value = value[member]
    assert (driven.status, value) == (502, found)


async def test_a_server_that_answers_nothing_costs_nothing() -> None:
    policy = POLICY | {"budgets": [{"name": "requests", "limit": "1 requests/minute"}]}
    proxy = app("http://model", policy, transport=Failing(httpx.ConnectError("no")))
    for _ in range(3):
        assert (await drive(proxy, http_scope(key="k"), request(CHAT))).status == 502


async def test_an_outage_is_logged_once_at_each_end(caplog: pytest.LogCaptureFixture) -> None:
    class Mended(Failing):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if asked.pop():
                return httpx.Response(200, stream=httpx.ByteStream(b"ok"))
            raise self.error

    asked = [True, True, False, False]
    proxy = app("http://model", POLICY, transport=Mended(httpx.ConnectError("no")))
    with caplog.at_level(logging.WARNING, "querybudget"):
        for _ in range(4):
            await drive(proxy, http_scope("/free/x", method="GET"), request())
    said = [
        record.getMessage() for record in caplog.records if "model server" in record.getMessage()
    ]
    assert said == [
        "the model server failed: http://model (httpx.ConnectError)",
        "the model server answers again: http://model",
    ]


async def test_a_server_that_is_not_there_is_a_bad_gateway() -> None:
    async with raw_server(lambda _r, w: w.drain()) as server:
        pass
    async with proxied(server) as port:
        assert (await ask(port, "GET /free/x HTTP/1.1")).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("setting", ["read", "whole"])
async def test_a_silent_server_is_given_up(setting: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        await reader.read()

    settings: dict[str, Any] = {setting: Micros(SECOND // 20)}
    async with raw_server(talk) as server, proxied(server, **settings) as port:
        assert (await ask(port, "GET /free/x HTTP/1.1")).startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("setting", ["read", "whole"])
async def test_a_server_that_falls_silent_breaks_the_answer(setting: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await reader.read()

    settings: dict[str, Any] = {setting: Micros(SECOND // 5)}
    async with raw_server(talk) as server, proxied(server, **settings) as port:
        answered = await ask(port, "GET /free/x HTTP/1.1")
    assert not answered.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8000", "ftp://x", "http://", "http://h:0", "http://h/?q", "http://u:p@h"],
)
def test_a_url_of_no_server_is_refused(url: str) -> None:
    with pytest.raises(Exception, match="expected"):
        app(Upstream(url=url), POLICY)
