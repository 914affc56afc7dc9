"""One step each: what a script is given, and what its answer means.

All accounts of one step lie on one server. An admission is answered in whole by the script. For a
refusal, which changes nothing, the script gives the time and the accounts as it found them, and the
ledger itself says the rest: how long to wait, and what is left.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import msgspec

from querybudget import ledger
from querybudget.backends import StoreSettings
from querybudget.coverage.sketch import SUMS
from querybudget.errors import StoreError
from querybudget.ledger import (
    Account,
    Charge,
    Decision,
    Line,
    LineStatus,
    Reservation,
    Settled,
    Verdict,
)
from querybudget.stores.redis import codec, scripts
from querybudget.stores.redis.connection import Connection, Reply, connect
from querybudget.units import SECOND, Algorithm

__all__ = ["Due", "ProfileUpdate", "SettleOutcome", "SingleServerOps"]

TRIES = 3
"""How often a list of a calendar's periods is made anew for one call."""

SHORTEST_WAIT = 1.0
"""Seconds that a connection waits at least; a call's own time-out is the guard's."""

_NOW = struct.Struct(">Q")
_SETTLE = struct.Struct(">Qc12sBIB")
_USED = struct.Struct(">BQ")
_DUE = struct.Struct(f">BI{len(SUMS)}q")
_JUDGE = struct.Struct(">QIQB")
_SETTLED = {b"D": Settled.DONE, b"L": Settled.LATE, b"N": Settled.REPEATED}


class ProfileUpdate(msgspec.Struct, frozen=True):
    """What a settled call does to profiles.

    Attributes:
        version: Of the identity's profile that `profile` rests on.
        profile: The identity's new one, packed.
        first: Whether it is its first call.
        sums: What pools add to theirs.
    """

    version: int
    profile: bytes
    first: bool
    sums: Sequence[int]


class Due(msgspec.Struct, frozen=True):
    """A pool that it is time to judge.

    Attributes:
        partition: Whose.
        members: Identities added up.
        sums: Theirs.
    """

    partition: str
    members: int
    sums: tuple[int, ...]


class SettleOutcome(msgspec.Struct, frozen=True):
    """What a settle did.

    Attributes:
        settled: As the ledger says it.
        observed: Whether the observation was taken in.
        changed: Whether it was not, since the profile had been changed meanwhile.
        due: Pools to judge.
    """

    settled: Settled
    observed: bool
    changed: bool
    due: tuple[Due, ...]


class SingleServerOps:
    """The steps of a store.

    Args:
        storage: URL, prefix and time-out.
        clock: µs since the epoch, for tests; the server's own time where there is none.
        estimate: About the server's time, to know which periods of a calendar it will ask for.

    Raises:
        SetupError: The URL cannot be one of a server.
    """

    def __init__(
        self, storage: StoreSettings, clock: Callable[[], int] | None, estimate: Callable[[], int]
    ) -> None:
        self._url = storage.url
        self._prefix = storage.prefix
        self._wait = max(SHORTEST_WAIT, 4 * storage.timeout / SECOND)
        self._clock = clock
        self._estimate = clock or estimate
        self._quotas = codec.Quotas()
        # Made now, so that what is wrong with its URL is not said to the first caller only.
        self._connection: Connection | None = connect(self._url, self._wait)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def connect(self) -> Connection:
        """The connections of the event loop that is running."""
        loop = asyncio.get_running_loop()
        if self._connection is None or self._loop not in {None, loop}:
            # After a fork, or in another loop: the old one's can be neither used nor closed.
            self._connection = connect(self._url, self._wait)
        self._loop = loop
        return self._connection

    async def aclose(self) -> None:
        """Disconnect."""
        if self._connection is not None and self._loop is asyncio.get_running_loop():
            await self._connection.aclose()
        self._connection = self._loop = None

    def key(self, partition: str) -> bytes:
        """Where a partition's account is. In a Cluster, all that is its lies in one slot."""
        # What ends a hash tag, and nothing at all, would spread an account over slots.
        name = partition.replace("%", "%25").replace("}", "%7D") or "%"
        return f"{self._prefix}:{{{name}}}".encode("utf-8", "surrogatepass")

    def _keys(self, partitions: Sequence[str], name: str) -> list[bytes]:
        keys = [self.key(partition) for partition in partitions]
        return [*keys, keys[0] + b":" + codec.short_name(name).hex().encode()]

    def _now(self) -> int:
        return self._clock() if self._clock else 0

    async def read(self, partitions: Sequence[str]) -> tuple[int, list[bytes]]:
        """The time, and accounts as they are kept; empty where there is none."""
        keys = [self.key(partition) for partition in partitions]
        now, *blobs = await self.connect.run(scripts.read(), keys, _NOW.pack(self._now()))
        return _NOW.unpack(now)[0], blobs

    async def reserve(
        self, charge: Charge, *, fixed: bool = False, alone: Collection[int] = ()
    ) -> Decision:
        """Charge all lines or none.

        Args:
            charge: The call's.
            fixed: Whether its price is the last word, whatever its lines of buckets say.
            alone: Places of shadow lines that are to be left uncharged, though they may fit.
        """
        partitions = charge.partitions
        owners = {partition: n for n, partition in enumerate(partitions, 1)}
        packed = codec.packed_charge(charge, owners, self._now(), fixed=fixed, alone=alone)
        script = scripts.reserve(seen=charge.observation is not None)
        keys, cells = self._keys(partitions, charge.id), codec.packed_cells(charge)

        async def run(quotas: list[bytes]) -> Reply:
            return await self.connect.run(script, keys, packed, cells, *quotas)

        reply = await self._in_calendar(charge.lines, run)
        if isinstance(reply, bytes):
            return codec.admitted(charge, reply)
        return _replayed(charge, partitions, reply)

    async def settle(
        self,
        reservation: Charge | Reservation,
        amounts: Sequence[int],
        update: ProfileUpdate | None = None,
        *,
        again: bool = False,
        partitions: Sequence[str] = (),
    ) -> SettleOutcome:
        """Replace what is held by what was used.

        Args:
            reservation: What was reserved; only its id, lines and accounts are looked at, since the
                server knows what is held.
            amounts: µ-units used on each line, before price.
            update: What it does to profiles.
            again: Only observe: the rest has been done.
            partitions: Those whose accounts take part; the reservation's own unless given.
        """
        partitions = partitions or reservation.partitions
        owners = {partition: n for n, partition in enumerate(partitions, 1)}
        lines = reservation.lines
        head = _SETTLE.pack(
            self._now(),
            b"O" if again else b"S",
            codec.short_name(reservation.id),
            update is not None,
            update.version if update else 0,
            len(lines),
        )
        used = [
            _USED.pack(owners[line.partition], min(amount, codec.MOST))
            for line, amount in zip(lines, amounts, strict=True)
        ]
        profiled = bytes(owners.get(partition, 0) for partition in reservation.profiled)
        given = (head + b"".join(used), profiled, *_packed(update))
        script = scripts.settle(seen=reservation.observation is not None)
        keys = self._keys(partitions, reservation.id)

        async def run(quotas: list[bytes]) -> Reply:
            return await self.connect.run(script, keys, *given, *quotas)

        return _outcome(await self._in_calendar(lines, run), partitions)

    async def judge(self, due: Due, found: int, why: bytes, lines: Sequence[Line]) -> None:
        """Note what a pool's sums were found to come to, and what follows for its `lines`."""
        head = _JUDGE.pack(self._now(), found, due.sums[0], len(lines))
        quotas = [self._quotas.packed(line, ()) for line in lines]
        await self.connect.run(scripts.judge(), [self.key(due.partition)], head, why, *quotas)

    async def _in_calendar(
        self, lines: Sequence[Line], run: Callable[[list[bytes]], Awaitable[Reply]]
    ) -> Reply:
        """Run a script, again with other periods where its calendar does not reach far enough."""
        moments: tuple[int, ...] = ()
        if any(line.quota.algorithm is Algorithm.CALENDAR for line in lines):
            moments = (self._estimate(),)  # the rest is asked for where it is needed
        for _ in range(TRIES):
            reply = await run([self._quotas.packed(line, moments) for line in lines])
            head = reply if isinstance(reply, bytes) else reply[0]
            if head[:1] != b"C":
                return reply
            moments = struct.unpack(">QQQ", head[-24:])
        raise StoreError("a calendar's periods could not be told in time")


def _packed(update: ProfileUpdate | None) -> tuple[bytes, bytes]:
    if update is None:
        return b"", b""
    sums = struct.pack(f">{len(update.sums)}q", *update.sums)
    return update.profile, bytes([update.first]) + sums


def _outcome(reply: bytes, partitions: Sequence[str]) -> SettleOutcome:
    due: list[Due] = []
    for at in range(10, len(reply), _DUE.size):
        numbers: tuple[int, ...] = _DUE.unpack_from(reply, at)
        due.append(Due(partitions[numbers[0] - 1], numbers[1], numbers[2:]))
    observed = reply[1:2]
    return SettleOutcome(_SETTLED[reply[:1]], observed == b"o", observed == b"c", tuple(due))


def _replayed(charge: Charge, partitions: Sequence[str], reply: Sequence[bytes]) -> Decision:
    """What the ledger says of the accounts that a script found."""
    head, *blobs = reply
    now = _NOW.unpack_from(head, 1)[0]
    accounts = codec.read_accounts(partitions, blobs, now)
    if head[:1] == b"D":
        return _repeated(charge, accounts, head[1 + _NOW.size :], now)
    decision = ledger.reserve(accounts, charge, now)
    if decision.admitted != (head[:1] == b"F"):
        raise StoreError("the script and the ledger do not agree on a call; please report it")
    return decision


def _repeated(charge: Charge, accounts: Mapping[str, Account], record: bytes, now: int) -> Decision:
    """The decision on a charge that had been made before: the same again, however often asked."""
    kept = codec.read_held(record, len(accounts), len(charge.lines))
    statuses = tuple(
        LineStatus(line, *ledger.peek(accounts[line.partition], (line.quota,), now)[0])
        for line in charge.lines
    )
    reservation = Reservation(
        charge.id,
        charge.lines,
        kept.held,
        kept.at,
        kept.expires,
        kept.price,
        charge.observation,
        charge.profiled,
    )
    return Decision(Verdict.ADMIT, statuses, 0, reservation, kept.price)
