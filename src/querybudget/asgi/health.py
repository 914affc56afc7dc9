"""How the store is, over HTTP: for load balancers, orchestrators and whoever is on call.

200 while calls are decided, also without the store (``degraded``); 503 while a budget refuses every
call because the store is down (``down``). Whoever sees a 503 would only be refused here.
"""

from __future__ import annotations

import msgspec

from querybudget.asgi.types import ASGIApp, Receive, Scope, Send
from querybudget.limiter import Health, Limiter

__all__ = ["READS", "health_app", "send_health"]

READS = frozenset({"GET", "HEAD"})


async def send_health(limiter: Limiter, send: Send) -> None:
    """Answer a request for the store's health. The server takes the body off a HEAD's answer."""
    health = await limiter.check()
    await _send(send, 503 if health.status is Health.DOWN else 200, msgspec.json.encode(health))


def health_app(limiter: Limiter) -> ASGIApp:
    """An ASGI application that tells how a limiter's store is, at whatever path it is mounted.

    Where the policy names a path, as ``health``, the middleware answers there by itself.

    Args:
        limiter: The same as the middleware's: give it to both.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["type"] != "http":
            raise ValueError(
                f"expected an HTTP request for the store's health, found {scope['type']}"
            )
        if scope["method"] in READS:
            await send_health(limiter, send)
        else:
            await _send(send, 405, b'{"error":"expected GET or HEAD"}', (b"allow", b"GET, HEAD"))

    return app


async def _send(send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
