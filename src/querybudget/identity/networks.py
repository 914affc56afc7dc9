"""Addresses as bytes, networks as sets of prefixes, and whether a peer is trusted.

An address is its 4 or 16 bytes in network order. One that is an IPv4 address written as an IPv6
address (``::ffff:192.0.2.1``, RFC 4291 section 2.5.5.2) is the IPv4 address.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from querybudget.identity.identity import Scope

__all__ = ["UNIX", "Networks", "masked", "networks", "peer_address", "read"]

UNIX = "unix"
"""Among trusted proxies: peers on a Unix socket, for which a server states no address."""

_MAPPED = bytes(10) + b"\xff\xff"
_IPV4_BITS, _IPV6_BITS = 32, 128


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks whose word is taken.

    Attributes:
        prefixes: For each kind and length of prefix: bytes of an address, bits to drop, and what
            is left of the networks' own addresses.
        unix: Whether peers on a Unix socket are among them.
    """

    prefixes: tuple[tuple[int, int, frozenset[int]], ...]
    unix: bool = False

    def __bool__(self) -> bool:
        return self.unix or bool(self.prefixes)

    def holds(self, address: bytes) -> bool:
        """Whether an address is of one of these networks."""
        size, value = len(address), int.from_bytes(address)
        return any(size == of and value >> drop in heads for of, drop, heads in self.prefixes)

    def peer(self, scope: Scope) -> bool:
        """Whether who is connected to us is trusted. A peer of no address is on a Unix socket."""
        if scope.get("client") is None:
            return self.unix
        address = peer_address(scope)
        return address is not None and self.holds(address)


def networks(texts: Iterable[str]) -> Networks:
    """Read networks.

    Args:
        texts: CIDR (``10.0.0.0/8``), single addresses, or `UNIX`.

    Raises:
        ValueError: One cannot be read, or has bits set below its prefix.
    """
    heads: dict[tuple[int, int], set[int]] = {}
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
        heads.setdefault((len(packed), drop), set()).add(int.from_bytes(packed) >> drop)
    return Networks(tuple((*key, frozenset(found)) for key, found in heads.items()), unix)


def read(text: str) -> bytes | None:
    """An address from its text, its zone (``%eth0``) left out; None where it is none."""
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
    """The address of who is connected to us; None on a Unix socket, or where it is none."""
    client = scope.get("client")
    return read(client[0]) if client else None


def masked(ipv4_prefix: int, ipv6_prefix: int) -> Callable[[bytes], str]:
    """Addresses to the names of their networks.

    Args:
        ipv4_prefix: Bits kept of an IPv4 address, 0 to 32.
        ipv6_prefix: Bits kept of an IPv6 address, 0 to 128.

    Returns:
        A function to ``192.0.2.0/24``, or to the address alone where all of its bits are kept.
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
