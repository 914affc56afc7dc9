"""`FakeModel`: a model server that sends the answers a test prepares.

A small Starlette application without a model and without a sleep. It serves OpenAI's chat
completions, responses, completions, embeddings and models, and Anthropic's messages, as JSON and as
server-sent events. It fails, stalls and reports usage exactly as its `Reply` says, and keeps every
request it received.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from querybudget.testing.fake_model import dialects
from querybudget.testing.fake_model.dialects import Event
from querybudget.testing.fake_model.reply import Failure, Reply

PATHS = frozenset(
    f"/v1/{name}"
    for name in ("chat/completions", "responses", "completions", "embeddings", "messages")
)
"""Where a `FakeModel` answers in a model's dialect."""


class FakeModelError(Exception):
    """Raised by a `FakeModel` whose `Reply` says so."""


@dataclass
class ModelRequest:
    """One request that a `FakeModel` received, and how much of its answer was sent.

    Attributes:
        method: HTTP method.
        path: Path, as routed.
        headers: By name in lower case; the last value of a repeated name.
        body: The bytes received.
        json: The body decoded; empty if it is not a JSON object.
        sent: Pieces of text sent.
        finished: Whether the whole answer was sent.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    json: Mapping[str, Any]
    sent: int = 0
    finished: bool = False


Replier = Callable[[ModelRequest], Reply]
_Whole = Callable[[Mapping[str, Any], Reply], Mapping[str, Any]]
_Events = Callable[[Mapping[str, Any], Reply], Iterator[Event]]


class FakeModel:
    """An ASGI application that sends the answers a test prepares.

    Args:
        reply: The answer to every request: a `Reply`, or a function from the request to one.

    Attributes:
        reply: The same; it may be set at any time.
        requests: Every request received, in order.
    """

    def __init__(self, reply: Reply | Replier | None = None) -> None:
        self.reply: Reply | Replier = reply or Reply()
        self.requests: list[ModelRequest] = []
        self._next = deque[Reply]()
        self._router = Router(
            [
                self._route("chat/completions", dialects.chat, dialects.chat_events),
                self._route("responses", dialects.response, dialects.response_events),
                self._route("completions", dialects.completion, dialects.completion_events),
                self._route("embeddings", dialects.embeddings, None),
                self._route("messages", dialects.message, dialects.message_events),
                Route("/v1/models", self._models),
                Route("/health", _health),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._router(scope, receive, send)

    def then(self, *replies: Reply) -> None:
        """Answer the next requests with one of `replies` each, and later ones with `reply`."""
        self._next.extend(replies)

    def _route(self, name: str, whole: _Whole, events: _Events | None) -> Route:
        anthropic = name == "messages"

        async def endpoint(request: Request) -> Response:
            received = await self._receive(request)
            reply = self._reply_to(received)
            if reply.failure is Failure.BEFORE_START:
                raise FakeModelError("set to fail before the answer started")
            if reply.status >= 400 or not received.json:  # noqa: PLR2004 - HTTP's own
                status = reply.status if received.json else 400
                body = dialects.failure(status, anthropic=anthropic)
                return JSONResponse(body, status, reply.headers)
            if events is not None and received.json.get("stream"):
                stream = _stream(received, reply, events(received.json, reply), anthropic=anthropic)
                return _streaming(stream, reply, "text/event-stream")
            if reply.gate is not None:
                await reply.gate.wait()
            content = _body(received, reply, whole(received.json, reply))
            return _streaming(content, reply, "application/json")

        return Route(f"/v1/{name}", endpoint, methods=["POST"])

    async def _models(self, request: Request) -> Response:
        reply = self._reply_to(await self._receive(request))
        if reply.status >= 400:  # noqa: PLR2004 - HTTP's own
            return JSONResponse(dialects.failure(reply.status, anthropic=False), reply.status)
        return JSONResponse(dialects.models(), reply.status, reply.headers)

    async def _receive(self, request: Request) -> ModelRequest:
        body = await request.body()
        received = ModelRequest(
            request.method, request.url.path, dict(request.headers), body, _object(body)
        )
        self.requests.append(received)
        return received

    def _reply_to(self, received: ModelRequest) -> Reply:
        if self._next:
            return self._next.popleft()
        return self.reply if isinstance(self.reply, Reply) else self.reply(received)


async def _health(request: Request) -> Response:  # noqa: ARG001 - Starlette gives it
    return PlainTextResponse("ok")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}


def _streaming(content: AsyncIterator[bytes], reply: Reply, media_type: str) -> Response:
    return StreamingResponse(content, reply.status, reply.headers, media_type)


async def _stream(
    received: ModelRequest, reply: Reply, events: Iterator[Event], *, anthropic: bool
) -> AsyncIterator[bytes]:
    for event, is_text in events:
        if is_text and reply.gate is not None and received.sent == reply.stall_after:
            await reply.gate.wait()
        if reply.failure is not None and received.sent == reply.fail_after:
            if reply.failure is Failure.MID_STREAM:
                raise FakeModelError(f"set to fail after {received.sent} pieces of text")
            yield dialects.failure_event(anthropic=anthropic)
            return
        yield event
        received.sent += is_text
    received.finished = True


async def _body(
    received: ModelRequest, reply: Reply, body: Mapping[str, Any]
) -> AsyncIterator[bytes]:
    encoded = msgspec.json.encode(body)
    half = len(encoded) // 2
    yield encoded[:half]
    if reply.failure is not None:
        raise FakeModelError("set to fail in the middle of the answer")
    yield encoded[half:]
    received.sent, received.finished = 1, True
