"""Stores that each break one promise about buckets and profiles, and the test that says so."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import msgspec

from querybudget.coverage import KnownGround, Observation, Stage
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.ledger import Account, Charge, Decision, Line, Reservation, Settled, Verdict
from querybudget.stores import Clock, MemoryStore
from querybudget.units import MICRO, Micros, Unit

__all__ = ["COVERAGE_BUGS", "ObservesWhenSettled", "RefundsNothing"]


def covers(line: Line) -> bool:
    return line.quota.unit is Unit.BUCKETS


def altered(charge: Charge, **changes: object) -> Charge:
    """With every line of buckets changed."""
    lines = tuple(
        msgspec.structs.replace(line, **changes) if covers(line) else line for line in charge.lines
    )
    return msgspec.structs.replace(charge, lines=lines)


def unscored(charge: Charge) -> Charge:
    lines = tuple(
        msgspec.structs.replace(line, response=msgspec.structs.replace(line.response, scored=False))
        if line.response
        else line
        for line in charge.lines
    )
    return msgspec.structs.replace(charge, lines=lines)


class Looks(MemoryStore):
    def profile(self, partition: str) -> CallerProfile | Group | None:
        account = self._find(partition)
        return account.profile if account else None


class ObservesWhenSettled(MemoryStore):
    """What calls show that are open at the same time is new to each of them."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._before: dict[str, tuple[str, CallerProfile | Group | None]] = {}

    async def reserve(self, charge: Charge) -> Decision:
        own = self._find(charge.profiled[0]) if charge.profiled else None
        before = copy.deepcopy(own.profile) if own else None
        decision = await super().reserve(charge)
        account = self._find(charge.profiled[0]) if charge.profiled else None
        if decision.admitted and account is not None:
            self._before[charge.id] = charge.profiled[0], account.profile
            account.profile = before
        return decision

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        partition, profile = self._before.pop(reservation.id, ("", None))
        account = self._find(partition)
        if account is not None:
            account.profile = profile
        return await super().settle(reservation, amounts)


class KnowsNothingAgain(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        for partition in charge.profiled[:1]:
            account = self._find(partition)
            if account and isinstance(account.profile, CallerProfile):
                account.profile.cells = bytearray(len(account.profile.cells))
        return await super().reserve(charge)


class WeighsEveryBucketAlike(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(altered(charge, amount=MICRO, minimum=MICRO))


class RefundsNothing(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        kept = [
            max(1, amount) if covers(line) else amount
            for line, amount in zip(reservation.lines, amounts, strict=True)
        ]
        return await super().settle(reservation, kept)


class RefundsAfterExpiry(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        settled = await super().settle(msgspec.structs.replace(reservation, expires=2**62), amounts)
        late = settled is Settled.DONE and self._clock() >= reservation.expires
        return Settled.LATE if late else settled


class TellsTheWaitTooLong(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        return msgspec.structs.replace(decision, wait=decision.wait and decision.wait + 1)


class TellsTheWaitTooShort(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        return msgspec.structs.replace(decision, wait=max(0, decision.wait - 1))


class TellsTheWaitForThePriceTooShort(TellsTheWaitTooShort):
    """It is a wait too."""


class TellsTheWaitForThePriceTooLong(TellsTheWaitTooLong):
    """It is a wait too."""


class ObservesWhatItRefuses(Looks):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        profile = self.profile(charge.profiled[0]) if charge.profiled else None
        if not decision.admitted and charge.observation and isinstance(profile, CallerProfile):
            profile.observe(charge.observation, self._clock())
        return decision


class ObservesRefusalsOfOtherLines(ObservesWhatItRefuses):
    """Its scores say so too."""


class PricesNothing(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(altered(charge, response=None))


class ForgetsThePrice(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        cheap = msgspec.structs.replace(reservation, price=MICRO)
        return await super().settle(cheap, amounts)


class PricesBuckets(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        settled = await super().settle(reservation, amounts)
        for line in reservation.lines:
            account = self._find(line.partition)
            if covers(line) and account and reservation.price > MICRO:
                account.windows[line.quota.key].charge(line.quota, 1, self._clock())
        return settled


class Flaps(Looks):
    async def reserve(self, charge: Charge) -> Decision:
        for partition in charge.partitions:
            profile = self.profile(partition)
            if profile:
                profile.stages.clear()
        return await super().reserve(charge)


class NeverEasesOff(MemoryStore):
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


class RefusesKnownGround(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        if decision.stage < Stage.DEGRADE:
            return decision
        return Decision(Verdict.WAIT, decision.lines, Micros(1), stage=Stage.REFUSE)


class LetsEverybodySpendWhatSuspectsShare(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        lines = tuple(
            msgspec.structs.replace(
                line, response=msgspec.structs.replace(line.response, suspects=None)
            )
            if line.response
            else line
            for line in charge.lines
        )
        return await super().reserve(msgspec.structs.replace(charge, lines=lines))


class RefusesOnOneKindOfEvidence(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        if not decision.touched or decision.stage < Stage.DEGRADE:
            return decision
        return Decision(Verdict.WAIT, decision.lines, Micros(1), stage=Stage.REFUSE)


class ProfilesNobody(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(msgspec.structs.replace(charge, profiled=()))


class TakesAPoolForItsMembers(MemoryStore):
    """What one member knows is known to all."""

    async def reserve(self, charge: Charge) -> Decision:
        pool = charge.profiled[1:2]
        return await super().reserve(msgspec.structs.replace(charge, profiled=pool or ("caller",)))


class KeepsTheProfileOfTheForgotten(MemoryStore):
    async def forget(self, partition: str) -> bool:
        account = self._find(partition)
        forgotten = await super().forget(partition)
        if account:
            self._known[partition] = Account(profile=account.profile)
        return forgotten


class KeepsTheScoreOfTheForgotten(KeepsTheProfileOfTheForgotten):
    """It is in the profile."""


class LosesWhatComesAtOnce(Looks):
    """Of calls that are open at the same time, it observes the first."""

    async def reserve(self, charge: Charge) -> Decision:
        own = self._find(charge.profiled[0]) if charge.profiled else None
        busy, before = bool(own and own.open), copy.deepcopy(own.profile) if own else None
        decision = await super().reserve(charge)
        if busy and own is not None:
            own.profile = before
        return decision


class ObservesNothing(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        if charge.observation is None:
            return await super().reserve(charge)
        return await super().reserve(msgspec.structs.replace(charge, observation=Observation()))


class ObservesAgainWhenSettled(Looks):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._shown: dict[str, Charge] = {}

    async def reserve(self, charge: Charge) -> Decision:
        self._shown[charge.id] = charge
        return await super().reserve(charge)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        charge = self._shown[reservation.id]
        profile = self.profile(charge.profiled[0]) if charge.profiled else None
        if charge.observation and isinstance(profile, CallerProfile) and not any(amounts):
            profile.cells = bytearray(len(profile.cells))
            profile.observe(charge.observation, self._clock())
        return await super().settle(reservation, amounts)


class ObservesEveryRepeat(MemoryStore):
    """Answers a repeated charge alike, but lets profiles observe it again."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._answers: dict[str, Decision] = {}

    async def reserve(self, charge: Charge) -> Decision:
        if charge.id not in self._answers:
            self._answers[charge.id] = await super().reserve(charge)
            return self._answers[charge.id]
        account = self._find(charge.profiled[0]) if charge.profiled else None
        if account and charge.observation and isinstance(account.profile, CallerProfile):
            account.profile.cells = bytearray(len(account.profile.cells))
            account.profile.observe(charge.observation, self._clock())
        return self._answers[charge.id]


class SaysNotWhy(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return msgspec.structs.replace(await super().reserve(charge), reasons=())


class TellsNoStageOfTheScore(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(unscored(charge))


class PricesWithoutTheScore(TellsNoStageOfTheScore):
    """Its price does not follow the score either."""


class KeepsTheScoreUp(Looks):
    async def reserve(self, charge: Charge) -> Decision:
        for name in charge.partitions:
            profile = self.profile(name)
            if profile:
                profile.scored_at = self._clock()
        return await super().reserve(charge)


class TellsNoGroup(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(msgspec.structs.replace(charge, profiled=charge.profiled[:1]))


class TellsGroupsOnce(Looks):
    """Of the changes of a member, its groups hear of the first."""

    async def reserve(self, charge: Charge) -> Decision:
        before = {name: copy.deepcopy(self.profile(name)) for name in charge.profiled[1:]}
        decision = await super().reserve(charge)
        for name, old in before.items():
            account = self._find(name)
            now = account.profile if account else None
            if not (account and isinstance(old, Group) and isinstance(now, Group)):
                continue
            if now.members == old.members:
                account.profile = old
        return decision


class DoesNotCalibrate(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(msgspec.structs.replace(charge, calibration=None))


class DecidesByThePast(Looks):
    async def reserve(self, charge: Charge) -> Decision:
        seen = charge.observation
        if seen is not None and self.profile(charge.profiled[0]) is None:
            seen = msgspec.structs.replace(seen, known=KnownGround(len(seen.said)))
        return await super().reserve(msgspec.structs.replace(charge, observation=seen))


class ObservesWhatPacksTooMuch(ObservesWhatItRefuses):
    pass


COVERAGE_BUGS: dict[type[MemoryStore], str] = {
    ObservesWhenSettled: "of_2n_concurrent_calls_exactly_n_enter_new_ground",
    KnowsNothingAgain: "known_ground_costs_nothing",
    WeighsEveryBucketAlike: "a_bucket_costs_what_it_weighs",
    RefundsNothing: "a_failed_call_is_refunded_and_stays_known",
    RefundsAfterExpiry: "a_call_that_is_never_settled_keeps_its_cost",
    TellsTheWaitTooLong: "the_wait_for_new_ground_is_exact",
    TellsTheWaitTooShort: "the_wait_for_new_ground_is_exact",
    ObservesWhatItRefuses: "a_refused_call_is_not_known_and_pays_nothing",
    PricesNothing: "buckets_spent_raise_the_price_of_every_other_line",
    ForgetsThePrice: "buckets_spent_raise_the_price_of_every_other_line",
    PricesBuckets: "buckets_spent_raise_the_price_of_every_other_line",
    Flaps: "a_stage_begins_at_its_strain_and_ends_clearly_below",
    NeverEasesOff: "a_stage_begins_at_its_strain_and_ends_clearly_below",
    EnforcesShadowBuckets: "a_shadow_line_of_buckets_says_what_it_would_do_and_does_nothing",
    SaysNothingOfShadowBuckets: "a_shadow_line_of_buckets_says_what_it_would_do_and_does_nothing",
    KeepsTheProfileOfTheForgotten: "what_was_known_of_a_forgotten_caller_is_new_again",
    TakesAPoolForItsMembers: "a_pool_spends_what_its_members_newly_enter",
    TellsTheWaitForThePriceTooShort: "the_wait_of_a_call_that_costs_too_much_is_exact",
    TellsTheWaitForThePriceTooLong: "the_wait_of_a_call_that_costs_too_much_is_exact",
    RefusesKnownGround: "a_call_on_known_ground_is_not_refused_for_its_buckets",
    ProfilesNobody: "a_call_is_observed_when_it_is_admitted",
    ObservesNothing: "a_call_is_observed_when_it_is_admitted",
    LosesWhatComesAtOnce: "calls_made_at_once_are_all_observed",
    ObservesRefusalsOfOtherLines: "a_refused_call_is_not_observed",
    ObservesAgainWhenSettled: "settling_and_renewing_change_no_profile",
    ObservesEveryRepeat: "a_repeated_reserve_is_observed_once",
    SaysNotWhy: "a_score_brings_about_stages_and_says_why",
    TellsNoStageOfTheScore: "a_score_brings_about_stages_and_says_why",
    DecidesByThePast: "a_call_that_packs_much_is_decided_with_what_it_brings",
    ObservesWhatPacksTooMuch: "a_refusal_for_what_a_call_packs_changes_nothing",
    PricesWithoutTheScore: "a_score_sets_the_price",
    KeepsTheScoreUp: "a_score_falls_with_time",
    TellsNoGroup: "a_group_hears_of_each_change_once",
    TellsGroupsOnce: "a_group_hears_of_each_change_once",
    DoesNotCalibrate: "a_group_calibrates_scores",
    LetsEverybodySpendWhatSuspectsShare: "only_suspects_spend_what_a_population_shares",
    RefusesOnOneKindOfEvidence: "nobody_is_refused_on_one_kind_of_evidence",
    KeepsTheScoreOfTheForgotten: "a_forgotten_account_has_no_score",
}
