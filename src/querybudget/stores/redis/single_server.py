"""Reserve, settle and read on one server, each with one script.

All accounts of an operation are on one server. The script answers an admission in full. For a
refusal, which changes nothing, it returns the time and the accounts it found, and the ledger in
Python says the rest: how long to wait, and what is left.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence

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
from querybudget.stores.clock import Clock
from querybudget.stores.loops import PerLoop
from querybudget.stores.redis import codec, scripts
from querybudget.stores.redis.connection import Connection, Reply, connect
from querybudget.stores.redis.scripts import Script
from querybudget.units import NO_TIME, SECOND, Algorithm, Micros

CALENDAR_TRIES = 3
"""Runs of a script for one call, each with the calendar periods that the last one asked for."""

MIN_TIMEOUT = 1.0
"""Seconds that a connection waits at least. The guard enforces the time-out of a call."""

_NOW = struct.Struct(">Q")
_SETTLE = struct.Struct(">Qc12sBIB")
_RENEW = struct.Struct(">QQ12sB")
_USED = struct.Struct(">BQ")
_DUE_POOL = struct.Struct(f">BI{len(SUMS)}q")
_SCORE = struct.Struct(">QIQB")
_SETTLED = {b"D": Settled.DONE, b"L": Settled.LATE, b"N": Settled.REPEATED}


class ProfileUpdate(msgspec.Struct, frozen=True):
    """What a settled call does to profiles.

    Attributes:
        version: Version of the identity's profile that `profile` was computed from.
        profile: The identity's new profile, packed.
        first: Whether this is the identity's first call.
        sums: What pools add to their sums.
    """

    version: int
    profile: bytes
    first: bool
    sums: Sequence[int]


class DuePool(msgspec.Struct, frozen=True):
    """A pool whose score is due: its number of members, and their sums."""

    partition: str
    members: int
    sums: tuple[int, ...]


class SettleOutcome(msgspec.Struct, frozen=True):
    """What a settle did.

    Attributes:
        observed: Whether the profile update was applied.
        conflict: Whether it was not applied because the profile had changed meanwhile.
    """

    settled: Settled
    observed: bool
    conflict: bool
    due: tuple[DuePool, ...]


class SingleServerOps:
    """The operations of a store on one server.

    Args:
        settings: URL, prefix and time-out.
        clock: µs since the epoch, for tests. Default: the server's own time.
        estimate: About the server's time in µs: says which calendar periods a script will need.

    Raises:
        SetupError: The URL is malformed.
    """

    def __init__(self, settings: StoreSettings, clock: Clock | None, estimate: Clock) -> None:
        self._url = settings.url
        self._prefix = settings.prefix
        self._timeout = max(MIN_TIMEOUT, 4 * settings.timeout / SECOND)
        self._clock = clock
        self._estimate = clock or estimate
        self._quotas = codec.QuotaCodec()
        self._connections: PerLoop[Connection] = PerLoop(self._connect)

    @property
    def connection(self) -> Connection:
        """The connection of the running event loop."""
        return self._connections.get()

    async def aclose(self) -> None:
        connection = self._connections.pop()
        if connection is not None:
            await connection.aclose()

    def _connect(self) -> Connection:
        return connect(self._url, self._timeout)

    def key(self, partition: str) -> bytes:
        """Return the key of a partition's account. Its hash tag keeps all its keys in one slot."""
        # A `}` would end the hash tag, and an empty tag is none: both would use other slots.
        name = partition.replace("%", "%25").replace("}", "%7D") or "%"
        return f"{self._prefix}:{{{name}}}".encode("utf-8", "surrogatepass")

    async def read(self, partitions: Sequence[str]) -> tuple[int, list[bytes]]:
        """Return the time in µs, and the packed accounts; empty where there is none."""
        keys = [self.key(partition) for partition in partitions]
        now, *accounts = await self.connection.run(scripts.read(), keys, _NOW.pack(self._now()))
        return _NOW.unpack(now)[0], accounts

    async def reserve(
        self, charge: Charge, *, fixed_price: bool = False, uncharged: Collection[int] = ()
    ) -> Decision:
        """Charge all lines or none.

        Args:
            charge: The call's charge.
            fixed_price: Whether to take `charge.price` whatever the lines of buckets say.
            uncharged: Indexes of shadow lines to leave uncharged even if they fit.
        """
        partitions = charge.partitions
        packed = codec.pack_charge(
            charge, _numbers_of(partitions), self._now(), fixed_price, uncharged
        )
        reply = await self._run(
            scripts.reserve(seen=charge.observation is not None),
            self._keys(partitions, charge.id),
            (packed, codec.pack_cells(charge)),
            charge.lines,
        )
        if isinstance(reply, bytes):
            return codec.unpack_admission(charge, reply)
        return _decision_on(charge, partitions, reply)

    async def settle(
        self,
        reservation: Charge | Reservation,
        amounts: Sequence[int],
        update: ProfileUpdate | None = None,
        *,
        only_observe: bool = False,
        partitions: Sequence[str] = (),
    ) -> SettleOutcome:
        """Replace what is held by what was used.

        Args:
            reservation: What was reserved. Only its id, lines and accounts are used: the server
                knows what is held.
            amounts: µ-units used on each line, before price.
            update: What the call does to profiles.
            only_observe: Only apply `update`; the amounts have been settled before.
            partitions: Partitions whose accounts take part. Default: the reservation's own.
        """
        partitions = partitions or reservation.partitions
        numbers = _numbers_of(partitions)
        lines = reservation.lines
        head = _SETTLE.pack(
            self._now(),
            b"O" if only_observe else b"S",
            codec.short_name(reservation.id),
            update is not None,
            update.version if update else 0,
            len(lines),
        )
        used = [
            _USED.pack(numbers[line.partition], min(amount, codec.MAX_NUMBER))
            for line, amount in zip(lines, amounts, strict=True)
        ]
        profiled = bytes(numbers.get(partition, 0) for partition in reservation.profiled)
        reply = await self._run(
            scripts.settle(seen=reservation.observation is not None),
            self._keys(partitions, reservation.id),
            (
                head + b"".join(used) + codec.pack_probation(reservation, numbers),
                profiled,
                *_packed(update),
            ),
            lines,
        )
        return _outcome(reply, partitions)

    async def renew(
        self, reservation: Reservation, ttl: int, partitions: Sequence[str] = ()
    ) -> Micros:
        """Hold what is reserved for another `ttl` µs; return when it expires, 0 if it is unknown.

        Args:
            reservation: What was reserved.
            ttl: µs.
            partitions: As for `settle`.
        """
        partitions = partitions or reservation.partitions
        numbers, name = _numbers_of(partitions), codec.short_name(reservation.id)
        head = _RENEW.pack(self._now(), ttl, name, len(reservation.lines))
        reply = await self._run(
            scripts.renew(seen=reservation.observation is not None),
            self._keys(partitions, reservation.id),
            (head + bytes(numbers[line.partition] for line in reservation.lines),),
            reservation.lines,
        )
        return Micros(_NOW.unpack_from(reply, 1)[0])

    async def set_score(
        self, pool: DuePool, score: int, reasons: bytes, lines: Sequence[Line]
    ) -> None:
        """Store a pool's score with its packed reasons, and the stages that follow on `lines`."""
        head = _SCORE.pack(self._now(), score, pool.sums[0], len(lines))
        quotas = [self._quotas.pack(line, ()) for line in lines]
        await self.connection.run(
            scripts.judge(), [self.key(pool.partition)], head, reasons, *quotas
        )

    def _keys(self, partitions: Sequence[str], reservation_id: str) -> list[bytes]:
        """Return the keys of the accounts, and that of the reservation beside the first."""
        keys = [self.key(partition) for partition in partitions]
        return [*keys, keys[0] + b":" + codec.short_name(reservation_id).hex().encode()]

    def _now(self) -> int:
        return self._clock() if self._clock else 0

    async def _run(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[bytes],
        lines: Sequence[Line],
    ) -> Reply:
        """Run a script, again with the calendar periods that it asks for."""
        moments: tuple[int, ...] = ()
        if any(line.quota.algorithm is Algorithm.CALENDAR for line in lines):
            moments = (self._estimate(),)  # enough for most calls
        for _ in range(CALENDAR_TRIES):
            quotas = [self._quotas.pack(line, moments) for line in lines]
            reply = await self.connection.run(script, keys, *arguments, *quotas)
            head = reply if isinstance(reply, bytes) else reply[0]
            if head[:1] != b"C":
                return reply
            moments = struct.unpack(">QQQ", head[-24:])
        raise StoreError("the periods of a calendar changed at each attempt to charge a call")


def _numbers_of(partitions: Sequence[str]) -> dict[str, int]:
    """Return what scripts call each account: its place among the keys, from 1."""
    return {partition: number for number, partition in enumerate(partitions, 1)}


def _packed(update: ProfileUpdate | None) -> tuple[bytes, bytes]:
    if update is None:
        return b"", b""
    sums = struct.pack(f">{len(update.sums)}q", *update.sums)
    return update.profile, bytes([update.first]) + sums


def _outcome(reply: bytes, partitions: Sequence[str]) -> SettleOutcome:
    due: list[DuePool] = []
    for offset in range(10, len(reply), _DUE_POOL.size):
        numbers: tuple[int, ...] = _DUE_POOL.unpack_from(reply, offset)
        due.append(DuePool(partitions[numbers[0] - 1], numbers[1], numbers[2:]))
    observed = reply[1:2]
    return SettleOutcome(_SETTLED[reply[:1]], observed == b"o", observed == b"c", tuple(due))


def _decision_on(charge: Charge, partitions: Sequence[str], reply: Sequence[bytes]) -> Decision:
    """Return the ledger's decision on the accounts that a script found."""
    head, *packed = reply
    now = _NOW.unpack_from(head, 1)[0]
    accounts = codec.unpack_accounts(partitions, packed, now)
    if head[:1] == b"D":
        return _repeated(charge, accounts, head[1 + _NOW.size :], now)
    decision = ledger.reserve(accounts, charge, now)
    if decision.admitted != (head[:1] == b"F"):
        raise StoreError("the script and the ledger do not agree on a call; please report it")
    return decision


def _repeated(charge: Charge, accounts: Mapping[str, Account], record: bytes, now: int) -> Decision:
    """Return the decision on a charge that was made before: the same one each time."""
    reservation = codec.unpack_reservation(charge, record, len(accounts))
    statuses = tuple(
        LineStatus(line, *ledger.peek(accounts[line.partition], (line.quota,), now)[0])
        for line in charge.lines
    )
    return Decision(Verdict.ADMIT, statuses, NO_TIME, reservation, reservation.price)
