"""Upgrades to WebSockets, as the proxy's server takes them: of ``GET`` alone (RFC 6455, 4.1).

uvicorn hands every request that asks for one to its WebSocket library, which leaves a ``POST``
without an answer. Here it reaches the proxy, which refuses it.
"""

from __future__ import annotations

from typing import Any


def http_protocol() -> type:
    """Return uvicorn's protocol of HTTP, which upgrades no request but a ``GET``."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415

        return _of_get(H11Protocol)
    return _of_get(HttpToolsProtocol)


def _of_get(protocol: Any) -> type:  # noqa: ANN401 - a class of a library that may be missing
    class UpgradingGet(protocol):  # type: ignore[misc]
        def _should_upgrade_to_ws(self) -> bool:
            parser = getattr(self, "parser", None)
            method = self.scope["method"] if parser is None else parser.get_method().decode()
            return method == "GET" and bool(protocol._should_upgrade_to_ws(self))  # noqa: SLF001 - of our base

    return UpgradingGet
