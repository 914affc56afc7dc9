"""Stores that each break one promise about profiles, and the test of the contract that says so."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.stores import MemoryStore

__all__ = ["PROFILE_BUGS"]


class WatchesNobody(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(msgspec.structs.replace(charge, profiled=()))


class SaysNotWhy(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return msgspec.structs.replace(await super().reserve(charge), reasons=())


class TellsNoStageOfTheScore(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(unscored(charge))


class PricesWithoutTheScore(TellsNoStageOfTheScore):
    """Its price does not follow the score either."""


def unscored(charge: Charge) -> Charge:
    lines = tuple(
        msgspec.structs.replace(line, response=msgspec.structs.replace(line.response, scored=False))
        if line.response
        else line
        for line in charge.lines
    )
    return msgspec.structs.replace(charge, lines=lines)


class KeepsTheScoreUp(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        for name in charge.partitions:
            account = self._find(name)
            if account and account.profile:
                account.profile.scored_at = self._clock()
        return await super().reserve(charge)


class SeesFailedCalls(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        return await super().settle(reservation, [max(1, amount) for amount in amounts])


class SeesLateCalls(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        settled = await super().settle(msgspec.structs.replace(reservation, expires=2**62), amounts)
        late = settled is Settled.DONE and self._clock() >= reservation.expires
        return Settled.LATE if late else settled


class WatchesNoPools(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(msgspec.structs.replace(charge, profiled=charge.profiled[:1]))


class TakesAPoolForACaller(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        settled = await super().settle(reservation, amounts)
        for name in reservation.profiled[1:]:
            account = self._find(name)
            if account and account.profile and reservation.observation and any(amounts):
                account.profile.observe(reservation.observation, self._clock())
        return settled


class KeepsTheScoreOfTheForgotten(MemoryStore):
    async def forget(self, partition: str) -> bool:
        account = self._find(partition)
        forgotten = await super().forget(partition)
        if account:
            self._known[partition] = Account(profile=account.profile)
        return forgotten


PROFILE_BUGS: dict[type[MemoryStore], str] = {
    WatchesNobody: "a_sweep_raises_the_score_of_its_caller",
    SaysNotWhy: "a_score_brings_about_stages_and_says_why",
    TellsNoStageOfTheScore: "a_score_brings_about_stages_and_says_why",
    PricesWithoutTheScore: "a_score_sets_the_price",
    KeepsTheScoreUp: "a_score_falls_with_time",
    SeesFailedCalls: "failed_and_late_calls_do_not_change_a_profile",
    SeesLateCalls: "failed_and_late_calls_do_not_change_a_profile",
    WatchesNoPools: "a_pool_has_what_its_members_calls_add_up_to",
    TakesAPoolForACaller: "a_pool_has_what_its_members_calls_add_up_to",
    KeepsTheScoreOfTheForgotten: "a_forgotten_account_has_no_score",
}
