"""The ASGI scope of a call that did not come over ASGI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["request_scope"]


def request_scope(
    path: str,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    client: str = "",
    **more: Any,  # noqa: ANN401 - what resolvers read: `user`, `state`
) -> dict[str, Any]:
    """Return the scope of a call that came over gRPC, from a queue or in a batch.

    Args:
        path: What the policy matches as the path: ``/v1/chat/completions``, or a gRPC method.
        method: What it matches as the method.
        headers: What `identity` reads: credentials, or metadata that names the caller.
        client: The caller's address; empty if it is not known.
        more: Other members that the policy's resolvers read, as ``state={"claims": {...}}``.
    """
    pairs = (headers or {}).items()
    return {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in pairs],
        "client": (client, 0) if client else None,
        **more,
    }
