"""What every answer of the console tells browsers: only its own scripts, no frames, no caches."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Content Security Policy, level 3 (W3C). Nothing inline is run or applied."""

HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "x-robots-tag": "noindex, nofollow",
}


ELSEWHERE = "This console has no such name. `allowed_hosts` says which it has.\n"

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+?)\.?(?::[0-9]*)?")
"""A name or address, and a port (RFC 9110, section 7.2)."""


class Shield:
    """ASGI middleware that puts `HEADERS` on every answer.

    Args:
        app: The console.
        hosts: Names under which it answers; empty for any. A site that lets its own name lead here
            (DNS rebinding) would otherwise read what only this machine or network may see.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(map(str.lower, hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app = self._app
        if scope["type"] == "http" and self._hosts and host_of(scope) not in self._hosts:
            app = PlainTextResponse(ELSEWHERE, 421)
        await app(scope, receive, shielded if scope["type"] == "http" else send)


def host_of(scope: Scope) -> str:
    """Return the name in a request's ``Host``, without its port; empty if it is not one name."""
    named = [value for name, value in scope["headers"] if name == b"host"]
    found = _HOST.fullmatch(named[0].decode("latin-1")) if len(named) == 1 else None
    return found[1].lower() if found else ""
