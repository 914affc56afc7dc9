"""One HTTP request, sent on to a model server, and its answer, sent back as it arrives.

Nothing is held back: a request's body is sent on as it is received, an answer's as the server sends
it. A caller who hangs up ends the server's request at once. An answer that breaks off is broken off
for the caller too, and never ended as if it were whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from email.utils import formatdate
from typing import Protocol

import httpx
from msgspec.structs import replace

from querybudget.adapters.base import Dialect
from querybudget.asgi.body import header
from querybudget.asgi.responder import STATE_KEY, dialect_of, send_answer
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.identity.networks import networks
from querybudget.limiter import AdmissionView
from querybudget.limiter.request_ids import new_request_id
from querybudget.policy.cors import Cors
from querybudget.proxy.hops import answer_headers, request_headers, target_of
from querybudget.proxy.upstream import Upstream
from querybudget.redact import error_type
from querybudget.refusals import (
    Answer,
    readable_by,
    unforwardable,
    upstream_busy,
    upstream_down,
    upstream_slow,
)
from querybudget.units import SECOND

logger = logging.getLogger("querybudget")

KEPT = 4.0
"""Seconds that an unused connection is kept: less than servers keep theirs, which is 5 s or more.
A request on a connection that the server is closing would fail."""

MOST_KEPT = 100
"""Unused connections that are kept."""

_FIRST_STATUS, _LAST_STATUS = 200, 599

_LAST = ((b"connection", b"close"),)
"""After what was no HTTP, nobody knows where the next request begins."""

Headers = Sequence[tuple[bytes, bytes]]


class _Answering(Protocol):
    def __call__(self, dialect: Dialect, *, request_id: str) -> Answer: ...


class GoneError(Exception):
    """The caller has hung up."""


class Forwarder:
    """Sends requests on to one server, over a bounded number of connections.

    Args:
        upstream: The server.
        transport: Speaks to it; by default, one of its own.
        cors: Returns which web pages may read what the proxy itself answers.
    """

    def __init__(
        self,
        upstream: Upstream,
        transport: httpx.AsyncBaseTransport | None = None,
        cors: Callable[[], Cors | None] = lambda: None,
    ) -> None:
        self._cors = cors
        self.upstream = upstream
        self.trusted = networks(upstream.trusted_proxies)
        self.prefix = upstream.prefix
        self.host = b"" if upstream.keep_host else upstream.authority
        self._url = httpx.URL(upstream.url)
        limits = httpx.Limits(
            max_connections=upstream.connections,
            max_keepalive_connections=MOST_KEPT,
            keepalive_expiry=KEPT,
        )
        self._transport = transport or httpx.AsyncHTTPTransport(limits=limits)
        self._timeouts = {
            "connect": upstream.connect / SECOND,
            "read": upstream.read / SECOND,
            "write": upstream.read / SECOND,
            "pool": upstream.wait / SECOND,
        }
        self._failing = False

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        target = target_of(scope, self.prefix)
        if target is None or scope["method"] == "CONNECT" or _asks_for_socket(scope):
            await self._send(unforwardable, scope, send, _LAST)
            return
        whole, exchange = self.upstream.whole, _Exchange(self, scope, receive, send)
        try:
            async with asyncio.timeout(whole / SECOND if whole else None) as deadline:
                await exchange.run(target, deadline)
        except TimeoutError:
            if exchange.gone:
                return
            await self.failed(exchange, upstream_slow, "took too long")
        except GoneError:
            return
        except httpx.PoolTimeout:
            await self.failed(exchange, upstream_busy, "has no free connection")
        except httpx.TimeoutException as error:
            await self.failed(exchange, upstream_slow, error_type(error))
        except httpx.LocalProtocolError:  # what was to be sent is no HTTP
            await self.failed(exchange, unforwardable, "")
        except httpx.TransportError as error:
            await self.failed(exchange, upstream_down, error_type(error))
        else:
            self.works()

    async def failed(self, exchange: _Exchange, answer: _Answering, reason: str) -> None:
        """Tell the caller, unless the answer has begun: then the server breaks the connection.

        It does so because the application returns without having sent all.
        """
        if reason and not self._failing:
            self._failing = True
            where = "broke off" if exchange.started else "failed"
            logger.warning("the model server %s: %s (%s)", where, self.upstream.url, reason)
        if not exchange.started:
            await self._send(answer, exchange.scope, exchange.send)

    def works(self) -> None:
        """Note that the server has answered."""
        if self._failing:
            self._failing = False
            logger.warning("the model server answers again: %s", self.upstream.url)

    async def ask(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return the beginning of its answer."""
        return await self._transport.handle_async_request(request)

    def request(self, scope: Scope, target: bytes, body: httpx.AsyncByteStream) -> httpx.Request:
        """Return a request as it is sent: with this target, byte for byte."""
        return httpx.Request(
            scope["method"],
            self._url,
            headers=request_headers(scope, self.host, self.trusted),
            stream=body,
            extensions={"target": target, "timeout": self._timeouts},
        )

    def readable(self, answer: Answer, scope: Scope) -> Answer:
        """Return an answer of the proxy with the headers that let a web page read it."""
        return readable_by(answer, self._cors(), header(scope, b"origin"))

    async def _send(
        self, answering: _Answering, scope: Scope, send: Send, headers: Headers = ()
    ) -> None:
        view = scope.get("state", {}).get(STATE_KEY)
        view = view if isinstance(view, AdmissionView) else None
        dialect = Dialect.PROBLEM if view is None else view.dialect
        if dialect is Dialect.PROBLEM:  # of a path that no adapter reads
            dialect = dialect_of(scope, scope.get("path", ""))
        request_id = new_request_id() if view is None else view.request_id
        answer = answering(dialect, request_id=request_id)
        answer = replace(answer, headers=[*answer.headers, *headers])
        await send_answer(self.readable(answer, scope), send)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


class _Exchange:
    """One request and its answer."""

    def __init__(self, forwarder: Forwarder, scope: Scope, receive: Receive, send: Send) -> None:
        self._forwarder = forwarder
        self.scope = scope
        self._receive = receive
        self.send = send
        self._deadline: asyncio.Timeout | None = None
        self._listening: asyncio.Task[None] | None = None
        self._over = False
        self.gone = False
        self.started = False

    async def run(self, target: bytes, deadline: asyncio.Timeout) -> None:
        """Send the request and its answer on; `deadline` is moved to now if the caller leaves."""
        self._deadline = deadline
        first = await self._receive()
        if first["type"] == "http.disconnect":
            raise GoneError
        body = _Body(first, self._receive, self._listen)
        if not first.get("more_body"):
            self._listen()
        try:
            request = self._forwarder.request(self.scope, target, body)
            response = await self._forwarder.ask(request)
            try:
                self._listen()
                await self._answer(response)
            finally:
                await response.aclose()
            await self._end()
        finally:
            if self._listening is not None:
                self._listening.cancel()

    async def _answer(self, response: httpx.Response) -> None:
        status = response.status_code
        if not _FIRST_STATUS <= status <= _LAST_STATUS:
            raise httpx.RemoteProtocolError("expected an answer, found another protocol")
        headers = answer_headers(status, response.headers.raw, _date())
        self.started = True
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise TypeError("expected an asynchronous transport")
        async for chunk in stream:
            if chunk:
                await self.send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _end(self) -> None:
        self._over = True  # the server now says that the caller has gone, whatever happened
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def _listen(self) -> None:
        """Give up as soon as the caller hangs up."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._wait_for_disconnect())

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._over and self._deadline is not None:
            self.gone = True
            self._deadline.reschedule(asyncio.get_running_loop().time())


class _Body(httpx.AsyncByteStream):
    """A request's body, as it is received."""

    def __init__(self, first: Message, receive: Receive, ended: Callable[[], None]) -> None:
        self._first = first
        self._receive = receive
        self._ended = ended

    async def __aiter__(self) -> AsyncIterator[bytes]:
        message = self._first
        while True:
            if chunk := message.get("body", b""):
                yield chunk
            if not message.get("more_body"):
                break
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise GoneError
        self._ended()


def _asks_for_socket(scope: Scope) -> bool:
    """Return True for a WebSocket's handshake that is no ``GET``: an error (RFC 6455, 4.2.1).

    Servers stop reading at ``Upgrade``, so it may have a body that nobody has seen.
    """
    if scope["method"] == "GET":
        return False
    upgrades = header(scope, b"upgrade").lower().strip() == b"websocket"
    return upgrades and b"upgrade" in header(scope, b"connection").lower()


def _date() -> bytes:
    return formatdate(usegmt=True).encode("ascii")
