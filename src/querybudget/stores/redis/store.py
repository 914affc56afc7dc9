"""The store: who takes which step, and what is undone when nobody knows whether it was taken."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from querybudget import ledger
from querybudget.backends import Guarantees, StoreSettings, guarantees_of
from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.redact import redact_url
from querybudget.stores.clock import system_clock
from querybudget.stores.redis import codec
from querybudget.stores.redis.cluster import ClusterOps
from querybudget.stores.redis.connection import UnansweredError
from querybudget.stores.redis.coverage import Profiles
from querybudget.stores.redis.single_server import SingleServerOps
from querybudget.units import Quota

__all__ = ["RedisStore"]

logger = logging.getLogger("querybudget")

DOUBTFUL = 10_000
"""Charges remembered of which nobody knows whether they were made."""

PATIENCE = 20
"""How often the server may refuse to give one of them back before it is left to expire."""


class RedisStore:
    """Accounts in Redis or Valkey: on one server, behind Sentinels, or in a Cluster.

    Args:
        storage: URL, prefix and time-out.
        clock: µs since the epoch, for tests; the server's own time unless given.
        estimate: About the server's time, where that is not known yet; this host's unless given.

    Attributes:
        guarantees: What it promises.

    Raises:
        SetupError: The URL cannot be one of a server, or the client is not installed.
    """

    suspends = True

    def __init__(
        self,
        storage: StoreSettings,
        *,
        clock: Callable[[], int] | None = None,
        estimate: Callable[[], int] | None = None,
    ) -> None:
        found = guarantees_of(storage.url)
        if found is None:
            raise SetupError(
                f"expected the URL of Redis or Valkey, found {redact_url(storage.url)}"
            )
        self.guarantees: Guarantees = found
        self._steps = SingleServerOps(storage, clock, estimate or system_clock())
        self._ops = self._steps if found.atomic else ClusterOps(self._steps)
        self._profiles = Profiles(self._ops)
        self._doubtful = deque[tuple[Charge, int]](maxlen=DOUBTFUL)
        self._undoing: asyncio.Task[None] | None = None

    @property
    def missed(self) -> int:
        """Calls that a profile lacks, since other workers changed it too often meanwhile."""
        return self._profiles.missed

    async def start(self) -> None:
        """Connect, and run a script.

        Raises:
            StoreError: There is no answer, or scripts may not be run.
        """
        await self._ops.read(["start"])

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none. The same charge again is charged once."""
        try:
            decision = await self._ops.reserve(charge)
        except (UnansweredError, asyncio.CancelledError):
            self._doubtful.append((charge, 0))
            raise
        if self._doubtful and self._undoing is None:
            self._undoing = asyncio.ensure_future(self._undo())
        return decision

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Replace what is held by what was used."""
        observation = reservation.observation
        if (
            observation is not None
            and reservation.profiled
            and ledger.answered(reservation, amounts)
        ):
            return await self._profiles.settle(reservation, amounts)
        return (await self._ops.settle(reservation, amounts)).settled

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        """(remaining µ-units, µs to reset) of each quota."""
        now, (blob,) = await self._steps.read([partition])
        return ledger.peek(codec.read_account(blob) if blob else Account(), quotas, now)

    async def forget(self, partition: str) -> bool:
        """Drop a partition's account."""
        return bool(await self._steps.connect.ask("DEL", self._steps.key(partition)))

    async def describe(self) -> dict[str, str]:
        """What the server says of itself, as its INFO has it; in a Cluster, what one of them says.

        `save` beside it, where it may be asked, is empty on a server that saves no snapshots.

        Raises:
            StoreError: It does not answer.
        """
        found: dict[str, object] = await self._steps.connect.ask("INFO")
        told = {str(name): str(value) for name, value in found.items()}
        if not self._steps.connect.apart:
            try:
                saving: dict[bytes, bytes] = await self._steps.connect.ask("CONFIG GET", "save")
            except StoreError as error:
                logger.debug("the server does not tell how it saves: %s", error)
            else:
                told["save"] = saving.get(b"save", b"").decode()
        return told

    async def now(self) -> int:
        """The time that it goes by, µs since the epoch. Raises as `describe` does."""
        return (await self._ops.read(["now"]))[0]

    async def aclose(self) -> None:
        """Wait for what is under way, and disconnect."""
        if self._undoing is not None:
            await asyncio.gather(self._undoing, return_exceptions=True)
        if self._doubtful:
            await self._undo()
        await self._profiles.aclose()
        await self._steps.aclose()

    async def _undo(self) -> None:
        """Give back what was charged for calls that were told it was not."""
        try:
            for _ in range(len(self._doubtful)):
                charge, tries = self._doubtful[0]
                refused = False
                try:
                    await self._ops.settle(charge, [0] * len(charge.lines))
                except UnansweredError:
                    raise
                except StoreError:  # one that cannot be settled keeps none of the others
                    refused = True
                self._doubtful.popleft()
                if refused and tries < PATIENCE:
                    self._doubtful.append((charge, tries + 1))
        except StoreError as error:
            logger.debug("charges without an answer are given back later: %s", error)
        finally:
            self._undoing = None
