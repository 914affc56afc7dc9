"""Operations where accounts are spread over several servers, as in Redis Cluster.

An operation on one account is one script here too. No script reaches several accounts, so a call on
several is charged by reserving and compensating: its accounts are read, the ledger decides, and
each account is charged by itself at the price decided. If one of them has no capacity left, the
others get theirs back, and the call is tried again. A refused call never stays charged. What this
weakens: a charge that is taken back is visible for a moment and may have refused another call, and
the price is that of a moment ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from querybudget import ledger
from querybudget.errors import StoreError
from querybudget.ledger import UNCHARGED, Charge, Decision, Line, LineStatus, Reservation, Settled
from querybudget.stores.redis import codec
from querybudget.stores.redis.single_server import (
    DuePool,
    ProfileUpdate,
    SettleOutcome,
    SingleServerOps,
)
from querybudget.units import Micros

TRIES = 5
"""Tries of a call whose accounts change while it is charged."""


class ClusterOps:
    """The operations of a store on several servers, made of operations on one account each."""

    def __init__(self, single: SingleServerOps) -> None:
        self._single = single

    async def read(self, partitions: Sequence[str]) -> tuple[int, list[bytes]]:
        """Return the latest of the servers' times in µs, and the packed accounts."""
        replies = await asyncio.gather(*(self._single.read([name]) for name in partitions))
        return max(now for now, _ in replies), [account for _, (account,) in replies]

    async def reserve(self, charge: Charge) -> Decision:
        if len(charge.partitions) == 1:
            return await self._single.reserve(charge)
        for _ in range(TRIES):
            decision = await self._decide(charge)
            if decision.reservation is None:
                return decision
            charged = await self._charge(charge, decision, decision.reservation)
            if charged is not None:
                return charged
        raise StoreError("the accounts of a call changed at each attempt to charge it")

    async def settle(
        self,
        reservation: Charge | Reservation,
        amounts: Sequence[int],
        update: ProfileUpdate | None = None,
        *,
        only_observe: bool = False,
    ) -> SettleOutcome:
        """Replace what is held by what was used, the identity's account and its profile first."""
        identity = reservation.profiled[:1]
        order = sorted(reservation.partitions, key=lambda partition: partition not in identity)
        outcomes: list[SettleOutcome] = []
        for partitions in (order[:1], order[1:]):
            if outcomes and not outcomes[0].observed:
                update = None
                if only_observe:
                    break
            settles = [
                self._settle(partition, reservation, amounts, update, only_observe=only_observe)
                for partition in partitions
            ]
            outcomes += await asyncio.gather(*settles)
        return _combined(outcomes)

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

    async def set_score(
        self, pool: DuePool, score: int, reasons: bytes, lines: Sequence[Line]
    ) -> None:
        await self._single.set_score(pool, score, reasons, lines)

    async def _decide(self, charge: Charge) -> Decision:
        """Return the ledger's decision on the accounts as they are now. Charges nothing."""
        partitions = charge.partitions
        now, packed = await self.read(partitions)
        return ledger.reserve(codec.unpack_accounts(partitions, packed, now), charge, now)

    async def _charge(
        self, charge: Charge, decision: Decision, planned: Reservation
    ) -> Decision | None:
        """Charge each account. If one refuses, give the others theirs back and return None."""
        parts = [_part(charge, partition, decision.price) for partition in charge.partitions]
        reserves = [
            self._single.reserve(
                part.charge,
                fixed_price=True,
                uncharged=[
                    index for index, n in enumerate(part.lines) if planned.held[n] == UNCHARGED
                ],
            )
            for part in parts
        ]
        results = await asyncio.gather(*reserves, return_exceptions=True)
        charged = [
            (part, result)
            for part, result in zip(parts, results, strict=True)
            if isinstance(result, Decision) and result.admitted
        ]
        if len(charged) == len(parts):
            return _joined(decision, planned, charged)
        await asyncio.gather(
            *(self._single.settle(part.charge, [0] * len(part.lines)) for part, _ in charged)
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return None

    async def _settle(
        self,
        partition: str,
        reservation: Charge | Reservation,
        amounts: Sequence[int],
        update: ProfileUpdate | None,
        *,
        only_observe: bool,
    ) -> SettleOutcome:
        """Settle the lines of one account."""
        indexes = _lines_of(reservation.lines, partition)
        identity, pools = reservation.profiled[:1], reservation.profiled[1:]
        part = msgspec.structs.replace(
            reservation,
            lines=tuple(reservation.lines[n] for n in indexes),
            profiled=identity + tuple(pool for pool in pools if pool == partition),
        )
        return await self._single.settle(
            part,
            [amounts[n] for n in indexes],
            update,
            only_observe=only_observe,
            partitions=[partition],
        )


class _Part(NamedTuple):
    """The part of a charge that falls on one account, and the indexes of its lines."""

    charge: Charge
    lines: list[int]


def _part(charge: Charge, partition: str, price: int) -> _Part:
    indexes = _lines_of(charge.lines, partition)
    part = msgspec.structs.replace(
        charge,
        lines=tuple(charge.lines[n] for n in indexes),
        price=price,
        profiled=tuple(profiled for profiled in charge.profiled if profiled == partition),
    )
    return _Part(part, indexes)


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
                statuses[index], held[index] = status, amount
    reservation = msgspec.structs.replace(planned, held=tuple(held))
    return msgspec.structs.replace(decision, lines=tuple(statuses), reservation=reservation)


def _combined(outcomes: Sequence[SettleOutcome]) -> SettleOutcome:
    settled = [one.settled for one in outcomes if one.settled is not Settled.REPEATED]
    return SettleOutcome(
        settled[0] if settled else Settled.REPEATED,
        outcomes[0].observed,
        outcomes[0].conflict,
        tuple(pool for outcome in outcomes for pool in outcome.due),
    )
