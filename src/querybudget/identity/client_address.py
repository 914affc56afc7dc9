"""The client's address, through proxies: Forwarded (RFC 7239) and X-Forwarded-For.

Each proxy appends the address of its own peer at the right end. So the list is read from the right,
and only as long as the hop that wrote an entry is trusted. The first address that is not a trusted
proxy's is the client's. Everything to its left was written by the client and is not trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from querybudget.identity.identity import Resolver, Scope
from querybudget.identity.networks import (
    Networks,
    network_namer,
    networks,
    parse_address,
    peer_address,
)

_HOPS = 32
"""Entries read from one request; no chain of proxies is this long."""

_ENTRY = 512
"""Bytes read of one entry; no proxy writes one this long."""

_PAIR = re.compile(
    rb"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"=]*))[ \t]*(?:;|$)"""
)
_PORT = re.compile(r"[0-9]{1,5}|_[0-9A-Za-z._-]+")


def client_address(
    ipv4_prefix: int = 32, ipv6_prefix: int = 64, trusted_proxies: tuple[str, ...] = ()
) -> Resolver:
    """The network of the client's address.

    The address is the peer's. If the peer is a trusted proxy, the address is the right-most one in
    the list it sent that is not a trusted proxy's; an entry that is not an address (``unknown``,
    ``_hidden``, malformed) ends the reading at the address to its right. If a trusted peer sends
    both ``Forwarded`` and ``X-Forwarded-For``, both must lead to the same address: proxies write
    one and pass on the other as the client sent it. If they differ, neither is trusted and the peer
    is charged.

    Args:
        ipv4_prefix: Bits kept of an IPv4 address.
        ipv6_prefix: Bits kept of an IPv6 address; one subscriber commonly has a whole /64.
        trusted_proxies: Networks (CIDR) of the proxies, and ``unix`` for one on a Unix socket.

    Returns:
        A resolver of networks, such as ``192.0.2.7`` or ``2001:db8::/64``. It returns None if the
        server gives no address (a Unix socket, unless it is trusted).

    Raises:
        ValueError: A trusted proxy is not a network.
    """
    name = network_namer(ipv4_prefix, ipv6_prefix)
    trusted = networks(trusted_proxies)

    def direct(scope: Scope) -> str | None:
        address = peer_address(scope)
        return None if address is None else name(address)

    def resolve(scope: Scope) -> str | None:
        address = peer_address(scope)
        if trusted.trusts_peer(scope):
            address = _client(scope, trusted, address)
        return None if address is None else name(address)

    return resolve if trusted else direct


def _client(scope: Scope, trusted: Networks, peer: bytes | None) -> bytes | None:
    forwarded: list[bytes] = []
    x_forwarded: list[bytes] = []
    for key, value in scope.get("headers", ()):
        if key == b"x-forwarded-for":
            x_forwarded.append(value)
        elif key == b"forwarded":
            forwarded.append(value)
    if not forwarded:
        return _walk(map(_address, _entries(x_forwarded)), trusted, peer)
    client = _walk(map(_for, _entries(forwarded)), trusted, peer)
    if not x_forwarded or client == _walk(map(_address, _entries(x_forwarded)), trusted, peer):
        return client
    return peer


def _walk(hops: Iterator[bytes | None], trusted: Networks, last: bytes | None) -> bytes | None:
    for address in hops:
        if address is None:
            return last
        last = address
        if not trusted.contains(address):
            return address
    return last


def _entries(values: list[bytes]) -> Iterator[bytes]:
    """Entries from the right, over all lines, without empty ones (RFC 9110, section 5.6.1).

    A comma within quotes does not separate. Quotes are counted from the right, so that an unpaired
    quote from the client cannot swallow what the proxies have added.
    """
    hops = 0
    for value in reversed(values):
        end = len(value)
        while end >= 0:
            start = value.rfind(b",", 0, end)
            while start >= 0 and end - start <= _ENTRY and value.count(b'"', start, end) % 2:
                start = value.rfind(b",", 0, start)
            hops += 1
            if hops > _HOPS or end - start > _ENTRY:
                return
            if entry := value[start + 1 : end].strip():
                yield entry
            end = start


def _for(element: bytes) -> bytes | None:
    """The address in ``for=`` of one element of Forwarded, if any."""
    node: bytes | None = None
    position = 0
    while position < len(element):
        pair = _PAIR.match(element, position)
        if pair is None:
            return None
        position = pair.end()
        if pair[1].lower() == b"for":
            if node is not None:
                return None
            node = pair[3] if pair[2] is None else pair[2]
    return None if node is None else _address(node)


def _address(node: bytes) -> bytes | None:
    """Read ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1``, ``[2001:db8::1]`` or with a port."""
    text = node.decode("latin-1")
    host, port = text, ""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return None
        port = port[1:] if port else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if port and not _PORT.fullmatch(port):
        return None
    return parse_address(host)
