"""The model server behind the proxy: where it is, and how long and how often it is asked."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from querybudget.errors import SetupError
from querybudget.identity.networks import networks
from querybudget.redact import redact_url
from querybudget.units import NO_TIME, SECOND, Micros

_SCHEMES = {"http": 80, "https": 443}


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """A model server behind the proxy.

    Attributes:
        url: Its URL; what callers ask for is added to the URL's path.
        connect: µs that connecting may take.
        read: µs that it may be silent, before its answer or within it.
        whole: µs that an answer may take in all; 0 for no end.
        wait: µs that a request waits for a free connection.
        connections: Connections that are open at once, apart from those of WebSockets.
        keep_host: Whether it is sent the caller's ``Host``, instead of its own.
        trusted_proxies: Networks whose ``X-Forwarded-*`` and ``Forwarded`` are sent on, with what
            this proxy adds. Those of anyone else are removed.
    """

    url: str
    connect: Micros = Micros(10 * SECOND)
    read: Micros = Micros(600 * SECOND)
    whole: Micros = NO_TIME
    wait: Micros = Micros(10 * SECOND)
    connections: int = 1_000
    keep_host: bool = False
    trusted_proxies: tuple[str, ...] = ()

    @property
    def prefix(self) -> bytes:
        """The path that is put before what callers ask for; empty for none."""
        return urlsplit(self.url).path.rstrip("/").encode("ascii")

    @property
    def authority(self) -> bytes:
        """Its host and port, as in a ``Host`` header."""
        return urlsplit(self.url).netloc.encode("ascii")


def check_upstream(upstream: Upstream) -> None:
    """Check the URL and the settings of a model server.

    Raises:
        SetupError: The URL is not that of a server, or a setting is wrong.
    """
    try:
        parts = urlsplit(upstream.url)
        good = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
        upstream.url.encode("ascii")
    except ValueError:
        raise SetupError(_expected(upstream.url)) from None
    if not good or parts.query or parts.fragment:
        raise SetupError(_expected(upstream.url))
    if parts.username is not None:
        raise SetupError(
            "expected no user or password in the URL of the upstream: let callers send their own"
            " keys, or let a secret store add the header"
        )
    if upstream.connections < 1:
        raise SetupError(f"expected 1 connection or more, found {upstream.connections}")
    try:
        networks(upstream.trusted_proxies)
    except ValueError as error:
        raise SetupError(f"expected networks such as 10.0.0.0/8: {error}") from None


def _expected(url: str) -> str:
    found = redact_url(url) or "nothing"
    return f"expected the URL of a model server, such as http://127.0.0.1:11434, found {found}"
