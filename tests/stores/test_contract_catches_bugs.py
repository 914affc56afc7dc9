"""The contract is proven too: each store here breaks one promise, and the test of it says so."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence

import msgspec
import pytest

from querybudget.ledger import Account, Charge, Decision, Line, Reservation, Settled, Verdict
from querybudget.stores import Clock, Guarantees, MemoryStore, Store
from querybudget.testing.contracts import StoreContract
from querybudget.units import MICRO, Algorithm, Quota
from tests.stores.coverage_bugs import COVERAGE_BUGS
from tests.stores.operator_bugs import OPERATOR_BUGS
from tests.stores.renewal_bugs import RENEWAL_BUGS
from tests.stores.window_bugs import WINDOW_BUGS


def altered(charge: Charge, **changes: object) -> Charge:
    lines = tuple(msgspec.structs.replace(line, **changes) for line in charge.lines)
    return msgspec.structs.replace(charge, lines=lines)


def leases(line: Line) -> bool:
    return line.quota.algorithm is Algorithm.LEASE


class AdmitsOneMore(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        lines = tuple(
            msgspec.structs.replace(
                line,
                quota=msgspec.structs.replace(
                    line.quota, limit=line.quota.limit + MICRO, burst=line.quota.burst + MICRO
                ),
            )
            for line in charge.lines
        )
        return await super().reserve(msgspec.structs.replace(charge, lines=lines))


class AwaitsBetweenReadingAndWriting(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        before = {
            line.partition: await self.peek(line.partition, [line.quota]) for line in charge.lines
        }
        await asyncio.sleep(0)
        fits = all(
            before[line.partition][0][0] >= line.minimum or line.shadow for line in charge.lines
        )
        if not fits:
            return await super().reserve(charge)
        huge = tuple(
            line if line.shadow else msgspec.structs.replace(line, quota=unlimited(line.quota))
            for line in charge.lines
        )
        return await super().reserve(msgspec.structs.replace(charge, lines=huge))


def unlimited(quota: Quota) -> Quota:
    return msgspec.structs.replace(quota, limit=quota.limit + 2**60, burst=quota.burst + 2**60)


class ChargesLineByLine(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        if not decision.admitted:
            for index, line in enumerate(charge.lines):
                alone = Charge(f"{charge.id}/{index}", (line,), charge.ttl, charge.price)
                if not (await super().reserve(alone)).admitted:
                    break
        return decision


class ChargesARefusal(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        if not decision.admitted:
            for line in charge.lines:
                account = self._find(line.partition)
                window = account and account.windows.get(line.quota.key)
                if window:
                    window.charge(line.quota, 1, self._clock())
        return decision


class TellsAWaitTooShort(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        return msgspec.structs.replace(decision, wait=max(0, decision.wait - 1))


class TellsAWaitTooLong(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        return msgspec.structs.replace(decision, wait=decision.wait and decision.wait + 1)


class NeverSaysNever(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        verdict = min(decision.verdict, Verdict.WAIT)
        return msgspec.structs.replace(decision, verdict=verdict)


class KeepsFloats(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        rounded = [round(float(amount) / 3 * 3 / 8) * 8 for amount in amounts]
        return await super().settle(reservation, rounded)


class PoolsEverybody(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(altered(charge, partition="caller"))


class ForgetsOnAnotherLimit(MemoryStore):
    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        renamed = [
            msgspec.structs.replace(quota, name=f"{quota.name}@{quota.limit}") for quota in quotas
        ]
        return await super().peek(partition, renamed)

    async def reserve(self, charge: Charge) -> Decision:
        lines = tuple(
            msgspec.structs.replace(
                line,
                quota=msgspec.structs.replace(
                    line.quota, name=f"{line.quota.name}@{line.quota.limit}"
                ),
            )
            for line in charge.lines
        )
        return await super().reserve(msgspec.structs.replace(charge, lines=lines))


class ForgetsWhenTheClockGoesBack(MemoryStore):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._last = 0

    async def reserve(self, charge: Charge) -> Decision:
        now = self._clock()
        if now < self._last:
            for line in charge.lines:
                await self.forget(line.partition)
        self._last = now
        return await super().reserve(charge)


class GivesNothingBack(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        most = [max(held, used) for held, used in zip(reservation.held, amounts, strict=True)]
        return await super().settle(reservation, most)


class ForgivesDebt(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        most = [min(held, used) for held, used in zip(reservation.held, amounts, strict=True)]
        return await super().settle(reservation, most)


class SettlesTwice(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        for line in reservation.lines:
            account = self._find(line.partition)
            if account:
                account.open[reservation.id] = 2**62
        return await super().settle(reservation, amounts)


class GivesBackAfterExpiry(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        never = msgspec.structs.replace(reservation, expires=2**62)
        settled = await super().settle(never, amounts)
        late = settled is Settled.DONE and self._clock() >= reservation.expires
        return Settled.LATE if late else settled


class ForgetsTheExpired(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        if self._clock() >= reservation.expires:
            return Settled.REPEATED
        return await super().settle(reservation, amounts)


class LeaksLeases(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        held = tuple(
            -1 if leases(line) else held
            for line, held in zip(reservation.lines, reservation.held, strict=True)
        )
        return await super().settle(msgspec.structs.replace(reservation, held=held), amounts)


class KeepsLostLeases(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        if any(leases(line) for line in charge.lines):
            charge = msgspec.structs.replace(charge, ttl=charge.ttl * 2)
        return await super().reserve(charge)


class GivesBackToTheWrongCall(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        later = msgspec.structs.replace(reservation, at=reservation.at + 1)
        return await super().settle(later, amounts)


class EnforcesShadows(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(altered(charge, shadow=False))


class ChargesShadowsThatDoNotFit(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        held = tuple(max(0, held) for held in reservation.held)
        return await super().settle(msgspec.structs.replace(reservation, held=held), amounts)


class LeavesApartWithShadows(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        lines = tuple(
            msgspec.structs.replace(line, quota=msgspec.structs.replace(line.quota, apart=False))
            for line in charge.lines
        )
        return await super().reserve(msgspec.structs.replace(charge, lines=lines))


class IgnoresPrices(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        return await super().reserve(msgspec.structs.replace(charge, price=MICRO))


class RoundsDown(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        lines = tuple(
            line
            if leases(line)
            else msgspec.structs.replace(
                line,
                amount=line.amount * charge.price // MICRO,
                minimum=line.minimum * charge.price // MICRO,
            )
            for line in charge.lines
        )
        return await super().reserve(Charge(charge.id, lines, charge.ttl))


class TellsStaleStatuses(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        lines = [(await self.peek(line.partition, [line.quota]))[0][0] for line in charge.lines]
        decision = await super().reserve(charge)
        statuses = tuple(
            msgspec.structs.replace(status, remaining=remaining)
            for status, remaining in zip(decision.lines, lines, strict=True)
        )
        return msgspec.structs.replace(decision, lines=statuses)


class OpensAccountsOnPeek(MemoryStore):
    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        if not self._find(partition):
            self._newcomers[partition] = Account()
        return await super().peek(partition, quotas)


class ForgetsNothing(MemoryStore):
    async def forget(self, partition: str) -> bool:
        return self._find(partition) is not None


class OpensAccountsOnSettle(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        for line in reservation.lines:
            if not self._find(line.partition):
                self._newcomers[line.partition] = Account(0, {}, {reservation.id: 2**62})
        return await super().settle(reservation, amounts)


class ClosesOnlyOnce(MemoryStore):
    _closed = False

    async def aclose(self) -> None:
        assert not self._closed, "closed already"
        self._closed = True


CAUGHT: dict[type[MemoryStore], str] = {
    AdmitsOneMore: "exactly_n_of_2n_concurrent_calls_are_admitted",
    AwaitsBetweenReadingAndWriting: "exactly_n_of_2n_concurrent_calls_are_admitted",
    ChargesLineByLine: "of_several_budgets_none_is_charged_for_a_refused_call",
    ChargesARefusal: "a_refusal_consumes_nothing",
    TellsAWaitTooShort: "a_wait_is_exact",
    TellsAWaitTooLong: "a_wait_is_exact",
    NeverSaysNever: "a_charge_above_the_limit_is_not_told_to_wait",
    KeepsFloats: "the_largest_limit_is_kept_exactly",
    PoolsEverybody: "partitions_are_independent",
    ForgetsOnAnotherLimit: "another_limit_keeps_what_was_used",
    ForgetsWhenTheClockGoesBack: "a_clock_that_goes_back_grants_nothing",
    GivesNothingBack: "settle_replaces_what_was_held_by_what_was_used",
    ForgivesDebt: "only_what_is_left_is_held_and_more_use_is_debt",
    SettlesTwice: "settling_twice_changes_nothing",
    GivesBackAfterExpiry: "a_late_settle_charges_only_overshoot_and_only_once",
    ForgetsTheExpired: "a_late_settle_charges_only_overshoot_and_only_once",
    LeaksLeases: "a_lease_is_free_when_its_call_is_settled",
    KeepsLostLeases: "a_lost_settle_frees_its_lease_at_expiry",
    GivesBackToTheWrongCall: "what_expired_is_not_given_back_to_later_calls",
    EnforcesShadows: "a_shadow_line_never_refuses_and_holds_what_it_would",
    ChargesShadowsThatDoNotFit: "a_shadow_line_never_refuses_and_holds_what_it_would",
    LeavesApartWithShadows: "a_line_counted_apart_is_charged_whole_and_beside_the_budget",
    IgnoresPrices: "price_scales_all_but_leases_and_rounds_up",
    RoundsDown: "price_scales_all_but_leases_and_rounds_up",
    TellsStaleStatuses: "a_status_says_what_is_left_and_when_all_of_it_is",
    OpensAccountsOnPeek: "peek_of_an_unknown_partition_finds_the_whole_limit_and_makes_no_account",
    ForgetsNothing: "a_forgotten_account_starts_empty",
    OpensAccountsOnSettle: "a_forgotten_account_starts_empty",
    ClosesOnlyOnce: "closing_twice_does_nothing",
    **WINDOW_BUGS,
    **COVERAGE_BUGS,
    **RENEWAL_BUGS,
    **OPERATOR_BUGS,
}

PROMISES = {name for name, _ in inspect.getmembers(StoreContract) if name.startswith("test_")}


def contract(kind: type[MemoryStore]) -> StoreContract:
    class Contract(StoreContract):
        repeats = True

        def make_store(self, clock: Clock) -> Store:
            return kind(clock)

    return Contract()


async def run(contract: StoreContract, promise: str) -> None:
    """A test of the contract, for every kind of window that it is for."""
    test = getattr(contract, f"test_{promise}")
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    for kind in marks[0].args[1] if marks else (None,):
        await (test(kind) if kind else test())


@pytest.mark.anyio
@pytest.mark.parametrize("kind", CAUGHT, ids=lambda kind: kind.__name__)
async def test_the_contract_catches(kind: type[MemoryStore]) -> None:
    with pytest.raises(AssertionError):
        await run(contract(kind), CAUGHT[kind])


def test_every_promise_of_the_contract_has_a_store_that_breaks_it() -> None:
    assert {f"test_{name}" for name in CAUGHT.values()} == PROMISES


class Declared(MemoryStore):
    guarantees = Guarantees(
        frozenset({Algorithm.SLIDING}), "host", atomic=False, exact=False, profiles=False
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("promise", "why"),
    [
        ("a_lease_is_free_when_its_call_is_settled", "windows: it keeps no lease"),
        ("a_bucket_costs_what_it_weighs", "profiles: it keeps none"),
        ("what_expired_is_not_given_back_to_later_calls", "exact: waits"),
    ],
)
async def test_what_a_store_declares_not_to_guarantee_is_skipped_and_named(
    promise: str, why: str
) -> None:
    with pytest.raises(pytest.skip.Exception, match=rf"declared in guarantees\.{why}"):
        await run(contract(Declared), promise)


@pytest.mark.anyio
async def test_a_store_that_is_not_atomic_skips_what_needs_one_step() -> None:
    class InSteps(MemoryStore):
        guarantees = Guarantees(frozenset(Algorithm), "network", atomic=False)

    with pytest.raises(pytest.skip.Exception, match=r"declared in guarantees\.atomic"):
        await run(contract(InSteps), "of_several_budgets_none_is_charged_for_a_refused_call")


@pytest.mark.anyio
async def test_a_store_that_declares_to_guarantee_everything_skips_nothing() -> None:
    class RemembersAnswers(MemoryStore):
        guarantees = Guarantees(frozenset(Algorithm), "process")

        def __init__(self, clock: Clock) -> None:
            super().__init__(clock)
            self._answers: dict[str, Decision] = {}

        async def reserve(self, charge: Charge) -> Decision:
            if charge.id not in self._answers:
                self._answers[charge.id] = await super().reserve(charge)
            return self._answers[charge.id]

    for promise in sorted(PROMISES):
        await run(contract(RemembersAnswers), promise.removeprefix("test_"))


@pytest.mark.anyio
async def test_a_contract_without_a_store_says_what_to_define() -> None:
    with pytest.raises(NotImplementedError, match=r"define make_store\(clock\)"):
        await run(StoreContract(), "partitions_are_independent")
