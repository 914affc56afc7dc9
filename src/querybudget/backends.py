"""Where a policy keeps its accounts, and what each kind of store guarantees.

A store is named by a URL. What its scheme stands for is said here, beside the policy, so that a
policy that asks for more than its store can do is refused when it is read, and needs no store for
it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from querybudget.units import SECOND, Algorithm, Quota

__all__ = ["SCHEMES", "Guarantees", "Reach", "StoreSettings", "guarantees_of", "lacking"]

Reach = str
"""Who counts together: ``process``, ``host`` (the workers of one machine) or ``network``."""


class Guarantees(Struct, frozen=True):
    """What a kind of store promises, and what it does not.

    Attributes:
        windows: The kinds of window that it keeps.
        reach: Who counts together.
        atomic: Whether all lines of a call are charged in one step, so that nobody sees a charge
            that is then taken back.
        exact: Whether waits are exact and no more than a limit is ever granted.
        durable: Whether accounts outlive the process.
    """

    windows: frozenset[Algorithm]
    reach: Reach
    atomic: bool = True
    exact: bool = True
    durable: bool = True

    @property
    def shared(self) -> bool:
        """Whether several processes count together."""
        return self.reach != "process"


_ALL = frozenset(Algorithm)
_MEMORY = Guarantees(_ALL, "process", durable=False)
_HOST = Guarantees(_ALL, "host")
_NETWORK = Guarantees(_ALL, "network")
_CLUSTER = replace(_NETWORK, atomic=False)
_COUNTERS = Guarantees(frozenset({Algorithm.SLIDING}), "network", atomic=False, exact=False)

SCHEMES: dict[str, Guarantees] = {
    "memory": _MEMORY,
    "sqlite": _HOST,
    "redis": _NETWORK,
    "rediss": _NETWORK,
    "redis+unix": _NETWORK,
    "redis+sentinel": _NETWORK,
    "redis+cluster": _CLUSTER,
    "valkey": _NETWORK,
    "valkeys": _NETWORK,
    "valkey+unix": _NETWORK,
    "valkey+sentinel": _NETWORK,
    "valkey+cluster": _CLUSTER,
    "memcached": _COUNTERS,
    "mongodb": _COUNTERS,
    "mongodb+srv": _COUNTERS,
}
"""What the scheme of a URL stands for. ``limits+`` before any other URL is that storage of the
`limits` package, whatever it is."""

LIMITS = "limits+"

WORDS = {
    Algorithm.SLIDING: "sliding windows",
    Algorithm.GCRA: "`window: gcra`",
    Algorithm.CALENDAR: "`window: calendar`",
    Algorithm.LEASE: "limits in `concurrent`",
    Algorithm.DISTINCT: "limits in `buckets`",
}
"""Each kind of window as a policy's writer knows it."""


def guarantees_of(url: str) -> Guarantees | None:
    """What the store that a URL names guarantees; None for a scheme that nobody knows."""
    scheme = url.partition("://")[0]
    if scheme.startswith(LIMITS):
        own = scheme.removeprefix(LIMITS).removeprefix("async+")
        return replace(_COUNTERS, reach="process", durable=False) if own == "memory" else _COUNTERS
    return SCHEMES.get(scheme)


def lacking(guarantees: Guarantees, quotas: Iterable[Quota]) -> list[Quota]:
    """Return the quotas whose kind of window a store does not keep."""
    return [quota for quota in quotas if quota.algorithm not in guarantees.windows]


class StoreSettings(Struct, frozen=True):
    """Where accounts are kept.

    Attributes:
        url: Names the store; its scheme is one of `SCHEMES`, or begins with ``limits+``.
        timeout: µs after which an answer is late, and `Budget.on_store_error` goes on.
        workers: Processes that share the store: what each may grant by itself while the store is
            down is a limit's share of one of so many.
        prefix: What the names of everything in a shared store begin with.
    """

    url: str = "memory://"
    timeout: int = SECOND // 4
    workers: int = 1
    prefix: str = "querybudget"
