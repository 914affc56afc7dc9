"""`RedisStore`: accounts on a Redis or Valkey server or cluster."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Sequence

from querybudget import ledger
from querybudget.backends import Guarantees, StoreSettings, guarantees_of
from querybudget.errors import SetupError, StoreError, UnusableStoreError
from querybudget.ledger import Account, Charge, Decision, Line, Reservation, Settled
from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.redact import redact_url
from querybudget.stores.accounts import AccountPage, AccountRecord
from querybudget.stores.clock import Clock, system_clock
from querybudget.stores.redis import codec
from querybudget.stores.redis.changes import ChangeOps
from querybudget.stores.redis.cluster import ClusterOps
from querybudget.stores.redis.connection import UnansweredError
from querybudget.stores.redis.coverage import CoverageOps
from querybudget.stores.redis.listing import Listing
from querybudget.stores.redis.options import files_in
from querybudget.stores.redis.single_server import SingleServerOps
from querybudget.units import MICRO, SECOND, Algorithm, Micros, Quota, Unit

MAX_DOUBTFUL = 10_000
"""Charges remembered of which it is unknown whether they were made."""

UNDO_TRIES = 20
"""Refused tries to give back a doubtful charge. After the last it is left to expire."""

PARDONS = 100
"""Tries to pardon an account whose profile calls change meanwhile."""

_PROBE = Quota("start", Unit.REQUESTS, MICRO, 60 * SECOND, Algorithm.SLIDING, MICRO)

logger = logging.getLogger("querybudget")


class RedisStore:
    """Accounts in Redis or Valkey: on one server, behind sentinels, or in a cluster.

    Args:
        settings: URL, prefix and time-out.
        clock: µs since the epoch, for tests. Default: the server's own time.
        estimate: About the server's time in µs, before it is known. Default: this host's time.

    Raises:
        SetupError: The URL is not one of Redis or Valkey, or the client is not installed.
    """

    suspends = True

    def __init__(
        self,
        settings: StoreSettings,
        *,
        clock: Clock | None = None,
        estimate: Clock | None = None,
    ) -> None:
        guarantees = guarantees_of(settings.url)
        if guarantees is None:
            raise SetupError(
                f"expected the URL of Redis or Valkey, found {redact_url(settings.url)}"
            )
        self.guarantees: Guarantees = guarantees
        self._url = settings.url
        self._single = SingleServerOps(settings, clock, estimate or system_clock())
        self._ops = self._single if guarantees.atomic else ClusterOps(self._single)
        self._coverage = CoverageOps(self._single)
        self._listing = Listing(self._single)
        self._changes = ChangeOps(self._single)
        self._doubtful = deque[tuple[Charge, int]](maxlen=MAX_DOUBTFUL)
        self._undoing: asyncio.Task[None] | None = None

    @property
    def missed(self) -> int:
        """Calls that a profile lacks because other workers changed it too often meanwhile."""
        of_cluster = self._ops.missed if isinstance(self._ops, ClusterOps) else 0
        return self._coverage.missed + of_cluster

    async def start(self) -> None:
        """Connect, and charge and settle two accounts of our own, which the server must allow.

        Raises:
            SetupError: The server answers, but never as the store needs it.
            StoreError: It does not answer now.
        """
        missing = [name for name, path in files_in(self._url) if not os.path.exists(path)]  # noqa: PTH110, ASYNC240 - once, at the start
        if missing:
            raise SetupError(
                f"the option `{missing[0]}` of the store's URL names no file that is there"
            )
        token = os.urandom(8).hex()
        # Two accounts, since a node of a cluster takes those of one slot.
        lines = tuple(Line(f"start-{token}-{n}", _PROBE, MICRO, MICRO) for n in range(2))
        try:
            decision = await self._ops.reserve(Charge(f"start-{token}", lines, 60 * SECOND))
            if decision.reservation is not None:
                await self._ops.settle(decision.reservation, (0, 0))
        except UnusableStoreError as error:
            raise SetupError(f"the store cannot work as it is set up: {error}") from error
        await self._warn()

    async def _warn(self) -> None:
        """Log what the server says of itself that operators probably do not mean."""
        try:
            info = await self.describe()
        except StoreError as error:
            logger.debug("the server does not describe itself: %s", error)
            return
        policy = info.get("maxmemory_policy", "noeviction")
        if policy.startswith("allkeys") and info.get("maxmemory", "0") != "0":
            logger.warning(
                "the store's server has `maxmemory-policy %s`: when its memory is short it drops"
                " accounts, whose callers then start with full budgets",
                policy,
            )

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none. The same charge again is charged once."""
        try:
            decision = await self._reserve(charge)
        except (UnansweredError, asyncio.CancelledError):
            self._doubtful.append((charge, 0))
            raise
        if self._doubtful and self._undoing is None:
            self._undoing = asyncio.ensure_future(self._undo())
        return decision

    async def _reserve(self, charge: Charge) -> Decision:
        if charge.observation is None:
            return await self._ops.reserve(charge)
        if self.guarantees.atomic or len(charge.partitions) == 1:
            return await self._coverage.reserve(charge)
        return await self._ops.reserve(charge)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        used = codec.used(reservation, amounts)
        refunded = [
            line.partition
            for line, held, amount in zip(reservation.lines, reservation.held, used, strict=True)
            if line.quota.unit is Unit.BUCKETS and held != amount
        ]
        self._coverage.drop(refunded)
        return await self._ops.settle(reservation, used)

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        return await self._ops.renew(reservation, ttl)

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        now, (packed,) = await self._single.read([partition])
        account = codec.unpack_account(packed) if packed else Account()
        return ledger.peek(account, quotas, now)

    async def forget(self, partition: str) -> bool:
        self._coverage.drop([partition])
        return bool(await self._single.connection.execute("DEL", self._single.key(partition)))

    async def accounts(
        self, cursor: str = "", limit: int = 100, part: str = "", *, begins: bool = False
    ) -> AccountPage:
        return await self._listing.page(cursor, limit, part, begins=begins)

    async def account(self, partition: str) -> AccountRecord | None:
        _, (packed,) = await self._single.read([partition])
        return codec.record_of(partition, packed) if packed else None

    async def pardon(self, partition: str) -> bool:
        new = os.urandom(len(codec.NO_PROFILE))
        _, (packed,) = await self._single.read([partition])
        for _ in range(PARDONS):
            if not packed:
                return False
            version, _ = codec.profile_of(packed)
            if version == new:  # an answer was lost
                return True
            profile = codec.unpack_account(packed).profile
            if profile is None or not profile.pardon():
                return False
            pardoned = codec.pack_profile(profile)
            reply = await self._single.pardon(partition, new, version, pardoned)
            self._coverage.drop([partition])
            if isinstance(reply, bytes):
                return reply == b"O"
            packed = reply[1]
        raise StoreError("the account changed at each attempt to pardon it: try again")

    async def overrides(self, version: str = "") -> Overrides | None:
        return await self._changes.overrides(version)

    async def override(self, entry: Override, audit: AuditEntry | None) -> None:
        await self._changes.override(entry, audit)

    async def remove_override(self, name: str, audit: AuditEntry | None) -> bool:
        return await self._changes.remove(name, audit)

    async def note(self, audit: AuditEntry) -> None:
        await self._changes.note(audit)

    async def audit(self, limit: int = 100) -> tuple[AuditEntry, ...]:
        return await self._changes.audit(limit)

    async def describe(self) -> dict[str, str]:
        """Return the server's INFO; in a cluster, that of one server.

        Its `save` setting is added where the server reports it, and is empty if it writes no
        snapshots.

        Raises:
            StoreError: The server does not answer.
        """
        connection = self._single.connection
        info: dict[str, object] = await connection.execute("INFO")
        description = {str(name): str(value) for name, value in info.items()}
        if not connection.is_cluster:
            try:
                config: dict[bytes, bytes] = await connection.execute("CONFIG GET", "save")
            except StoreError as error:
                logger.debug("the server does not report how it saves its data: %s", error)
            else:
                description["save"] = config.get(b"save", b"").decode()
        return description

    async def now(self) -> int:
        """Return the time that the store uses, µs since the epoch. Raises as `describe` does."""
        return (await self._ops.read(["now"]))[0]

    async def aclose(self) -> None:
        """Wait for requests in flight, and disconnect."""
        if self._undoing is not None:
            await asyncio.gather(self._undoing, return_exceptions=True)
        if self._doubtful:
            await self._undo()
        await self._single.aclose()

    async def _undo(self) -> None:
        """Give back charges that may have been made for calls that failed or were cancelled."""
        try:
            for _ in range(len(self._doubtful)):
                charge, tries = self._doubtful[0]
                refused = False
                try:
                    await self._ops.settle(charge, [0] * len(charge.lines))
                except UnansweredError:
                    raise
                except StoreError:  # one that cannot be settled must not block the others
                    refused = True
                self._doubtful.popleft()
                if refused and tries < UNDO_TRIES:
                    self._doubtful.append((charge, tries + 1))
        except StoreError as error:
            logger.debug("charges without a reply will be refunded later: %s", error)
        finally:
            self._undoing = None
