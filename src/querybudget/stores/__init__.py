"""Stores: where accounts are kept. A store makes reserve and settle one atomic step each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from querybudget.backends import LIMITS, SCHEMES, Guarantees, StoreSettings
from querybudget.errors import SetupError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.stores.accounts import AccountPage, AccountRecord
from querybudget.stores.clock import Clock, system_clock
from querybudget.stores.memory import MemoryStore
from querybudget.text import listed, nearest
from querybudget.units import Micros, Quota

__all__ = [
    "AccountPage",
    "AccountRecord",
    "Administers",
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
class Administers(Protocol):
    """A store whose accounts operators can list and change, and which keeps their overrides.

    With any other, `querybudget.admin` says what cannot be done.
    """

    async def accounts(
        self, cursor: str = "", limit: int = 100, part: str = "", /, *, begins: bool = False
    ) -> AccountPage:
        """Return some accounts, and the cursor of the next.

        An account that exists from the first page to the last is returned at least once. All of
        them are: those of callers, pools, groups, and what calls say.

        Args:
            cursor: `AccountPage.cursor` of the page before; empty for the first.
            limit: About how many. A page may have fewer, even none, and not be the last.
            part: Only accounts whose key has this part (`Override.account`); empty for all.
            begins: Or a part that begins with it.

        Raises:
            StoreError: The store could not answer.
            ValueError: The cursor is none of this store's.
        """
        ...

    async def account(self, partition: str, /) -> AccountRecord | None:
        """Return a copy of one account, or None if there is none. Changes nothing."""
        ...

    async def pardon(self, partition: str, /) -> bool:
        """Take back what an account is suspected of: `CallerProfile.pardon`, `Group.pardon`.

        Usage stays, and so does what the caller has covered.

        Returns:
            Whether there was anything to take back.
        """
        ...

    async def overrides(self, version: str = "", /) -> Overrides | None:
        """Return all overrides that have not ended, or None if the version is still `version`.

        A store without any has a version too, which is not empty.
        """
        ...

    async def override(self, entry: Override, audit: AuditEntry | None, /) -> None:
        """Add an override, or replace that of the same id, and note it, in one atomic step.

        Without an entry nothing is noted: the change is part of something that is.

        Raises:
            SetupError: There are `MAX_OVERRIDES`, or it is longer than a store keeps.
            StoreError: The store could not answer; it may have been added.
        """
        ...

    async def remove_override(self, name: str, audit: AuditEntry | None, /) -> bool:
        """Remove an override by its id, and note it, in one atomic step.

        Without an entry nothing is noted: the removal is part of something that is.

        Returns:
            Whether there was one; if not, nothing is noted.
        """
        ...

    async def note(self, audit: AuditEntry, /) -> None:
        """Add an entry to the audit log. The last `AUDITED` are kept."""
        ...

    async def audit(self, limit: int = 100, /) -> tuple[AuditEntry, ...]:
        """Return the last entries of the audit log, newest first."""
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
