"""The other limiters, each set up by its own documentation, keyed by Authorization.

For a package without ASGI middleware (limits, throttled-py), the smallest possible pure ASGI one is
measured, so the figures are the package's own cost and almost nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import limits
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from ratelimit import RateLimitMiddleware, Rule
from ratelimit.backends.simple import MemoryBackend
from slowapi import Limiter as SlowapiLimiter
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from starlette.applications import Starlette
from starlette.requests import Request as HTTPRequest
from throttled.asyncio import MemoryStore, Throttled, rate_limiter

from benchmarks.overhead.measure import ASGIApp, Receive, Scope, Send

__all__ = ["RIVALS", "Guarded", "Limited", "Make", "Setup", "key_of"]

Limited = tuple[int, int]
"""Requests per minute and per hour; 0 for no limit."""


Used = Callable[[str], Awaitable[tuple[int, ...]]]


@dataclass(frozen=True)
class Setup:
    """One limiter around an application, and how to read its charges.

    Attributes:
        app: The application behind the limiter.
        used: Returns what a caller was charged on the limit per minute and on that per hour.
    """

    app: ASGIApp
    used: Used


Make = Callable[[Starlette, Limited], Setup]


def key_of(scope: Scope) -> str:
    """Return the Authorization header."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value, "latin-1")
    return ""


class Guarded:
    """The smallest middleware: it asks the limiter first, and answers 429 if that refuses."""

    def __init__(self, app: ASGIApp, admits: Callable[[str], Any]) -> None:
        self.app = app
        self._admits = admits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or await self._admits(key_of(scope)):
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 429, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def slowapi_base(app: Starlette, limited: Limited) -> Setup:
    return _slowapi(SlowAPIMiddleware, app, limited)


def slowapi_asgi(app: Starlette, limited: Limited) -> Setup:
    return _slowapi(SlowAPIASGIMiddleware, app, limited)


def asgi_ratelimit(app: Starlette, limited: Limited) -> Setup:
    async def authenticate(scope: Scope) -> tuple[str, str]:
        return key_of(scope), "default"

    backend: Any = MemoryBackend()  # type: ignore[no-untyped-call]
    rule = Rule(minute=limited[0] or None, hour=limited[1] or None)
    guarded: Any = RateLimitMiddleware(app, authenticate, backend, {r"^/": [rule]})

    async def used(key: str) -> tuple[int, ...]:
        rules = {
            name.rpartition(":")[2]: entry.count
            for block in backend.blocks.values()
            for name, entry in block.items()
            if f":{key}:" in name
        }
        return tuple(
            limit - rules.get(name, limit)
            for name, limit in zip(("minute", "hour"), limited, strict=True)
        )

    return Setup(guarded, used)


def throttled_fixed(app: Starlette, limited: Limited) -> Setup:
    return _throttled("fixed_window", app, limited)


def throttled_bucket(app: Starlette, limited: Limited) -> Setup:
    return _throttled("token_bucket", app, limited)


def limits_fixed(app: Starlette, limited: Limited) -> Setup:
    return _limits(FixedWindowRateLimiter(MemoryStorage()), app, limited)


def limits_moving(app: Starlette, limited: Limited) -> Setup:
    return _limits(MovingWindowRateLimiter(MemoryStorage()), app, limited)


RIVALS: dict[str, Make] = {
    "slowapi SlowAPIMiddleware": slowapi_base,
    "slowapi SlowAPIASGIMiddleware": slowapi_asgi,
    "asgi-ratelimit": asgi_ratelimit,
    "throttled-py fixed window": throttled_fixed,
    "throttled-py token bucket": throttled_bucket,
    "limits.aio fixed window": limits_fixed,
    "limits.aio moving window": limits_moving,
}


def _slowapi(middleware: Callable[[ASGIApp], ASGIApp], app: Starlette, limited: Limited) -> Setup:
    def key(request: HTTPRequest) -> str:
        return request.headers["authorization"]

    words = _words(limited)
    limiter = SlowapiLimiter(key_func=key, default_limits=[*words])
    app.state.limiter = limiter
    app.add_middleware(middleware)

    async def used(key: str) -> tuple[int, ...]:
        return tuple(
            item.amount - limiter.limiter.get_window_stats(item, key, "/items").remaining
            if item
            else 0
            for item in _items(limited)
        )

    return Setup(app, used)


def _throttled(algorithm: str, app: Starlette, limited: Limited) -> Setup:
    store = MemoryStore(options={"MAX_SIZE": 100_000})
    quotas = (rate_limiter.per_min(limited[0] or 1), rate_limiter.per_hour(limited[1] or 1))
    both = [
        Throttled(using=algorithm, quota=quota, store=store, key_prefix=name)
        for name, quota, limit in zip(("minute", "hour"), quotas, limited, strict=True)
        if limit
    ]

    async def admits(key: str) -> bool:
        for throttle in both:
            if (await throttle.limit(key)).limited:
                return False
        return True

    async def used(key: str) -> tuple[int, ...]:
        states = [await throttle.peek(key) for throttle in both]
        return tuple(state.limit - state.remaining for state in states)

    return Setup(Guarded(app, admits), used)


def _limits(
    limiter: FixedWindowRateLimiter | MovingWindowRateLimiter, app: Starlette, limited: Limited
) -> Setup:
    items = [item for item in _items(limited) if item]

    async def admits(key: str) -> bool:
        for item in items:
            if not await limiter.hit(item, key):
                return False
        return True

    async def used(key: str) -> tuple[int, ...]:
        stats = [await limiter.get_window_stats(item, key) for item in items]
        return tuple(i.amount - s.remaining for i, s in zip(items, stats, strict=True))

    return Setup(Guarded(app, admits), used)


def _words(limited: Limited) -> list[str]:
    return [f"{n}/{name}" for n, name in zip(limited, ("minute", "hour"), strict=True) if n]


def _items(limited: Limited) -> Sequence[limits.RateLimitItem | None]:
    minute, hour = limited
    return (
        limits.RateLimitItemPerMinute(minute) if minute else None,
        limits.RateLimitItemPerHour(hour) if hour else None,
    )
