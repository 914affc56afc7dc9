"""What came with the request: a credential, or a header that a proxy set.

Nothing is verified here; the application does that. A credential that it refuses (401, 403) has
everything given back, so a made-up one costs nobody anything.
"""

from __future__ import annotations

import binascii

from querybudget.identity.identity import CONTRADICTORY, Resolver, Scope
from querybudget.identity.networks import networks

__all__ = ["api_key", "header"]

_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key"})


def api_key() -> Resolver:
    """The credential: ``Authorization: Bearer`` or ``Basic``, ``x-api-key`` or ``api-key``.

    Schemes are told apart without case, and white space around a credential is no part of it. Of
    ``Basic`` (RFC 7617) the decoded ``user:password`` is taken, since one pair has many
    encodings. Other schemes sign every request afresh, and so name nobody; neither does an empty
    credential. The same credential sent twice is one. Two that differ contradict each other,
    whichever of them the application would have believed.

    Returns:
        A resolver of raw credentials.
    """
    return _credential


def header(name: str, trusted_proxies: tuple[str, ...]) -> Resolver:
    """A header's value, believed only of a proxy that is trusted to set it.

    Args:
        name: The header, in lower case.
        trusted_proxies: Networks (CIDR) of the peers that may set it, `UNIX` among them for
            peers on a Unix socket. Without any, it is never believed.

    Returns:
        A resolver of values, white space taken off. An empty value names nobody; two that differ
        contradict each other: the proxy must replace what the client sent, not add to it.

    Raises:
        ValueError: A network cannot be read.
    """
    trusted = networks(trusted_proxies)
    wanted = name.lower().encode("latin-1")

    def resolve(scope: Scope) -> str | None:
        found: bytes | None = None
        for key, value in scope.get("headers", ()):
            if key != wanted or not (stripped := value.strip()):
                continue
            if found is not None and stripped != found:
                return CONTRADICTORY if trusted.peer(scope) else None
            found = stripped
        return found.decode("latin-1") if found and trusted.peer(scope) else None

    return resolve


def _credential(scope: Scope) -> str | None:
    found: bytes | None = None
    for key, value in scope.get("headers", ()):
        if key not in _CREDENTIALS:
            continue
        credential = _of_scheme(value) if key == b"authorization" else value.strip()
        if not credential:
            continue
        if found is not None and credential != found:
            return CONTRADICTORY
        found = credential
    return None if found is None else found.decode("latin-1")


def _of_scheme(value: bytes) -> bytes:
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
