"""Where accounts are kept: a store makes each of reserve and settle one atomic step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from querybudget.backends import LIMITS, SCHEMES, Guarantees, StoreSettings
from querybudget.errors import SetupError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.stores.clock import Clock, system_clock
from querybudget.stores.memory import MemoryStore
from querybudget.units import Quota

__all__ = [
    "Clock",
    "Declares",
    "Guarantees",
    "MemoryStore",
    "Starts",
    "Store",
    "StoreSettings",
    "open_store",
    "system_clock",
]


class Store(Protocol):
    """Keeps accounts. Every store is held to `querybudget.testing`'s promises.

    Attributes:
        suspends: Whether its verbs may wait for something, so that a caller who must not lose a
            settle to cancellation has to shield it.
    """

    @property
    def suspends(self) -> bool:
        """Whether the verbs may wait for something."""
        ...

    async def reserve(self, charge: Charge, /) -> Decision:
        """Charge all lines or none, in one atomic step, by the store's own clock.

        The accounts of all `charge.partitions` take part, new ones for those who have none.

        Raises:
            StoreError: The store could not answer; nothing is known to be charged.
        """
        ...

    async def settle(self, reservation: Reservation, amounts: Sequence[int], /) -> Settled:
        """Replace what is held by what was used; settling twice changes nothing.

        Args:
            reservation: As `reserve` made it.
            amounts: µ-units used on each line, before price.

        Raises:
            StoreError: The store could not answer; the reservation will expire at its estimate.
        """
        ...

    async def peek(self, partition: str, quotas: Sequence[Quota], /) -> tuple[tuple[int, int], ...]:
        """(remaining µ-units, µs to reset) of each quota; changes nothing."""
        ...

    async def forget(self, partition: str, /) -> bool:
        """Drop a partition's account. True where there was one."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and files. Closing twice does nothing."""
        ...


@runtime_checkable
class Declares(Protocol):
    """A store that says what it guarantees. One that does not is taken to guarantee everything."""

    @property
    def guarantees(self) -> Guarantees:
        """What it promises, and what it does not."""
        ...


@runtime_checkable
class Starts(Protocol):
    """A store that wants to be told when its server starts."""

    async def start(self) -> None:
        """Open files and connections. Starting twice does nothing.

        A store that is never started opens them at its first use.

        Raises:
            SetupError: It can never work as it is set up: a corrupt file, say, or one written by a
                later version. The message says what to do.
            StoreError: It does not answer now.
        """
        ...


def open_store(
    storage: StoreSettings | str, clock: Clock, *, max_identities: int = 100_000
) -> Store:
    """Make the store that a URL names. Connects to nothing and reads nothing before its first use.

    Args:
        storage: What a policy says of its store, or only its URL.
        clock: For stores that have none of their own.
        max_identities: Bound on the accounts of a store in memory or in a file.

    Raises:
        SetupError: No store is named so, or what it needs is not installed.
    """
    given = StoreSettings(storage) if isinstance(storage, str) else storage
    scheme = given.url.partition("://")[0]
    if scheme == "memory":
        return MemoryStore(clock, max_identities=max_identities)
    if scheme in {"memcached", "mongodb", "mongodb+srv"} or scheme.startswith(LIMITS):
        from querybudget.stores.limits.store import LimitsStore  # noqa: PLC0415 - loads limits

        return LimitsStore(given, clock)
    if scheme == "sqlite":
        from querybudget.stores.sqlite.store import at_url  # noqa: PLC0415 - loads sqlite3

        return at_url(given.url, clock, max_identities)
    if scheme.startswith(("redis", "valkey")) and scheme in SCHEMES:
        from querybudget.stores.redis import RedisStore  # noqa: PLC0415 - loads its client

        return RedisStore(given, estimate=clock)
    known = ", ".join(f"{name}://" for name in SCHEMES)
    raise SetupError(f"no store for {scheme!r}: expected one of {known}")
