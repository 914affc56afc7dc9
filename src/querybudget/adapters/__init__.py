"""Dialects of calling a model over HTTP: what a request asks, and what its answer used.

Nothing here does I/O, knows an identity or reads a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from querybudget.adapters.base import Adapter
from querybudget.adapters.routing import carries_body, native_routes, routed
from querybudget.policy.routes import GenericRoute

if TYPE_CHECKING:
    from querybudget.policy.routes import Server

__all__ = ["adapter_for"]


def adapter_for(
    path: str, method: str, routes: Sequence[GenericRoute], server: Sequence[Server] = ()
) -> Adapter | None:
    """Return the adapter that reads a request; None if the request does not call a model.

    Only methods that carry a body call a model: POST, PUT, PATCH, and any that HTTP does not
    define. The policy's routes come first, in their order, then those of its servers, then those
    that mean the same on every server. The result depends only on the arguments, so it may be
    cached.

    Args:
        path: The request's path, without ``root_path``.
        method: The HTTP method, in upper case.
        routes: The policy's own routes.
        server: The policy's servers.
    """
    if not carries_body(method):
        return None
    for route in routes:
        if (adapter := routed(route, path)) is not None:
            return adapter
    return native_routes(tuple(server)).find(path)
