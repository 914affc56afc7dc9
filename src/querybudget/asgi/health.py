"""The store's health over HTTP, for load balancers, orchestrators and people on call.

The status is 200 while calls are decided, even without the store (``degraded``), and 503 while a
budget refuses every call because the store is down (``down``). The hash of the policy is there too,
so that one sees whether all workers run the same.
"""

from __future__ import annotations

import msgspec

from querybudget.asgi.types import ASGIApp, Receive, Scope, Send
from querybudget.limiter import Health, Limiter

READS = frozenset({"GET", "HEAD"})


async def send_health(limiter: Limiter, send: Send) -> None:
    """Answer a request for the store's health. The server drops the body of a HEAD's answer."""
    health = await limiter.check()
    body = {**msgspec.to_builtins(health), "policy": limiter.policy_hash}
    await _send(send, 503 if health.status is Health.DOWN else 200, msgspec.json.encode(body))


def health_app(limiter: Limiter) -> ASGIApp:
    """Return an ASGI application that reports the store's health, at any path it is mounted on.

    If the policy names a path as ``health``, the middleware answers there itself.

    Args:
        limiter: The limiter that the middleware uses too.
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


async def _send(send: Send, status: int, body: bytes, *extra: tuple[bytes, bytes]) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
