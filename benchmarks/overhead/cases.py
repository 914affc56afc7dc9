"""Applications, policies, and the cases to measure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.overhead.bodies import requests
from benchmarks.overhead.frameworks import (
    BARE_FASTAPI,
    BARE_LITESTAR,
    OPTIONAL,
    bare_fastapi,
    bare_litestar,
    missing,
)
from benchmarks.overhead.measure import ASGIApp, Message, Receive, Request, Scope, Send
from benchmarks.overhead.rivals import RIVALS, Guarded, Limited, Make, Setup
from benchmarks.stores.calls import COVERED
from benchmarks.stores.cases import Make as RedisMake
from benchmarks.stores.cases import others
from benchmarks.stores.names import LIMITS
from benchmarks.stores.servers import Servers
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.identity import KeyedHash

__all__ = [
    "BARE",
    "CHAT",
    "CHUNKS",
    "EVERYTHING",
    "FOUR",
    "LONG_STREAM",
    "ONE",
    "PLAIN",
    "SHORT_STREAM",
    "Case",
    "application",
    "cases",
    "counted",
    "stored",
]

AMPLE = 1_000_000
"""A limit that is never reached."""

CHUNKS = 200
"""Chunks of the long stream beyond those of the short one."""

SECRET = "a benchmark keeps no secrets"  # noqa: S105 - it opens nothing

MODEL = "bench-1"

_TEXT = "The quick brown fox jumps over the lazy dog while the budget is kept. "
_CHAT = json.dumps(
    {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": _TEXT * 3},
            {"role": "user", "content": _TEXT * 9},
        ],
        "temperature": 0.7,
        "max_tokens": 200,
    }
).encode()
_STREAM = _CHAT[:-1] + b', "stream": true}'
_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _TEXT * 6},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 220, "completion_tokens": 96, "total_tokens": 316},
    }
).encode()

PLAIN = Request("GET", "/items")
CHAT = Request("POST", "/v1/chat/completions", _CHAT)
SHORT_STREAM = Request("POST", "/short/v1/chat/completions", _STREAM)
LONG_STREAM = Request("POST", "/long/v1/chat/completions", _STREAM)


@dataclass(frozen=True)
class Case:
    """One case to measure.

    Attributes:
        name: The middleware around the application.
        request: The request sent.
        around: Wraps the application in the middleware.
        base: The case that it is compared with.
    """

    name: str
    request: Request
    around: Callable[[Starlette], ASGIApp]
    base: str = "bare Starlette"

    @property
    def bare(self) -> bool:
        return self.name == BARE


BARE = "bare Starlette"


def cases() -> list[Case]:
    """Return every case of memory; each kind of request has its own bare case."""
    several = {1: (AMPLE, 0), 2: (AMPLE, AMPLE)}
    return [
        *(Case(BARE, request, _itself) for request in (PLAIN, CHAT, SHORT_STREAM, LONG_STREAM)),
        Case("pure ASGI pass-through", PLAIN, PassThrough),
        Case("pure ASGI, wrapped send", PLAIN, WrappedSend),
        Case("BaseHTTPMiddleware", PLAIN, _base_http),
        *(Case(name, PLAIN, partial(_rival, name, several[1])) for name in RIVALS),
        *_frameworks(several[1]),
        Case("limits.aio fixed window, two limits", PLAIN, partial(_rival, *_TWO_FIXED)),
        Case("querybudget, 1 budget", PLAIN, partial(querybudget, ONE)),
        Case("querybudget, 1 budget, no figures", PLAIN, partial(querybudget, ONE | QUIET)),
        Case("querybudget, 1 budget", CHAT, partial(querybudget, ONE)),
        Case("querybudget, 1 budget, no figures", CHAT, partial(querybudget, ONE | QUIET)),
        Case("querybudget, 4 budgets", CHAT, partial(querybudget, FOUR)),
        Case("querybudget, 4 budgets, no figures", CHAT, partial(querybudget, FOUR | QUIET)),
        *(
            Case(name, request, around)
            for request in (SHORT_STREAM, LONG_STREAM)
            for name, around in (
                ("pure ASGI, wrapped send", WrappedSend),
                ("BaseHTTPMiddleware", _base_http),
                ("querybudget, 4 budgets", partial(querybudget, FOUR)),
            )
        ),
        *_sized(),
    ]


def stored(servers: Servers) -> list[Case]:
    """The same work in SQLite and in Redis, and `limits` beside it on the same Redis server."""
    urls = {"SQLite": f"sqlite:///{servers.directory}/overhead.db"}
    if servers.redis:
        urls["Redis"] = servers.redis.url
    found = [
        Case(f"querybudget, {name}, {store}", CHAT, partial(querybudget, settings | _kept(url)))
        for store, url in urls.items()
        for name, settings in (("4 budgets", FOUR), ("everything on", EVERYTHING))
    ]
    for name, make in others(servers).items():
        if name == LIMITS:
            found += [
                Case(f"{name}, {count} on Redis", CHAT, partial(_on_redis, make, count))
                for count in (1, 4)
            ]
    return found


def _kept(url: str) -> dict[str, Any]:
    return {"store": {"url": url, "timeout": "60s"}}


def _on_redis(make: RedisMake, count: int, app: Starlette) -> ASGIApp:
    rival = make([AMPLE] * count, f"overhead{count}")

    async def admits(key: str) -> bool:
        return bool(await rival.ask(int(key[-6:])))

    return Guarded(app, admits)


def _frameworks(limited: Limited) -> list[Case]:
    found = list[Case]()
    bare = {BARE_FASTAPI: bare_fastapi, BARE_LITESTAR: bare_litestar}
    absent = missing()
    for name, (_, make, base) in OPTIONAL.items():
        if name in absent:
            continue
        found.append(Case(name, PLAIN, partial(_made, make, limited), base or BARE))
        if base:
            found.append(Case(base, PLAIN, partial(_alone, bare[base]), base))
    return found


def _made(make: Make, limited: Limited, app: Starlette) -> ASGIApp:
    return make(app, limited).app


def _alone(make: Callable[[], ASGIApp], app: Starlette) -> ASGIApp:
    del app
    return make()


def _sized() -> list[Case]:
    found = list[Case]()
    for request in requests():
        # The bare application does not look at a body, so it need not be a new one each time.
        found.append(Case(BARE, replace(request, fresh=None), _itself))
        found.append(Case("querybudget, everything on", request, partial(querybudget, EVERYTHING)))
    return found


_TWO_FIXED: tuple[str, Limited] = ("limits.aio fixed window", (AMPLE, AMPLE))


def policy(*limits: str) -> dict[str, Any]:
    """Return a policy with budgets per API key."""
    return {
        "version": 1,
        "secret": SECRET,
        "identity": ["api_key"],
        "models": {"bench-*": {"input": 2.5, "output": 10}},
        "budgets": [{"name": f"b{number}", "limit": limit} for number, limit in enumerate(limits)],
    }


ONE = policy(f"{AMPLE} requests/minute")
FOUR = policy(
    f"{AMPLE} requests/minute",
    f"{AMPLE}000 tokens/day",
    f"{AMPLE} usd/month",
    f"{AMPLE} concurrent",
)
EVERYTHING = FOUR | {
    "budgets": [*FOUR["budgets"], {"name": "coverage", **COVERED[-1]}],
}
"""Four budgets, and one in buckets that watches."""

QUIET: dict[str, Any] = {"refusals": {"disclose": "refusals"}}


def querybudget(settings: Mapping[str, Any], app: ASGIApp) -> QueryBudgetMiddleware:
    return QueryBudgetMiddleware(app, settings)


def counted(limited: Limited, app: Starlette) -> Setup:
    """Set up querybudget with a limit per minute and one per hour, and read its charges."""
    minute, hour = limited
    both = [f"{minute} requests/minute"] * bool(minute) + [f"{hour} requests/hour"] * bool(hour)
    middleware = querybudget(policy(*both), app)
    key = KeyedHash(SECRET.encode())

    async def used(caller: str) -> tuple[int, ...]:
        limiter = middleware.limiter
        quotas = [budget.quota for budget in limiter.policy.budgets]
        account = key("api_key", caller.removeprefix("Bearer "))
        states = await limiter.store.peek(account, quotas)
        return tuple((q.limit - s[0]) // 1_000_000 for q, s in zip(quotas, states, strict=True))

    return Setup(middleware, used)


def application() -> Starlette:
    """Return the application: a plain path, a model's answer, and a short and a long stream.

    Each answer waits for one turn of the event loop, as it would for a socket, so that work which a
    limiter leaves to the loop is measured too, and requests in flight overlap.
    """

    async def items(_: HTTPRequest) -> Response:
        await asyncio.sleep(0)
        return Response(b'{"items": []}', media_type="application/json")

    async def chat(request: HTTPRequest) -> Response:
        await request.body()
        await asyncio.sleep(0)
        return Response(_ANSWER, media_type="application/json")

    return Starlette(
        routes=[
            Route(PLAIN.path, items),
            Route(CHAT.path, chat, methods=["POST"]),
            Route(SHORT_STREAM.path, Stream(0)),
            Route(LONG_STREAM.path, Stream(CHUNKS)),
        ]
    )


class Stream:
    """Stream server-sent events like vLLM: one ASGI message each."""

    def __init__(self, chunks: int) -> None:
        self._messages: list[Message] = [
            {"type": "http.response.body", "body": body, "more_body": True}
            for body in (_event(index) for index in range(chunks))
        ]
        self._messages.append(
            {"type": "http.response.body", "body": _usage_event(chunks), "more_body": True}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await asyncio.sleep(0)
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for message in self._messages:
            await send(message)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class PassThrough:
    """The smallest possible middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class WrappedSend:
    """The smallest middleware that sees answers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def profiled(message: Message) -> None:
            await send(message)

        await self.app(scope, receive, profiled)


def _itself(app: Starlette) -> ASGIApp:
    return app


def _rival(name: str, limited: Limited, app: Starlette) -> ASGIApp:
    return RIVALS[name](app, limited).app


async def _pass_on(request: HTTPRequest, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


def _base_http(app: Starlette) -> ASGIApp:
    return BaseHTTPMiddleware(app, dispatch=_pass_on)


def _event(index: int) -> bytes:
    delta = {"content": f" word{index}"}
    chunk = {
        "id": "chatcmpl-7f3c2f9ab0e44b0f",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _usage_event(chunks: int) -> bytes:
    usage = {"prompt_tokens": 220, "completion_tokens": chunks, "total_tokens": 220 + chunks}
    return (
        b"data: " + json.dumps({"choices": [], "model": MODEL, "usage": usage}).encode() + b"\n\n"
    )
