"""Steps where accounts lie on several servers, as in a Cluster.

A call with one account is one step there too. With several, no script reaches them all. So their
accounts are read, the ledger says what the call comes to, and each account is charged by itself,
at that price; if one of them has no room any more, the others get theirs back, and it is tried
again. No refused call stays charged. What it weakens: a charge that is taken back was seen for a
moment, and may have refused somebody else; and the price is that of a moment ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from querybudget import ledger
from querybudget.errors import StoreError
from querybudget.ledger import (
    UNCHARGED,
    Charge,
    Decision,
    Line,
    LineStatus,
    Reservation,
    Settled,
)
from querybudget.stores.redis import codec
from querybudget.stores.redis.single_server import (
    Due,
    ProfileUpdate,
    SettleOutcome,
    SingleServerOps,
)

__all__ = ["ClusterOps"]

TRIES = 5
"""How often a call is tried whose accounts change while it is charged."""


class ClusterOps:
    """The steps of a store whose accounts lie apart.

    Args:
        steps: Those of one account each.
    """

    def __init__(self, steps: SingleServerOps) -> None:
        self._steps = steps

    async def read(self, partitions: Sequence[str]) -> tuple[int, list[bytes]]:
        """The latest of their servers' times, and accounts as they are kept."""
        found = await asyncio.gather(*(self._steps.read([each]) for each in partitions))
        return max(now for now, _ in found), [blob for _, (blob,) in found]

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none."""
        if len(charge.partitions) == 1:
            return await self._steps.reserve(charge)
        for _ in range(TRIES):
            decision = await self._foreseen(charge)
            if decision.reservation is None:
                return decision
            charged = await self._charged(charge, decision)
            if charged is not None:
                return charged
        raise StoreError("the accounts of a call changed each time it was to be charged")

    async def settle(
        self,
        reservation: Charge | Reservation,
        amounts: Sequence[int],
        update: ProfileUpdate | None = None,
        *,
        again: bool = False,
    ) -> SettleOutcome:
        """Replace what is held by what was used: the identity's account first, which observes."""
        profiled = reservation.profiled
        order = sorted(reservation.partitions, key=lambda each: each not in profiled[:1])
        outcomes: list[SettleOutcome] = []
        for partitions in (order[:1], order[1:]):
            if outcomes and not outcomes[0].observed:
                update = None
                if again:
                    break
            parts = [
                self._settle(each, reservation, amounts, update, again=again) for each in partitions
            ]
            outcomes += await asyncio.gather(*parts)
        return _together(outcomes)

    async def judge(self, due: Due, found: int, why: bytes, lines: Sequence[Line]) -> None:
        """Note what a pool's sums were found to come to."""
        await self._steps.judge(due, found, why, lines)

    async def _settle(
        self,
        partition: str,
        reservation: Charge | Reservation,
        amounts: Sequence[int],
        update: ProfileUpdate | None,
        *,
        again: bool,
    ) -> SettleOutcome:
        places = _places(reservation.lines, partition)
        profiled = tuple(w for w in reservation.profiled[1:] if w == partition)
        part = msgspec.structs.replace(
            reservation,
            lines=tuple(reservation.lines[n] for n in places),
            profiled=reservation.profiled[:1] + profiled,
        )
        return await self._steps.settle(
            part, [amounts[n] for n in places], update, again=again, partitions=[partition]
        )

    async def _foreseen(self, charge: Charge) -> Decision:
        """What the ledger says of the accounts as they are now; nothing is charged yet."""
        partitions = charge.partitions
        now, blobs = await self.read(partitions)
        return ledger.reserve(codec.read_accounts(partitions, blobs, now), charge, now)

    async def _charged(self, charge: Charge, foreseen: Decision) -> Decision | None:
        """Charge each account; None where one refused, and all others have theirs back."""
        held = foreseen.reservation.held if foreseen.reservation else ()
        parts = [_part(charge, each, foreseen.price) for each in charge.partitions]
        steps = [
            self._steps.reserve(
                part, fixed=True, alone=[at for at, n in enumerate(places) if held[n] == UNCHARGED]
            )
            for part, places in parts
        ]
        found = await asyncio.gather(*steps, return_exceptions=True)
        if all(isinstance(each, Decision) and each.admitted for each in found):
            decisions = [each for each in found if isinstance(each, Decision)]
            return _joined(charge, foreseen, [places for _, places in parts], decisions)
        back = [
            self._steps.settle(part, [0] * len(part.lines))
            for (part, _), each in zip(parts, found, strict=True)
            if isinstance(each, Decision) and each.admitted
        ]
        await asyncio.gather(*back)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return None


def _places(lines: Sequence[Line], partition: str) -> list[int]:
    return [n for n, line in enumerate(lines) if line.partition == partition]


def _part(charge: Charge, partition: str, price: int) -> tuple[Charge, list[int]]:
    """The part of a charge that one account has, and the places of its lines."""
    places = _places(charge.lines, partition)
    part = Charge(
        charge.id,
        tuple(charge.lines[n] for n in places),
        charge.hold,
        price,
        charge.observation,
        tuple(profiled for profiled in charge.profiled if profiled == partition),
    )
    return part, places


def _joined(
    charge: Charge,
    foreseen: Decision,
    places: Sequence[Sequence[int]],
    parts: Sequence[Decision],
) -> Decision:
    statuses: list[LineStatus] = list(foreseen.lines)
    reservation = foreseen.reservation
    held = list(reservation.held) if reservation else [0] * len(charge.lines)
    for numbers, part in zip(places, parts, strict=True):
        own = part.reservation.held if part.reservation else ()
        for n, status, taken in zip(numbers, part.lines, own, strict=True):
            if taken != UNCHARGED:
                statuses[n], held[n] = status, taken
    joined = msgspec.structs.replace(reservation, held=tuple(held)) if reservation else None
    return msgspec.structs.replace(foreseen, lines=tuple(statuses), reservation=joined)


def _together(outcomes: Sequence[SettleOutcome]) -> SettleOutcome:
    known = [each.settled for each in outcomes if each.settled is not Settled.REPEATED]
    return SettleOutcome(
        known[0] if known else Settled.REPEATED,
        outcomes[0].observed,
        outcomes[0].changed,
        tuple(due for each in outcomes for due in each.due),
    )
