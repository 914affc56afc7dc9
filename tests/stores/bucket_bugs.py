"""Stores that each break one promise about buckets, and the test of the contract that says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from querybudget.coverage import Observation, Stage
from querybudget.coverage.buckets import BucketState
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled, Verdict
from querybudget.stores import Clock, MemoryStore
from querybudget.units import MICRO, Algorithm, Micros

__all__ = ["BUCKET_BUGS"]


def covers(line: Line) -> bool:
    return line.quota.algorithm is Algorithm.DISTINCT


def altered(charge: Charge, **changes: object) -> Charge:
    """With every line of buckets changed."""
    lines = tuple(
        msgspec.structs.replace(line, **changes) if covers(line) else line for line in charge.lines
    )
    return msgspec.structs.replace(charge, lines=lines)


class Looks(MemoryStore):
    def occupancies(self, lines: Sequence[Line]) -> Iterator[tuple[Line, BucketState]]:
        for line in lines:
            account = self._find(line.partition)
            window = account and account.windows.get(line.quota.key)
            if isinstance(window, BucketState):
                yield line, window


class CountsBucketsWhenSettled(Looks):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        for _, occupancy in self.occupancies(charge.lines):
            occupancy.release(charge.id, charge.observation.cells if charge.observation else ())
        return decision


class CountsEveryVisit(MemoryStore):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._visits = 0

    async def reserve(self, charge: Charge) -> Decision:
        count = len(charge.observation.cells) if charge.observation else 0
        self._visits += count
        new = Observation(tuple(range(self._visits - count, self._visits)))
        return await super().reserve(msgspec.structs.replace(charge, observation=new))


class CountsRepeatsFromTheirFirstVisit(Looks):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        for _, occupancy in self.occupancies(charge.lines):
            for layer in occupancy.layers.values():
                pairs = zip(layer[::2], layer[1::2], strict=True)
                occupancy.release(charge.id, [high << 4 | low >> 4 for high, low in pairs])
        return decision


class WeighsEveryBucketAlike(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(altered(charge, amount=MICRO, minimum=MICRO))


class KeepsBucketsOfFailedCalls(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        kept = [
            max(1, amount) if covers(line) else amount
            for line, amount in zip(reservation.lines, amounts, strict=True)
        ]
        return await super().settle(reservation, kept)


class GivesBackBucketsOfOthers(Looks):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        settled = await super().settle(reservation, amounts)
        if not any(amounts):
            for _, occupancy in self.occupancies(reservation.lines):
                cells = reservation.observation.cells if reservation.observation else ()
                for cell in cells:
                    for name in list(occupancy.pending.get(cell, ())):
                        occupancy.release(name, [cell])
        return settled


class GivesBucketsBackAfterExpiry(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        settled = await super().settle(msgspec.structs.replace(reservation, expires=2**62), amounts)
        late = settled is Settled.DONE and self._clock() >= reservation.expires
        return Settled.LATE if late else settled


class TellsTheWaitForABucketTooLong(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        return msgspec.structs.replace(decision, wait=decision.wait and decision.wait + 1)


class TellsTheWaitForABucketTooShort(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        return msgspec.structs.replace(decision, wait=max(0, decision.wait - 1))


class VisitsWhatItRefuses(Looks):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        if not decision.admitted and charge.observation:
            now, cells = self._clock(), charge.observation.cells
            for line, occupancy in self.occupancies(charge.lines):
                added = occupancy.novelty(cells, line.amount)
                occupancy.reserve(charge.id, cells, line.amount, added, line.quota, now, now + 1)
        return decision


class PricesNothing(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(altered(charge, response=None))


class ForgetsThePrice(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        cheap = msgspec.structs.replace(reservation, price=MICRO)
        return await super().settle(cheap, amounts)


class Flaps(Looks):
    async def reserve(self, charge: Charge) -> Decision:
        for _, occupancy in self.occupancies(charge.lines):
            occupancy.stage = Stage.NONE
        return await super().reserve(charge)


class NeverEasesOff(Looks):
    _severest = Stage.NONE

    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        self._severest = max(self._severest, decision.stage)
        return msgspec.structs.replace(decision, stage=self._severest)


class EnforcesShadowBuckets(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(altered(charge, shadow=False))


class SaysNothingOfShadowBuckets(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        return msgspec.structs.replace(decision, shadow_price=MICRO, shadow_stage=Stage.NONE)


class ForgetsWhoIsWatched(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(msgspec.structs.replace(charge, profiled=()))


class KeepsBucketsOfTheForgotten(MemoryStore):
    async def forget(self, partition: str) -> bool:
        account = self._find(partition)
        forgotten = await super().forget(partition)
        if account and forgotten:
            account.open.clear()
            self._known[partition] = account
        return forgotten


class PaysNoDifference(WeighsEveryBucketAlike):
    """A bucket visited with several weights is such a bucket too."""


class TellsTheWaitForThePriceTooShort(TellsTheWaitForABucketTooShort):
    """It is a wait too."""


class TellsTheWaitForThePriceTooLong(TellsTheWaitForABucketTooLong):
    """It is a wait too."""


class RefusesRepeats(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        if decision.stage < Stage.DEGRADE:
            return decision
        return Decision(Verdict.WAIT, decision.lines, Micros(1), stage=Stage.REFUSE)


BUCKET_BUGS: dict[type[MemoryStore], str] = {
    CountsBucketsWhenSettled: "of_2n_concurrent_calls_exactly_n_open_a_new_bucket",
    CountsEveryVisit: "a_repeat_is_free",
    CountsRepeatsFromTheirFirstVisit: "a_repeat_is_free",
    WeighsEveryBucketAlike: "a_bucket_counts_for_what_it_weighs",
    KeepsBucketsOfFailedCalls: "a_failed_call_gives_its_buckets_back",
    GivesBackBucketsOfOthers: "a_failed_call_gives_its_buckets_back",
    GivesBucketsBackAfterExpiry: "a_call_that_is_never_settled_has_visited_its_buckets",
    TellsTheWaitForABucketTooLong: "the_wait_for_a_bucket_is_exact",
    TellsTheWaitForABucketTooShort: "the_wait_for_a_bucket_is_exact",
    VisitsWhatItRefuses: "a_refused_call_visits_nothing_and_pays_nothing",
    PricesNothing: "buckets_spent_raise_the_price_of_every_other_line",
    ForgetsThePrice: "buckets_spent_raise_the_price_of_every_other_line",
    Flaps: "a_stage_begins_at_its_strain_and_ends_clearly_below",
    NeverEasesOff: "a_stage_begins_at_its_strain_and_ends_clearly_below",
    EnforcesShadowBuckets: "a_shadow_line_of_buckets_says_what_it_would_do_and_does_nothing",
    SaysNothingOfShadowBuckets: "a_shadow_line_of_buckets_says_what_it_would_do_and_does_nothing",
    ForgetsWhoIsWatched: "profiled_accounts_take_part_without_a_line",
    KeepsBucketsOfTheForgotten: "profiled_accounts_take_part_without_a_line",
    PaysNoDifference: "a_bucket_counts_for_the_heaviest_of_its_visits_that_count",
    TellsTheWaitForThePriceTooShort: "the_wait_of_a_call_that_costs_too_much_is_exact",
    TellsTheWaitForThePriceTooLong: "the_wait_of_a_call_that_costs_too_much_is_exact",
    RefusesRepeats: "a_call_that_visits_nothing_new_is_not_refused_for_its_buckets",
}
