"""Reserve, settle and read on one server, each with one script.

All accounts of an operation are on one server. The script answers an admission in full. For a
refusal, which changes nothing, it returns the time and the accounts it found, and the ledger in
Python says the rest: how long to wait, and what is left.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from querybudget import ledger
from querybudget.backends import StoreSettings
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
from querybudget.stores.redis.codec import Deciding
from querybudget.stores.redis.connection import Connection, connect
from querybudget.stores.redis.scripts import Script
from querybudget.units import NO_TIME, SECOND, Algorithm, Micros, Millionths

CALENDAR_TRIES = 3
"""Runs of a script for one call, each with the calendar periods that the last one asked for."""

MIN_TIMEOUT = 1.0
"""Seconds that a connection waits at least. The guard enforces the time-out of a call."""

_NOW = struct.Struct(">Q")
_SETTLE = struct.Struct(">Q12sB")
_RENEW = struct.Struct(">QQ12sB")
_PARDON = struct.Struct(">Q12s12s")
_FOLD = struct.Struct(">Q12s12sB")
_USED = struct.Struct(">BQ")
_ADMITTED_LINE = struct.Struct(">qqq")
_SETTLED = {b"D": Settled.DONE, b"L": Settled.LATE, b"N": Settled.REPEATED}


class ReserveReply(msgspec.Struct, frozen=True):
    """The reply of `reserve.lua`.

    Attributes:
        kind: Its first letter; `reserve.lua` lists them.
        now: The server's time, µs.
        lines: If it admits and says all: of each line what is held and left in µ-units, and the µs
            until nothing is used.
        record: The reservation, if there is one to read.
        accounts: The accounts as it found them, packed, by partition; empty for `lines`.
    """

    kind: str
    now: int
    lines: Sequence[tuple[int, int, int]] = ()
    record: bytes = b""
    accounts: Mapping[str, bytes] = {}


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
        self._ahead = 0
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

    def partition(self, key: bytes) -> str:
        """Inverse of `key`."""
        name = key[len(self._prefix) + 2 : -1].decode("utf-8", "surrogatepass")
        return "" if name == "%" else name.replace("%7D", "}").replace("%25", "%")

    def operator_key(self, name: str) -> bytes:
        """Return a key of what operators have changed. No account's begins or ends like it."""
        return f"{self._prefix}:{name}:{{operator}}".encode()

    def packed_now(self) -> bytes:
        """Return the time for scripts that take nothing else there."""
        return _NOW.pack(self._now())

    async def read(self, partitions: Sequence[str]) -> tuple[int, list[bytes]]:
        """Return the time in µs, and the packed accounts; empty where there is none."""
        keys = [self.key(partition) for partition in partitions]
        now, *accounts = await self.connection.run(scripts.read(), keys, self.packed_now())
        return self._heard(_NOW.unpack(now)[0]), accounts

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none; no profile takes part."""
        reply = await self.charge(charge, charge.partitions, Deciding(charge.price))
        return self.decision(charge, reply)

    def decision(self, charge: Charge, reply: ReserveReply) -> Decision:
        """Return the decision that a reply means, if no profile takes part."""
        if reply.kind == "A":
            return admission(charge, reply, charge.price)
        accounts = codec.unpack_accounts(reply.accounts, reply.now)
        if reply.kind == "D":
            return repeated(charge, accounts, reply)
        decision = ledger.reserve(accounts, charge, reply.now)
        if decision.admitted != (reply.kind == "F"):
            raise StoreError("the script and the ledger do not agree on a call; please report it")
        return decision

    async def charge(
        self, charge: Charge, partitions: Sequence[str], deciding: Deciding
    ) -> ReserveReply:
        """Charge all lines or none, as far as a call is decided.

        Args:
            charge: The call's charge.
            partitions: Of the accounts that take part; those of lines come first.
            deciding: What is decided of the call.
        """
        packed = codec.pack_charge(charge, _numbers_of(partitions), self._now(), deciding)
        reply = await self._run(
            scripts.reserve(),
            self._keys(partitions, charge.id),
            (packed, deciding.decided),
            charge.lines,
            [codec.short_name(charge.id) + profile for profile in deciding.profiles],
        )
        head = reply if isinstance(reply, bytes) else reply[0]
        kind, now = head[:1].decode(), self._heard(_NOW.unpack_from(head, 1)[0])
        rest = head[1 + _NOW.size :]
        if isinstance(reply, bytes):
            return ReserveReply(kind, now, list(_ADMITTED_LINE.iter_unpack(rest)))
        return ReserveReply(kind, now, (), rest, dict(zip(partitions, reply[1:], strict=True)))

    async def fold(
        self, charge: Charge, partition: str, version: bytes, profile: bytes
    ) -> bytes | None:
        """Store the new profile of an account.

        Args:
            charge: The call that the profile observed.
            partition: The account's.
            version: Version of the profile that the new one was computed from.
            profile: The new profile, packed.

        Returns:
            None, or the packed account if its profile has another version: nothing is stored.
        """
        head = _FOLD.pack(
            self._now(),
            version,
            codec.short_name(charge.id),
            partition in charge.on_probation,
        ) + codec.pack_tier(charge.tier)
        reply = await self.connection.run(scripts.fold(), [self.key(partition)], head, profile)
        return None if isinstance(reply, bytes) else reply[1]

    async def pardon(self, partition: str, name: bytes, version: bytes, profile: bytes) -> Any:  # noqa: ANN401 - bytes, or a list of bytes
        """Store the profile of an account that was pardoned.

        Args:
            partition: The account's.
            name: The version of the new profile.
            version: That of the profile that it was computed from.
            profile: The new profile, packed.

        Returns:
            What `pardon.lua` says.
        """
        head = _PARDON.pack(self._now(), version, name)
        return await self.connection.run(scripts.pardon(), [self.key(partition)], head, profile)

    async def settle(
        self,
        reservation: Charge | Reservation,
        amounts: Sequence[int],
        partitions: Sequence[str] = (),
    ) -> Settled:
        """Replace what is held by what was used.

        Args:
            reservation: What was reserved. Only its id and lines are used: the server knows what is
                held.
            amounts: µ-units used on each line, price included.
            partitions: Partitions whose accounts take part. Default: those of all lines.
        """
        lines = reservation.lines
        partitions = partitions or charged_partitions(lines)
        numbers = _numbers_of(partitions)
        head = _SETTLE.pack(self._now(), codec.short_name(reservation.id), len(lines))
        used = [
            _USED.pack(numbers[line.partition], min(amount, codec.MAX_NUMBER))
            for line, amount in zip(lines, amounts, strict=True)
        ]
        reply: bytes = await self._run(
            scripts.settle(),
            self._keys(partitions, reservation.id),
            (head + b"".join(used) + codec.pack_probation(reservation, numbers),),
            lines,
        )
        return _SETTLED[reply]

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
            scripts.renew(),
            self._keys(partitions, reservation.id),
            (head + bytes(numbers[line.partition] for line in reservation.lines),),
            reservation.lines,
        )
        return Micros(_NOW.unpack_from(reply, 1)[0])

    def now(self) -> int:
        """Return about the server's time in µs."""
        return self._clock() if self._clock else self._estimate() + self._ahead

    def _heard(self, now: int) -> int:
        """Note how far the server's time is ahead of this host's, and return it."""
        self._ahead = now - self._estimate()
        return now

    def _keys(self, partitions: Sequence[str], reservation_id: str) -> list[bytes]:
        """Return the keys of the accounts, and that of the reservation beside the first."""
        keys = [self.key(partition) for partition in partitions]
        return [*keys, keys[0] + b":" + codec.short_name(reservation_id).hex().encode()]

    def _now(self) -> int:
        """Return the time for scripts: 0 for the server's own."""
        return self._clock() if self._clock else 0

    async def _run(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[bytes],
        lines: Sequence[Line],
        more: Sequence[bytes] = (),
    ) -> Any:  # noqa: ANN401 - bytes, or a list of bytes
        """Run a script, again with the calendar periods that it asks for."""
        moments: tuple[int, ...] = ()
        if any(line.quota.algorithm is Algorithm.CALENDAR for line in lines):
            moments = (self.now(),)  # enough for most calls
        for _ in range(CALENDAR_TRIES):
            quotas = [self._quotas.pack(line.quota, moments) for line in lines]
            reply = await self.connection.run(script, keys, *arguments, *quotas, *more)
            head = reply if isinstance(reply, bytes) else reply[0]
            if head[:1] != b"C":
                return reply
            moments = struct.unpack(">QQQ", head[-24:])
        raise StoreError("the periods of a calendar changed at each attempt to charge a call")


def _numbers_of(partitions: Sequence[str]) -> dict[str, int]:
    """Return what scripts call each account: its place among the keys, from 1."""
    return {partition: number for number, partition in enumerate(partitions, 1)}


def charged_partitions(lines: Sequence[Line]) -> tuple[str, ...]:
    """Return the partitions of lines, each once, in order."""
    return tuple(dict.fromkeys([line.partition for line in lines]))


def admission(charge: Charge, reply: ReserveReply, price: Millionths) -> Decision:
    """Return the decision of a call that a script admitted, and said all about."""
    held = tuple([held for held, _, _ in reply.lines])
    statuses = tuple(
        [
            LineStatus(line, left, reset)
            for line, (_, left, reset) in zip(charge.lines, reply.lines, strict=True)
        ]
    )
    reservation = charge.reserved(held, reply.now, reply.now + charge.ttl, price)
    return Decision(Verdict.ADMIT, statuses, NO_TIME, reservation, price)


def repeated(charge: Charge, accounts: Mapping[str, Account], reply: ReserveReply) -> Decision:
    """Return the decision on a charge that was made before: the same one each time."""
    count = len(charged_partitions(charge.lines))
    reservation = codec.unpack_reservation(charge, reply.record, count)
    statuses = tuple(
        LineStatus(line, *ledger.peek(accounts[line.partition], (line.quota,), reply.now)[0])
        for line in charge.lines
    )
    return Decision(Verdict.ADMIT, statuses, NO_TIME, reservation, reservation.price)
