"""Stores: where accounts are kept. A store makes reserve and settle one atomic step each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from querybudget.backends import LIMITS, SCHEMES, Guarantees, StoreSettings
from querybudget.errors import SetupError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.stores.clock import Clock, system_clock
from querybudget.stores.memory import MemoryStore
from querybudget.text import listed, nearest
from querybudget.units import Micros, Quota

__all__ = [
    "Clock",
    "Declares",
    "Guarantees",
    "MemoryStore",
    "Renews",
    "Starts",
    "Store",
    "StoreSettings",
    "open_store",
    "system_clock",
]


class Store(Protocol):
    """Keeps accounts, and passes the contract in `querybudget.testing.contracts`."""

    @property
    def suspends(self) -> bool:
        """Whether the methods may wait.

        If so, a caller that must not lose a settle to cancellation has to shield it.
        """
        ...

    async def reserve(self, charge: Charge, /) -> Decision:
        """Charge all lines or none, in one atomic step, by the store's own clock.

        The accounts of all `charge.partitions` take part; missing ones are created. Profiles
        observe a call that is admitted, and nothing else.

        Raises:
            StoreError: The store could not answer; the charge may or may not have been made.
        """
        ...

    async def settle(self, reservation: Reservation, amounts: Sequence[int], /) -> Settled:
        """Replace what is held by what was used. Settling twice changes nothing.

        Args:
            reservation: What `reserve` returned.
            amounts: µ-units used on each line, before price. A line of buckets keeps all that it
                holds at any amount above 0.

        Raises:
            StoreError: The store could not answer; the reservation will expire at its estimate.
        """
        ...

    async def peek(self, partition: str, quotas: Sequence[Quota], /) -> tuple[tuple[int, int], ...]:
        """Return (remaining µ-units, µs to reset) of each quota. Changes nothing."""
        ...

    async def forget(self, partition: str, /) -> bool:
        """Drop a partition's account, and return whether there was one."""
        ...

    async def aclose(self) -> None:
        """Close connections and files. Closing twice does nothing."""
        ...


@runtime_checkable
class Declares(Protocol):
    """A store that says what it guarantees. Any other is taken to guarantee everything."""

    @property
    def guarantees(self) -> Guarantees:
        """What the store promises."""
        ...


@runtime_checkable
class Renews(Protocol):
    """A store that can hold a reservation for longer.

    With any other, the lease of a call that outlives `hold` is free while the call is still open.
    """

    async def renew(self, reservation: Reservation, ttl: int, /) -> Micros:
        """Hold what is reserved for another `ttl` µs, because its call is still open.

        A reservation that has expired is held again, within the time for which it is remembered.

        Args:
            reservation: What `reserve` returned.
            ttl: µs from now.

        Returns:
            When it expires now, in µs of the store's clock; 0 if it was settled, forgotten, or
            never made.

        Raises:
            StoreError: The store could not answer.
        """
        ...


@runtime_checkable
class Starts(Protocol):
    """A store that opens files or connections when its server starts."""

    async def start(self) -> None:
        """Open files and connections. Starting twice does nothing.

        A store that is never started opens them at its first use.

        Raises:
            SetupError: The store can never work as configured: its file is corrupt, for example, or
                a later version wrote it. The message says what to do.
            StoreError: The store does not answer now.
        """
        ...


def open_store(
    settings: StoreSettings | str, clock: Clock, *, max_identities: int = 100_000
) -> Store:
    """Return the store that a URL names. It connects to and reads nothing before its first use.

    Args:
        settings: A policy's store settings, or only the URL.
        clock: µs since the epoch, for stores without a clock of their own.
        max_identities: Accounts kept in memory or in a file, at most.

    Raises:
        SetupError: The scheme is unknown, the URL is malformed, or a client is not installed.
    """
    if isinstance(settings, str):
        settings = StoreSettings(settings)
    scheme = settings.url.partition("://")[0]
    if scheme == "memory":
        return MemoryStore(clock, max_identities=max_identities)
    if scheme in {"memcached", "mongodb", "mongodb+srv"} or scheme.startswith(LIMITS):
        from querybudget.stores.limits.store import LimitsStore  # noqa: PLC0415 - loads limits

        return LimitsStore(settings, clock)
    if scheme == "sqlite":
        from querybudget.stores.sqlite.store import at_url  # noqa: PLC0415 - loads sqlite3

        return at_url(settings.url, clock, max_identities)
    if scheme.startswith(("redis", "valkey")) and scheme in SCHEMES:
        from querybudget.stores.redis import RedisStore  # noqa: PLC0415 - loads its client

        return RedisStore(settings, estimate=clock)
    known = [f"{name}://" for name in SCHEMES]
    hint = nearest(f"{scheme}://", known)
    expected = listed([*known, f"{LIMITS}...://"])
    raise SetupError(f"no store for {scheme!r}: expected one of {expected}{hint}")
