"""Stores that each break one promise about windows, names or settling, and which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.stores import Clock, MemoryStore
from querybudget.units import Algorithm, Micros, Quota

__all__ = ["WINDOW_BUGS"]

HOUR = 3_600_000_000
FOREVER = 2**62


class Requotes(MemoryStore):
    """Takes every quota for another."""

    change: Callable[[Quota], Quota]

    async def reserve(self, charge: Charge) -> Decision:
        lines = tuple(
            msgspec.structs.replace(line, quota=type(self).change(line.quota))
            for line in charge.lines
        )
        return await super().reserve(msgspec.structs.replace(charge, lines=lines))

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        return await super().peek(partition, [type(self).change(quota) for quota in quotas])


class KeepsUseTwoSlotsTooLong(Requotes):
    @staticmethod
    def change(quota: Quota) -> Quota:
        return msgspec.structs.replace(quota, window=quota.window and quota.window + 2 * quota.slot)


class KeepsOneKindOfWindow(Requotes):
    @staticmethod
    def change(quota: Quota) -> Quota:
        if quota.algorithm is Algorithm.LEASE:
            return quota
        return msgspec.structs.replace(quota, algorithm=Algorithm.GCRA, bounds=None)


class LeaksInSteps(MemoryStore):
    def __init__(self, clock: Clock) -> None:
        super().__init__(lambda: Micros(clock() // HOUR * HOUR))


class GivesBackToToday(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        today = msgspec.structs.replace(reservation, at=self._clock())
        return await super().settle(today, amounts)


class ForetellsWhenCallsEnd(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        return msgspec.structs.replace(decision, wait=decision.wait and charge.ttl)


class CutsNamesShort(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        lines = tuple(
            msgspec.structs.replace(line, partition=line.partition[:250]) for line in charge.lines
        )
        return await super().reserve(msgspec.structs.replace(charge, lines=lines))

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        return await super().peek(partition[:250], quotas)


class ForgetsByPattern(MemoryStore):
    async def forget(self, partition: str) -> bool:
        like = [name for name in self._newcomers if name.startswith(partition)]
        return any([await super(ForgetsByPattern, self).forget(name) for name in like])


class ChecksBeforeItSettles(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        account = self._find(reservation.lines[0].partition)
        if account is None or reservation.id not in account.open:
            return Settled.REPEATED
        await asyncio.sleep(0)
        account.open[reservation.id] = FOREVER
        return await super().settle(reservation, amounts)


class RemembersForever(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        for line in charge.lines:
            account = self._find(line.partition)
            if account and charge.id in account.open:
                account.open[charge.id] = FOREVER
        return decision


class SettlesWhateverAccountThereIs(MemoryStore):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._settled = set[str]()

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        for line in reservation.lines:
            account = self._find(line.partition)
            if account and reservation.id not in self._settled:
                account.open[reservation.id] = FOREVER
        self._settled.add(reservation.id)
        return await super().settle(reservation, amounts)


class SettlesAllAccountsOrNone(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        if not all(self._find(line.partition) for line in reservation.lines):
            return Settled.REPEATED
        return await super().settle(reservation, amounts)


class BringsBackTheForgotten(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        for line in reservation.lines:
            if not self._find(line.partition):
                self._newcomers[line.partition] = Account(0, {}, {"another": FOREVER})
        return await super().settle(reservation, amounts)


class ChargesEveryRepeat(MemoryStore):
    """As the memory store does, which promises nothing else."""


class LeavesOnlyShadowsAloneThatDoNotFit(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        for status in decision.lines:
            if status.line.shadow and decision.shadowed and not status.verdict:
                alone = Charge(f"{charge.id}/", (status.line,), charge.ttl)
                await super().reserve(alone)
        return decision


class SaysNothingOfWaiting(MemoryStore):
    suspends: Any = None


class StartsAnew(MemoryStore):
    async def start(self) -> None:
        self._known.clear()
        self._newcomers.clear()


WINDOW_BUGS: dict[type[MemoryStore], str] = {
    KeepsUseTwoSlotsTooLong: "what_was_used_slides_out_within_a_sixtieth_of_its_window",
    LeaksInSteps: "what_was_used_leaks_at_the_rate",
    GivesBackToToday: "a_calendar_period_starts_fresh_and_keeps_its_own_charges",
    ForetellsWhenCallsEnd: "a_call_without_a_free_lease_is_told_to_retry_in_a_second",
    KeepsOneKindOfWindow: "another_kind_of_window_starts_empty",
    CutsNamesShort: "any_text_names_a_partition",
    ForgetsByPattern: "any_text_names_a_partition",
    ChecksBeforeItSettles: "of_settles_at_the_same_time_one_counts",
    RemembersForever: "a_settle_after_a_day_and_more_changes_nothing",
    SettlesWhateverAccountThereIs: "a_settle_knows_its_own_account_from_one_that_came_after",
    SettlesAllAccountsOrNone: "a_settle_of_several_partitions_goes_on_without_one_forgotten",
    BringsBackTheForgotten: "a_settle_of_several_partitions_goes_on_without_one_forgotten",
    ChargesEveryRepeat: "a_repeated_reserve_charges_once_and_answers_the_same",
    LeavesOnlyShadowsAloneThatDoNotFit: (
        "one_shadow_line_that_does_not_fit_leaves_all_shadow_lines_alone"
    ),
    SaysNothingOfWaiting: "a_store_says_what_it_guarantees_and_whether_it_waits",
    StartsAnew: "starting_twice_does_nothing",
}
