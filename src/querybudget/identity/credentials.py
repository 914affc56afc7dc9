"""Callers by a header that a proxy has set."""

from __future__ import annotations

from querybudget.identity.identity import CONTRADICTORY, Resolver, Scope
from querybudget.identity.networks import networks


def header(name: str, trusted_proxies: tuple[str, ...]) -> Resolver:
    """A header's value, accepted only from a proxy that is trusted to set it.

    Args:
        name: The header, in lower case.
        trusted_proxies: Networks (CIDR) of the peers that may set it; `UNIX` stands for peers on a
            Unix socket. If empty, the header is never accepted.

    Returns:
        A resolver of values without surrounding white space. An empty value identifies no caller.
        Two different values contradict each other: the proxy must replace what the client sent, not
        add to it.

    Raises:
        ValueError: A trusted proxy is not a network.
    """
    trusted = networks(trusted_proxies)
    wanted = name.lower().encode("latin-1")

    def resolve(scope: Scope) -> str | None:
        found: bytes | None = None
        for key, value in scope.get("headers", ()):
            if key != wanted or not (stripped := value.strip()):
                continue
            if found is not None and stripped != found:
                return CONTRADICTORY if trusted.trusts_peer(scope) else None
            found = stripped
        return found.decode("latin-1") if found and trusted.trusts_peer(scope) else None

    return resolve
