"""The proxy as an ASGI application: what it does with each kind of scope, and how it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.types import ASGIApp, Receive, Scope, Send
from querybudget.events import Hook
from querybudget.limiter import Limiter
from querybudget.policy.cors import Cors
from querybudget.policy.model import Policy
from querybudget.proxy.forwarding import Forwarder
from querybudget.proxy.tunnel import tunnel
from querybudget.proxy.upstream import Upstream, check_upstream
from querybudget.stores import Store


class Proxy:
    """Sends every request on to a model server. It has no budgets of its own.

    Args:
        upstream: The server.
        transport: Speaks to it; by default, one of its own.

    Raises:
        SetupError: The server's URL, or another setting, cannot work.
    """

    def __init__(
        self, upstream: Upstream, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        check_upstream(upstream)
        self._upstream = upstream
        self._transport = transport
        self._forwarder: Forwarder | None = None
        self.cors: Callable[[], Cors | None] = lambda: None
        """Returns which web pages may read what the proxy itself answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        match scope["type"]:
            case "http":
                await self._opened().forward(scope, receive, send)
            case "websocket":
                await tunnel(self._opened(), scope, receive, send)
            case "lifespan":
                await self._live(receive, send)
            case kind:
                raise ValueError(f"expected an HTTP request or a WebSocket, found {kind}")

    def _opened(self) -> Forwarder:
        if self._forwarder is None:
            self._forwarder = Forwarder(self._upstream, self._transport, self.cors)
        return self._forwarder

    async def _live(self, receive: Receive, send: Send) -> None:
        """Open the connections' pool before the first request, and close it after the last."""
        await receive()
        self._opened()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._opened().aclose()
        self._forwarder = None
        await send({"type": "lifespan.shutdown.complete"})


def app(
    upstream: str | Upstream,
    policy: Policy | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    store: Store | str | None = None,
    hooks: Sequence[Hook] = (),
    limiter: Limiter | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> ASGIApp:
    """Return an ASGI application: budgets in front of a model server that is none.

    Args:
        upstream: The server, or its URL.
        policy: As for `QueryBudgetMiddleware`, as are `store`, `hooks` and `limiter`.
        store: Where accounts are kept.
        hooks: Called with one event for each call.
        limiter: An existing limiter, instead of these.
        transport: Speaks to the server; by default, one of its own.

    Raises:
        SetupError: The server's URL, or another setting, cannot work.
        PolicyError: A policy passed as a mapping is wrong.
    """
    served = upstream if isinstance(upstream, Upstream) else Upstream(url=upstream)
    proxy = Proxy(served, transport)
    served_by = QueryBudgetMiddleware(proxy, policy, store=store, hooks=hooks, limiter=limiter)
    proxy.cors = lambda: served_by.limiter.policy.refusals.cors
    return served_by
