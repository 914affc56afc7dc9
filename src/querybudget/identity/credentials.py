"""Callers by what came with the request: a credential, or a header that a proxy has set.

Nothing is verified here; the application does that. If it rejects the credential (401, 403), the
whole charge is refunded, so a made-up credential costs no caller anything.
"""

from __future__ import annotations

import binascii

from querybudget.identity.identity import CONTRADICTORY, Resolver, Scope
from querybudget.identity.networks import networks

_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key"})


def api_key() -> Resolver:
    """The credential in ``Authorization: Bearer`` or ``Basic``, ``x-api-key`` or ``api-key``.

    Schemes are compared without case, and white space around a credential is ignored. The name for
    ``Basic`` (RFC 7617) is the decoded ``user:password``, because one pair has many encodings.
    Other schemes sign every request differently, so they identify no caller; neither does an empty
    credential. The same credential sent twice is one. Two different ones contradict each other,
    whichever of them the application would accept.

    Returns:
        A resolver of raw credentials.
    """
    return _credential


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


def _credential(scope: Scope) -> str | None:
    found: bytes | None = None
    for key, value in scope.get("headers", ()):
        if key not in _CREDENTIALS:
            continue
        credential = _authorized(value) if key == b"authorization" else value.strip()
        if not credential:
            continue
        if found is not None and credential != found:
            return CONTRADICTORY
        found = credential
    return None if found is None else found.decode("latin-1")


def _authorized(value: bytes) -> bytes:
    scheme, _, credential = value.strip().partition(b" ")
    scheme = scheme.lower()
    if scheme == b"bearer":
        return credential.strip()
    return _decoded(credential) if scheme == b"basic" else b""


def _decoded(credential: bytes) -> bytes:
    try:
        return binascii.a2b_base64(credential.strip(), strict_mode=True)
    except binascii.Error:
        return b""
