"""The kinds of stores, by the scheme of their URL: what each guarantees, and how one is set up.

A policy that needs more than its store guarantees is refused when it is read, before any store is
opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from querybudget.units import SECOND, Algorithm, Micros, Quota, Unit

__all__ = [
    "SCHEMES",
    "STORE_RETRY",
    "Guarantees",
    "Reach",
    "StoreSettings",
    "guarantees_of",
    "kept",
    "lacking",
    "needed",
]

STORE_RETRY = Micros(5 * SECOND)
"""µs after which to try a call again that was refused because the store is down: when the store
will answer cannot be known."""

Reach = Literal["process", "host", "network"]
"""Who counts together: one process, the workers of one machine, or all that reach the server."""


class Guarantees(Struct, frozen=True):
    """What a kind of store promises, and what it does not.

    Attributes:
        windows: The kinds of window that it keeps.
        reach: Who counts together.
        atomic: Whether all lines of a call are charged in one step, so that no other call sees a
            charge that is then taken back.
        exact: Whether waits are exact and a limit is never exceeded.
        durable: Whether accounts outlive the process.
        profiles: Whether it keeps profiles, without which there are no limits in buckets.
    """

    windows: frozenset[Algorithm]
    reach: Reach
    atomic: bool = True
    exact: bool = True
    durable: bool = True
    profiles: bool = True

    @property
    def shared(self) -> bool:
        """Whether several processes count together."""
        return self.reach != "process"


_ALL = frozenset(Algorithm)
_MEMORY = Guarantees(_ALL, "process", durable=False)
_HOST = Guarantees(_ALL, "host")
_NETWORK = Guarantees(_ALL, "network")
_CLUSTER = replace(_NETWORK, atomic=False)
_COUNTERS = Guarantees(
    frozenset({Algorithm.SLIDING}), "network", atomic=False, exact=False, profiles=False
)

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
"""What each scheme guarantees. ``limits+`` before any other URL is that storage of the `limits`
package."""

LIMITS = "limits+"

WORDS = {
    Algorithm.SLIDING: "sliding windows",
    Algorithm.GCRA: "`window: gcra`",
    Algorithm.CALENDAR: "`window: calendar`",
    Algorithm.LEASE: "limits in `concurrent`",
}
"""Each kind of window, in the words of the policy file."""

BUCKETS = "limits in `buckets`"
"""What needs profiles, in the words of the policy file."""


def guarantees_of(url: str) -> Guarantees | None:
    """Return what the store at a URL guarantees; None for an unknown scheme."""
    scheme = url.partition("://")[0]
    if not scheme.startswith(LIMITS):
        return SCHEMES.get(scheme)
    in_memory = scheme.removeprefix(LIMITS).removeprefix("async+") == "memory"
    return replace(_COUNTERS, reach="process", durable=False) if in_memory else _COUNTERS


def kept(guarantees: Guarantees) -> list[str]:
    """Return what a store keeps, in the words of the policy file."""
    windows = [WORDS[kind] for kind in Algorithm if kind in guarantees.windows]
    return [*windows, BUCKETS] if guarantees.profiles else windows


def needed(quota: Quota) -> str:
    """Return what a store has to keep for a quota, in the words of the policy file."""
    return BUCKETS if quota.unit is Unit.BUCKETS else WORDS[quota.algorithm]


def lacking(guarantees: Guarantees, quotas: Iterable[Quota]) -> list[Quota]:
    """Return the quotas that a store does not keep."""
    words = kept(guarantees)
    return [quota for quota in quotas if needed(quota) not in words]


class StoreSettings(Struct, frozen=True):
    """Which store keeps the accounts, and how it is used.

    Attributes:
        url: Its scheme is one of `SCHEMES`, or begins with ``limits+``.
        timeout: µs after which an answer is late, and `Budget.on_store_error` decides.
        workers: Processes that share the store. While it is down, each may grant a limit divided
            by this number.
        prefix: The beginning of every name in a shared store.
    """

    url: str = "memory://"
    timeout: int = SECOND // 4
    workers: int = 1
    prefix: str = "querybudget"
