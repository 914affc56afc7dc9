"""One WebSocket, passed through to a model server and back (RFC 6455).

The server is connected first, so that it may refuse the handshake, choose the subprotocol and add
headers. Messages are passed on whole, within `LARGEST` bytes, and close codes both ways.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from querybudget.adapters.base import Dialect
from querybudget.asgi.responder import send_answer
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.errors import SetupError
from querybudget.limiter.request_ids import new_request_id
from querybudget.proxy.forwarding import Forwarder
from querybudget.proxy.hops import answer_headers, request_headers, target_of
from querybudget.proxy.upstream import Upstream
from querybudget.redact import error_type
from querybudget.refusals import Answer, unforwardable, upstream_down, upstream_slow
from querybudget.units import SECOND

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection, connect

logger = logging.getLogger("querybudget")

LARGEST = 16 << 20
"""Bytes of the largest message, either way."""

NORMAL, GOING_AWAY, NO_STATUS, INTERNAL = 1000, 1001, 1005, 1011
_SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
"""Close codes that an endpoint may send (RFC 6455, section 7.4)."""

_RESPONSE = "websocket.http.response"
_REASON = 123  # bytes of a close frame's reason
_TOO_LONG = "time-out of the proxy"


async def tunnel(forwarder: Forwarder, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket.

    Raises:
        SetupError: The client library is not installed.
    """
    await receive()  # websocket.connect
    target = target_of(scope, forwarder.prefix)
    dialing = None if target is None else _dial(forwarder, scope, target)
    if dialing is None:
        await _refuse(forwarder, unforwardable, scope, send)
        return
    from websockets.exceptions import InvalidHandshake, InvalidStatus  # noqa: PLC0415 - an extra

    try:
        connection = await dialing
    except InvalidStatus as refused:
        response = refused.response
        headers = [(n.encode(), v.encode("latin-1", "replace")) for n, v in _raw(response.headers)]
        kept = answer_headers(response.status_code, headers)
        await _answer(Answer(response.status_code, kept, bytes(response.body or b"")), scope, send)
        return
    except (OSError, TimeoutError, InvalidHandshake) as error:
        url = forwarder.upstream.url
        logger.warning("the model server refused a WebSocket: %s (%s)", url, error_type(error))
        slow = isinstance(error, TimeoutError)
        await _refuse(forwarder, upstream_slow if slow else upstream_down, scope, send)
        return
    async with connection:
        await _accept(connection, send)
        await _pass(connection, receive, send, _Patience(forwarder.upstream))


def _dial(forwarder: Forwarder, scope: Scope, target: bytes) -> connect | None:
    """Return an attempt to connect to the server; None if the target cannot be sent on as it is."""
    try:
        from websockets.asyncio.client import connect  # noqa: PLC0415 - an extra
        from websockets.uri import parse_uri  # noqa: PLC0415
    except ImportError:
        raise SetupError(
            "WebSockets need another package: pip install 'querybudget[cli]'"
        ) from None

    upstream = forwarder.upstream
    base = upstream.url.removesuffix("/").removesuffix(upstream.prefix.decode("ascii"))
    headers = request_headers(
        scope, forwarder.host, forwarder.trusted, lambda name: name.startswith(b"sec-websocket-")
    )
    asked = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    asked_for = target.decode("ascii")
    uri = base.replace("http", "ws", 1) + asked_for
    if parse_uri(uri).resource_name != asked_for:
        return None
    dialing = connect(
        uri,
        additional_headers=[pair for pair in asked if forwarder.host == b"" or pair[0] != "host"],
        subprotocols=scope.get("subprotocols") or None,
        user_agent_header=None,
        compression=None,
        proxy=None,
        open_timeout=upstream.connect / SECOND,
        max_size=LARGEST,
    )
    # The client would follow redirects, which are the caller's to follow.
    dialing.process_redirect = _not_followed  # type: ignore[assignment, method-assign]
    return dialing


def _not_followed(error: Exception) -> Exception:
    return error


async def _accept(connection: ClientConnection, send: Send) -> None:
    response = connection.response
    raw = [] if response is None else _raw(response.headers)
    headers = [
        (name.lower().encode(), value.encode("latin-1", "replace"))
        for name, value in raw
        if not name.lower().startswith("sec-websocket-") and name.lower() not in {"date", "server"}
    ]
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": connection.subprotocol,
            "headers": answer_headers(101, headers),
        }
    )


def _raw(headers: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - of a library that may be missing
    return list(headers.raw_items())


class _Patience:
    """How long a WebSocket may go on: `Upstream.whole`, and `Upstream.read` without a message."""

    def __init__(self, upstream: Upstream) -> None:
        self._now = asyncio.get_running_loop().time
        self._silence = upstream.read / SECOND
        self._end = self._now() + upstream.whole / SECOND if upstream.whole else math.inf
        self._heard = self._now()

    def heard(self) -> None:
        """Note a message of either side."""
        self._heard = self._now()

    def left(self) -> float:
        """Return the seconds until it is over; 0 or less if it is."""
        return min(self._end, self._heard + self._silence) - self._now()


async def _pass(
    connection: ClientConnection, receive: Receive, send: Send, patience: _Patience
) -> None:
    """Pass messages on, both ways, until either side closes or fails, or it takes too long."""
    up = asyncio.create_task(_up(connection, receive, patience))
    down = asyncio.create_task(_down(connection, send, patience))
    try:
        while (left := patience.left()) > 0 and not (up.done() or down.done()):
            await asyncio.wait((up, down), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if not (up.done() or down.done()):
            await connection.close(GOING_AWAY, _TOO_LONG)
            await send({"type": "websocket.close", "code": GOING_AWAY, "reason": _TOO_LONG})
        elif not down.done():
            await connection.close(*up.result())
        elif not up.done():
            code, reason = down.result()
            await send({"type": "websocket.close", "code": code, "reason": reason})
    finally:
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _up(
    connection: ClientConnection, receive: Receive, patience: _Patience
) -> tuple[int, str]:
    """Pass on what the caller sends; return how it closed."""
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - an extra

    try:
        while (message := await receive())["type"] == "websocket.receive":
            patience.heard()
            await connection.send(_payload(message))
    except ConnectionClosed:
        return GOING_AWAY, ""
    code, reason = message.get("code") or NO_STATUS, message.get("reason") or ""
    return (code if code in _SENDABLE else GOING_AWAY), reason


async def _down(connection: ClientConnection, send: Send, patience: _Patience) -> tuple[int, str]:
    """Pass on what the server sends; return how it closed."""
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - an extra

    try:
        while True:
            payload = await connection.recv()
            patience.heard()
            kind = "text" if isinstance(payload, str) else "bytes"
            await send({"type": "websocket.send", kind: payload})
    except ConnectionClosed:
        pass
    code, reason = connection.close_code or NO_STATUS, connection.close_reason or ""
    if code == NO_STATUS:
        return NORMAL, reason
    return (code if code in _SENDABLE else INTERNAL), reason


def _payload(message: Message) -> str | bytes:
    text: str | None = message.get("text")
    return text if text is not None else bytes(message.get("bytes") or b"")


async def _refuse(
    forwarder: Forwarder, answering: Callable[..., Answer], scope: Scope, send: Send
) -> None:
    """Refuse a handshake by an answer of the proxy."""
    answer = answering(Dialect.PROBLEM, request_id=new_request_id())
    await _answer(forwarder.readable(answer, scope), scope, send)


async def _answer(answer: Answer, scope: Scope, send: Send) -> None:
    """Refuse a handshake with an answer, or by closing if the ASGI server cannot send one."""
    if _RESPONSE in (scope.get("extensions") or {}):
        await send_answer(answer, send, _RESPONSE)
    else:
        await send({"type": "websocket.close", "code": 1013})
