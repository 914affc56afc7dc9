"""Upgrades to WebSockets, as the proxy's server takes them: of ``GET`` alone (RFC 6455, 4.1).

uvicorn hands every request that asks for one to its WebSocket library, which leaves a ``POST``
without an answer. Here it reaches the proxy, which refuses it.

uvicorn loads `UpgradingGet` by `NAME`, in each of its workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

NAME = "querybudget.proxy.upgrades:UpgradingGet"
"""Where uvicorn finds the protocol, for its setting `http`."""

if TYPE_CHECKING:

    class _Protocol:
        """What both of uvicorn's protocols have that is used here."""

        scope: dict[str, Any]

        def _should_upgrade_to_ws(self) -> bool: ...

else:
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Protocol
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as _Protocol


class UpgradingGet(_Protocol):
    """uvicorn's protocol of HTTP, which upgrades no request but a ``GET``."""

    def _should_upgrade_to_ws(self) -> bool:
        parser = getattr(self, "parser", None)
        method = self.scope["method"] if parser is None else parser.get_method().decode()
        return method == "GET" and super()._should_upgrade_to_ws()
