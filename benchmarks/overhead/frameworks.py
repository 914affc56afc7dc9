"""Limiters that not everybody has, imported by name: those that are missing are told, not measured.

fastapi-limiter and Litestar's middleware only work in their own framework, so each is compared with
that framework's bare application. Litestar's keeps each request of a window and reads all of them
at the next one, so what it adds grows with what callers have sent.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as HTTPRequest

from benchmarks.overhead.measure import ASGIApp
from benchmarks.overhead.rivals import Guarded, Limited, Make, Setup

__all__ = ["BARE_FASTAPI", "BARE_LITESTAR", "OPTIONAL", "bare_fastapi", "bare_litestar", "missing"]

BARE_FASTAPI, BARE_LITESTAR = "bare FastAPI", "bare Litestar"

MINUTE, HOUR = 60_000, 3_600_000
"""Milliseconds, as pyrate-limiter counts."""

ITEMS = {"items": list[str]()}


def pyrate(app: Starlette, limited: Limited) -> Setup:
    """A bucket for each caller, made when the caller is first seen, as its documentation says."""
    found, limiter = _pyrate(limited)
    return Setup(Guarded(app, lambda key: limiter.try_acquire_async(key, blocking=False)), found)


def fastapi_limiter(_: Starlette, limited: Limited) -> Setup:
    fastapi, depends = import_module("fastapi"), import_module("fastapi_limiter.depends")
    used, limiter = _pyrate(limited)

    async def caller(request: HTTPRequest) -> str:
        return str(request.headers["authorization"])

    limit = depends.RateLimiter(limiter=limiter, identifier=caller)
    return Setup(_fastapi([fastapi.Depends(limit)]), used)


def litestar(_: Starlette, limited: Limited) -> Setup:
    """One middleware and one store of its own for each limit: it takes one limit each."""
    module = import_module("litestar.middleware.rate_limit")
    memory = import_module("litestar.stores.memory")
    names = [(unit, n) for unit, n in zip(("minute", "hour"), limited, strict=True) if n]
    stores = {unit: memory.MemoryStore() for unit, _ in names}
    middleware = [
        module.RateLimitConfig(
            rate_limit=(unit, limit),
            identifier_for_request=lambda request: request.headers["authorization"],
            store=unit,
        ).middleware
        for unit, limit in names
    ]

    async def used(key: str) -> tuple[int, ...]:
        decode = import_module("litestar.serialization").decode_json
        kept = [await stores[u].get(f"RateLimitMiddleware::{key}") if n else None for u, n in names]
        return tuple(len(decode(value)["history"]) if value else 0 for value in kept)

    return Setup(_litestar(middleware, stores), used)


def bare_fastapi() -> ASGIApp:
    return _fastapi([])


def bare_litestar() -> ASGIApp:
    return _litestar([], {})


OPTIONAL: dict[str, tuple[str, Make, str]] = {
    "pyrate-limiter": ("pyrate_limiter", pyrate, ""),
    "fastapi-limiter": ("fastapi_limiter", fastapi_limiter, BARE_FASTAPI),
    "litestar RateLimitMiddleware": ("litestar", litestar, BARE_LITESTAR),
}
"""Module, how it is set up, and what it is compared with; empty for bare Starlette."""


def missing() -> list[str]:
    """Names of what is not installed."""
    return [name for name, (module, _, _) in OPTIONAL.items() if find_spec(module) is None]


def _pyrate(limited: Limited) -> tuple[Any, Any]:
    module = import_module("pyrate_limiter")
    minute, hour = limited
    # It takes no limit that never binds: as many a minute as another allows an hour.
    pairs = ((0 if 0 < hour <= minute else minute, MINUTE), (hour, HOUR))
    rates = [module.Rate(limit, interval) for limit, interval in pairs if limit]

    class Each(module.BucketFactory):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.buckets = dict[str, Any]()

        def wrap_item(self, name: str, weight: int = 1) -> Any:  # noqa: ANN401 - of a package that may be missing
            return module.RateItem(name, module.MonotonicClock().now(), weight=weight)

        def get(self, item: Any) -> Any:  # noqa: ANN401 - of a package that may be missing
            name = item.name.partition(":")[0]
            if name not in self.buckets:
                self.buckets[name] = module.InMemoryBucket(rates)
            return self.buckets[name]

    factory = Each()

    async def used(key: str) -> tuple[int, ...]:
        bucket = factory.buckets.get(key)
        recorded = len(bucket.items) if bucket else 0
        return tuple(recorded for limit in limited if limit)

    return used, module.Limiter(factory)


def _fastapi(dependencies: list[Any]) -> ASGIApp:
    app: Any = import_module("fastapi").FastAPI()

    @app.get("/items", dependencies=dependencies)  # type: ignore[untyped-decorator, unused-ignore]
    async def items() -> dict[str, list[str]]:
        await asyncio.sleep(0)
        return ITEMS

    made: ASGIApp = app
    return made


def _litestar(middleware: list[Any], stores: dict[str, Any]) -> ASGIApp:
    module = import_module("litestar")

    async def items() -> dict[str, list[str]]:
        await asyncio.sleep(0)
        return ITEMS

    route = module.get("/items")(items)
    made: ASGIApp = module.Litestar(
        [route], middleware=middleware, stores=stores, logging_config=None, openapi_config=None
    )
    return made
