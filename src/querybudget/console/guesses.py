"""A budget for guesses at the token, kept by the ledger that callers' budgets are kept by."""

from __future__ import annotations

import ipaddress
from collections import deque
from itertools import count

from starlette.requests import HTTPConnection

from querybudget.ledger import Charge, Line
from querybudget.stores import Clock, MemoryStore
from querybudget.text import whole_up
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

GUESSES = 10
"""Wrong tokens that one network may send in a minute."""

ALL_GUESSES = 300
"""Wrong tokens that all networks together may send in a minute."""

_NETWORKS = 10_000
_PROVEN = 100
"""Networks remembered that sent the right token: guesses of others do not lock them out."""
_IPV6_PREFIX = 64
_MINUTE = 60 * SECOND


def _quota(name: str, limit: int) -> Quota:
    amount = limit * MICRO
    return Quota(name, Unit.REQUESTS, amount, _MINUTE, Algorithm.SLIDING, amount)


_OWN, _ALL = _quota("guesses", GUESSES), _quota("all guesses", ALL_GUESSES)


class Guesses:
    """Counts wrong tokens in memory, by network and in all.

    Args:
        clock: µs since the epoch.
    """

    def __init__(self, clock: Clock) -> None:
        self._store = MemoryStore(clock, max_identities=_NETWORKS)
        self._names = count()
        self._proven = deque[str](maxlen=_PROVEN)

    async def wait(self, connection: HTTPConnection, *, right: bool) -> int:
        """Count a token that was sent, unless it is right.

        Returns:
            Seconds to wait if there have been too many wrong ones: then no token may be taken, not
            even the right one, or a guess would tell. 0 otherwise.
        """
        network = _network(connection)
        lines = [Line(network, _OWN, MICRO, MICRO)]
        if not (proven := network in self._proven):
            lines.append(Line("everyone", _ALL, MICRO, MICRO))
        decision = await self._store.reserve(Charge(str(next(self._names)), tuple(lines), _MINUTE))
        if decision.reservation is None:
            return max(1, whole_up(decision.wait))
        used = 0 if right else MICRO
        await self._store.settle(decision.reservation, (used,) * len(lines))
        if right and not proven:
            self._proven.append(network)
        return 0


def _network(connection: HTTPConnection) -> str:
    host = connection.client.host if connection.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "elsewhere"
    if address.version == 6:  # noqa: PLR2004 - one person commonly has 2^64 of these addresses
        return str(ipaddress.ip_network((int(address), _IPV6_PREFIX), strict=False))
    return host
