"""Operations where accounts are spread over several servers, as in Redis Cluster.

An operation on one account is one script here too. No script reaches several accounts, so a call on
several is charged by reserving and compensating: its accounts are read, the ledger decides, and
each account is charged by itself at the price decided. If one of them has no capacity left, the
others get theirs back, and the call is tried again. A refused call never stays charged. When all
are charged, profiles observe the call, each account by itself. What this weakens: a charge that is
taken back is visible for a moment and may have refused another call, and price and new ground are
those of a moment ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from querybudget import ledger
from querybudget.coverage.group import GroupChange
from querybudget.errors import StoreError
from querybudget.ledger import (
    UNCHARGED,
    Account,
    Charge,
    Decision,
    Line,
    LineStatus,
    Reservation,
    Settled,
)
from querybudget.ledger.coverage import CoverageDecision, evaluate, update_profile
from querybudget.stores.redis import codec
from querybudget.stores.redis.codec import Deciding
from querybudget.stores.redis.single_server import ReserveReply, SingleServerOps, charged_partitions
from querybudget.units import Micros, Unit

TRIES = 5
"""Tries of a call whose accounts change while it is charged."""

FOLDS = 8
"""Tries to store a profile that others change each time. After the last, it lacks the call."""


class ClusterOps:
    """The operations of a store on several servers, made of operations on one account each.

    Attributes:
        missed: Calls that a profile lacks, because other clients changed it too often.
    """

    def __init__(self, single: SingleServerOps) -> None:
        self._single = single
        self.missed = 0

    async def read(self, partitions: Sequence[str]) -> tuple[int, list[bytes]]:
        """Return the latest of the servers' times in µs, and the packed accounts."""
        replies = await asyncio.gather(*(self._single.read([name]) for name in partitions))
        return max(now for now, _ in replies), [account for _, (account,) in replies]

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none, and let profiles observe a call that is admitted."""
        partitions = charge.partitions
        if len(partitions) == 1 and charge.observation is None:
            return await self._single.reserve(charge)
        for _ in range(TRIES):
            now, packed = await self.read(partitions)
            blobs = dict(zip(partitions, packed, strict=True))
            accounts = codec.unpack_accounts(blobs, now)
            coverage = evaluate(accounts, charge, now)
            decision = ledger.reserve(accounts, charge, now)
            if decision.reservation is None:
                return decision
            charged = await self._charge(charge, decision, decision.reservation)
            if charged is None:
                continue
            decision, repeated = charged
            if charge.observation is not None and not repeated:
                await self._fold_all(charge, blobs, coverage, now)
            return decision
        raise StoreError("the accounts of a call changed at each attempt to charge it")

    async def settle(self, reservation: Charge | Reservation, amounts: Sequence[int]) -> Settled:
        """Replace what is held by what was used, on each account."""
        settles: list[asyncio.Task[Settled]] = []
        for partition in charged_partitions(reservation.lines):
            indexes = _lines_of(reservation.lines, partition)
            part = msgspec.structs.replace(
                reservation, lines=tuple(reservation.lines[n] for n in indexes)
            )
            settle = self._single.settle(part, [amounts[n] for n in indexes], [partition])
            settles.append(asyncio.ensure_future(settle))
        settled = [one for one in await asyncio.gather(*settles) if one is not Settled.REPEATED]
        return settled[0] if settled else Settled.REPEATED

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        """Hold what is reserved on each account for another `ttl` µs."""
        parts = [
            (
                msgspec.structs.replace(
                    reservation,
                    lines=tuple(
                        reservation.lines[n] for n in _lines_of(reservation.lines, partition)
                    ),
                ),
                partition,
            )
            for partition in reservation.partitions
        ]
        expiries = await asyncio.gather(
            *(self._single.renew(part, ttl, [partition]) for part, partition in parts)
        )
        return max(expiries)

    async def _charge(
        self, charge: Charge, decision: Decision, planned: Reservation
    ) -> tuple[Decision, bool] | None:
        """Charge each account. If one refuses, give the others theirs back and return None.

        Returns:
            The decision, and whether the same charge had been made before.
        """
        parts = [
            _part(charge, partition, decision.price, planned)
            for partition in charged_partitions(charge.lines)
        ]
        results = await asyncio.gather(*map(self._charge_part, parts), return_exceptions=True)
        charged = [
            (part, *result)
            for part, result in zip(parts, results, strict=True)
            if not isinstance(result, BaseException) and result[1].admitted
        ]
        if len(charged) == len(parts):
            repeated = any(reply.kind == "D" for _, reply, _ in charged)
            return _joined(
                decision, planned, [(part, found) for part, _, found in charged]
            ), repeated
        await asyncio.gather(
            *(self._single.settle(part.charge, [0] * len(part.lines)) for part, _, _ in charged)
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return None

    async def _charge_part(self, part: _Part) -> tuple[ReserveReply, Decision]:
        charge = part.charge
        deciding = Deciding(charge.price, uncharged=part.uncharged)
        reply = await self._single.charge(charge, charge.partitions, deciding)
        return reply, self._single.decision(charge, reply)

    async def _fold_all(
        self, charge: Charge, blobs: Mapping[str, bytes], coverage: CoverageDecision, now: int
    ) -> None:
        """Let profiles observe a call that is charged: the identity's, then those of its groups."""
        lines = [one.line.partition for one in coverage.bucket_lines if one]
        change = None
        own = charge.profiled[:1]
        for partition in own:
            change = await self._fold(charge, partition, blobs[partition], coverage, None, now)
        others = [name for name in dict.fromkeys((*charge.profiled, *lines)) if name not in own]
        await asyncio.gather(
            *(self._fold(charge, name, blobs[name], coverage, change, now) for name in others)
        )

    async def _fold(
        self,
        charge: Charge,
        partition: str,
        blob: bytes,
        coverage: CoverageDecision,
        change: GroupChange | None,
        now: int,
    ) -> GroupChange | None:
        for _ in range(FOLDS):
            account = codec.unpack_account(blob) if blob else Account(now)
            version, old = codec.profile_of(blob)
            found = update_profile(partition, account, charge, coverage, change, now)
            profile = codec.pack_profile(account.profile)
            if profile == old:
                return found
            conflict = await self._single.fold(charge, partition, version, profile)
            if conflict is None:
                return found
            blob = conflict
        self.missed += 1
        return None


class _Part(NamedTuple):
    """The part of a charge that falls on one account.

    Attributes:
        charge: Its lines; those of buckets at what the call costs them.
        lines: Their indexes in the whole charge.
        uncharged: Indexes in the part of lines that stay uncharged.
    """

    charge: Charge
    lines: list[int]
    uncharged: list[int]


def _part(charge: Charge, partition: str, price: int, planned: Reservation) -> _Part:
    indexes = _lines_of(charge.lines, partition)
    lines: list[Line] = []
    for n in indexes:
        line, held = charge.lines[n], max(0, planned.held[n])
        if line.quota.unit is Unit.BUCKETS:
            line = msgspec.structs.replace(line, amount=held, minimum=held)
        lines.append(line)
    part = msgspec.structs.replace(
        charge,
        lines=tuple(lines),
        price=price,
        observation=None,
        profiled=(),
        calibration=None,
    )
    uncharged = [place for place, n in enumerate(indexes) if planned.held[n] == UNCHARGED]
    return _Part(part, indexes, uncharged)


def _lines_of(lines: Sequence[Line], partition: str) -> list[int]:
    return [index for index, line in enumerate(lines) if line.partition == partition]


def _joined(
    decision: Decision, planned: Reservation, charged: Sequence[tuple[_Part, Decision]]
) -> Decision:
    """Return the decision with what each account was charged in place of what was planned."""
    statuses: list[LineStatus] = list(decision.lines)
    held = list(planned.held)
    for part, result in charged:
        amounts = result.reservation.held if result.reservation else ()
        for index, status, amount in zip(part.lines, result.lines, amounts, strict=True):
            if amount != UNCHARGED:
                old, held[index] = statuses[index], amount
                statuses[index] = msgspec.structs.replace(status, line=old.line, strain=old.strain)
        if result.reservation:  # as it was first made, if it is repeated
            made = result.reservation
            planned = msgspec.structs.replace(
                planned, at=made.at, expires=made.expires, price=made.price
            )
    return msgspec.structs.replace(
        decision,
        lines=tuple(statuses),
        price=planned.price,
        reservation=msgspec.structs.replace(planned, held=tuple(held)),
    )
