"""Addresses as bytes, networks as sets of prefixes, and whether a peer is trusted.

An address is its 4 or 16 bytes in network order. An IPv4 address written as an IPv6 address
(``::ffff:192.0.2.1``, RFC 4291 section 2.5.5.2) is read as the IPv4 address.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_network

import msgspec

from querybudget.identity.identity import Scope

UNIX = "unix"
"""Stands for peers on a Unix socket among trusted proxies."""

_PATHS = ("unix", "/", "@", "\0")
"""How the name of a Unix socket begins, where a server gives it in place of an address."""

_ALL = {(4, 32), (16, 128)}
"""Size and dropped bits of the networks of all addresses."""

_MAPPED = bytes(10) + b"\xff\xff"
_IPV4_BITS, _IPV6_BITS = 32, 128


class Networks(msgspec.Struct, frozen=True):
    """Networks of trusted proxies.

    Attributes:
        prefixes: For each address size and prefix length: the bytes of an address, the bits to drop
            from it, and the remaining prefixes of the networks.
        unix: Whether peers on a Unix socket are trusted.
        every: Whether every peer is trusted, also one without an address.
    """

    prefixes: tuple[tuple[int, int, frozenset[int]], ...]
    unix: bool = False
    every: bool = False

    def __bool__(self) -> bool:
        return self.unix or bool(self.prefixes)

    def contains(self, address: bytes) -> bool:
        """Whether an address is in one of these networks."""
        length, value = len(address), int.from_bytes(address)
        return any(
            length == size and value >> drop in prefixes for size, drop, prefixes in self.prefixes
        )

    def trusts_peer(self, scope: Scope) -> bool:
        """Whether the connected peer is trusted."""
        if self.every:
            return True
        if self.unix and _is_on_unix_socket(scope):
            return True
        address = peer_address(scope)
        return address is not None and self.contains(address)


def networks(texts: Iterable[str]) -> Networks:
    """Read networks.

    Args:
        texts: CIDR (``10.0.0.0/8``), single addresses, or `UNIX`.

    Raises:
        ValueError: A text is not a network, or has bits set below its prefix.
    """
    prefixes: dict[tuple[int, int], set[int]] = {}
    unix = False
    for text in texts:
        if text == UNIX:
            unix = True
            continue
        network = ip_network(text)
        packed, length = network.network_address.packed, network.prefixlen
        if packed.startswith(_MAPPED) and length >= _IPV6_BITS - _IPV4_BITS:
            packed, length = packed[12:], length - (_IPV6_BITS - _IPV4_BITS)
        drop = 8 * len(packed) - length
        prefixes.setdefault((len(packed), drop), set()).add(int.from_bytes(packed) >> drop)
    kept = tuple((*key, frozenset(values)) for key, values in prefixes.items())
    return Networks(kept, unix, every=prefixes.keys() >= _ALL)


def parse_address(text: str) -> bytes | None:
    """Read an address, ignoring its zone (``%eth0``); None if it is not one."""
    try:
        return socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        pass
    try:
        packed = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(_MAPPED) else packed


def peer_address(scope: Scope) -> bytes | None:
    """The connected peer's address; None on a Unix socket, or if it is not an address."""
    host = _peer(scope)
    return parse_address(host) if host else None


def _peer(scope: Scope) -> str:
    """What the server gives as the peer's host; empty for nothing."""
    client = scope.get("client")
    host = client[0] if client else ""
    return host if isinstance(host, str) else ""


def _is_on_unix_socket(scope: Scope) -> bool:
    """Whether the peer is on a Unix socket, for which a server gives nothing, or a path."""
    host = _peer(scope)
    return not host or host.startswith(_PATHS)


def network_namer(ipv4_prefix: int, ipv6_prefix: int) -> Callable[[bytes], str]:
    """Make a function from an address to the name of its network.

    Args:
        ipv4_prefix: Bits kept of an IPv4 address, 0 to 32.
        ipv6_prefix: Bits kept of an IPv6 address, 0 to 128.

    Returns:
        A function that returns ``192.0.2.0/24``, or the address alone if all its bits are kept.
    """
    ipv4_drop, ipv6_drop = _IPV4_BITS - ipv4_prefix, _IPV6_BITS - ipv6_prefix
    ipv4_end = f"/{ipv4_prefix}" if ipv4_drop else ""
    ipv6_end = f"/{ipv6_prefix}" if ipv6_drop else ""

    def name(address: bytes) -> str:
        if len(address) == 4:  # noqa: PLR2004  the bytes of an IPv4 address
            return socket.inet_ntop(socket.AF_INET, _cleared(address, ipv4_drop)) + ipv4_end
        return socket.inet_ntop(socket.AF_INET6, _cleared(address, ipv6_drop)) + ipv6_end

    return name


def _cleared(address: bytes, drop: int) -> bytes:
    if not drop:
        return address
    return (int.from_bytes(address) >> drop << drop).to_bytes(len(address))
