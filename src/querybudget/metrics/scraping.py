"""The endpoint that Prometheus scrapes."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from querybudget.metrics.prometheus import PrometheusMetrics

READS = frozenset({"GET", "HEAD"})


def metrics_app(metrics: PrometheusMetrics) -> ASGIApp:
    """Return an ASGI application that answers with the metrics, at any path it is mounted on.

    Args:
        metrics: The hook of the limiter.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["type"] != "http":
            raise ValueError(f"expected an HTTP request for metrics, found {scope['type']}")
        await send_metrics(metrics, scope, send)

    return app


async def send_metrics(metrics: PrometheusMetrics, scope: Scope, send: Send) -> None:
    """Answer a scrape. The text is made in a thread: it may be long, and files may be read."""
    if scope["method"] not in READS:
        await _send(send, 405, b"expected GET or HEAD\n", "text/plain", (b"allow", b"GET, HEAD"))
        return
    accepted = (value for name, value in scope["headers"] if name == b"accept")
    body, content_type = await asyncio.to_thread(
        metrics.text, b",".join(accepted).decode("latin-1")
    )
    await _send(send, 200, body, content_type)


async def _send(
    send: Send, status: int, body: bytes, content_type: str, *extra: tuple[bytes, bytes]
) -> None:
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
