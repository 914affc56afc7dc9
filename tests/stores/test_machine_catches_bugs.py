"""The machine is proven too: each store here is wrong in a rare order only, and is found out."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.ledger.windows import LeaseState
from querybudget.stores import Clock, MemoryStore, Store
from querybudget.testing.contracts import StoreMachine
from querybudget.units import Algorithm
from tests.stores.coverage_bugs import ObservesWhenSettled, RefundsNothing
from tests.stores.window_bugs import BringsBackTheForgotten, ChecksBeforeItSettles

pytestmark = pytest.mark.slow

FOREVER = 2**62


class WaitsAMicrosecondLessForTwo(MemoryStore):
    """Says too short a wait where two budgets of one caller are asked for."""

    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        if len({line.partition for line in charge.lines}) == len(charge.lines):
            return decision
        return msgspec.structs.replace(decision, wait=max(0, decision.wait - 1))


class WaitsAMicrosecondMoreAtAPrice(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        more = decision.wait and decision.price > 1_000_000
        return msgspec.structs.replace(decision, wait=decision.wait + bool(more))


class SettlesAnewOnceExpired(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        if self._clock() >= reservation.expires:
            for line in reservation.lines:
                account = self._find(line.partition)
                if account:
                    account.open[reservation.id] = FOREVER
        return await super().settle(reservation, amounts)


class AwaitsBetweenLines(MemoryStore):
    """Charges the second line a moment later, whatever came between."""

    async def reserve(self, charge: Charge) -> Decision:
        if len(charge.lines) < 2:
            return await super().reserve(charge)
        left = [(await self.peek(line.partition, [line.quota]))[0][0] for line in charge.lines]
        await asyncio.sleep(0)
        now = [(await self.peek(line.partition, [line.quota]))[0][0] for line in charge.lines]
        decision = await super().reserve(charge)
        if left != now and decision.reservation:  # goes by what it had read
            await self.settle(decision.reservation, [0] * len(left))
        return decision


class KeepsOpenCallsOfTheForgotten(MemoryStore):
    async def forget(self, partition: str) -> bool:
        account = self._find(partition)
        forgotten = await super().forget(partition)
        if account and account.open and not forgotten:
            return True
        if account and len(account.open) > 1:
            account.windows.clear()
            self._known[partition] = account
        return forgotten


class LosesDebtOfCallsLongPast(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        if self._clock() >= reservation.expires + 50:
            amounts = [
                min(amount, max(0, held))
                for amount, held in zip(amounts, reservation.held, strict=True)
            ]
        return await super().settle(reservation, amounts)


class LosesALeaseOfAnExpiredNeighbour(MemoryStore):
    """Frees a lease that another call holds, where a call of its account has expired."""

    async def reserve(self, charge: Charge) -> Decision:
        for line in charge.lines:
            account = self._find(line.partition)
            if account is None or line.quota.algorithm is not Algorithm.LEASE:
                continue
            leases = account.windows.get(line.quota.key)
            if len(account.open) > 2 and leases:
                assert isinstance(leases, LeaseState)
                leases.free(next(iter(account.open)))
        return await super().reserve(charge)


class SettlesWhatItHadRead(MemoryStore):
    """Writes back an account as it was before the call that came between."""

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        names = [name for name in reservation.partitions if name in self._newcomers]
        read = {name: copy.deepcopy(self._newcomers[name]) for name in names}
        await asyncio.sleep(0)
        for name, account in read.items():
            now = self._newcomers.get(name)
            if now and reservation.id in now.open:
                self._newcomers[name] = account
        return await super().settle(reservation, amounts)


BUGS: list[type[MemoryStore]] = [
    AwaitsBetweenLines,
    BringsBackTheForgotten,
    ChecksBeforeItSettles,
    KeepsOpenCallsOfTheForgotten,
    LosesALeaseOfAnExpiredNeighbour,
    LosesDebtOfCallsLongPast,
    ObservesWhenSettled,
    RefundsNothing,
    SettlesAnewOnceExpired,
    SettlesWhatItHadRead,
    WaitsAMicrosecondLessForTwo,
    WaitsAMicrosecondMoreAtAPrice,
]

ONCE = settings(
    derandomize=True,
    database=None,
    max_examples=400,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def machine(kind: type[MemoryStore]) -> type[StoreMachine]:
    class Machine(StoreMachine):
        def make_store(self, clock: Clock) -> Store:
            return kind(clock)

    return Machine


@pytest.mark.parametrize("kind", BUGS, ids=lambda kind: kind.__name__)
def test_the_machine_finds(kind: type[MemoryStore]) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine(kind), settings=ONCE)


class Keeps(MemoryStore):
    async def aclose(self) -> None:
        """Everything is kept, for the next store that opens it."""


class Reopens(StoreMachine):
    examples = 30

    def make_store(self, clock: Clock) -> Store:
        self.kept = Keeps(clock)
        return self.kept

    def reopen_store(self, clock: Clock) -> Store:
        return self.kept


class ReopensWithoutOpenCalls(Reopens):
    def reopen_store(self, clock: Clock) -> Store:
        for table in (self.kept._known, self.kept._newcomers):
            for account in table.values():
                account.open.clear()
        return self.kept


TestAStoreThatKeepsEverything = Reopens.TestCase


def test_the_machine_finds_what_is_lost_when_a_store_is_closed() -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(ReopensWithoutOpenCalls, settings=ONCE)


def test_a_machine_runs_as_many_examples_as_its_subclass_says() -> None:
    assert (Reopens.TestCase.settings.max_examples, StoreMachine.examples) == (30, 150)
    assert Reopens.TestCase.settings.stateful_step_count == StoreMachine.steps


def test_a_machine_without_a_store_says_what_to_define() -> None:
    class Nothing(StoreMachine):
        pass

    with pytest.raises(NotImplementedError, match="define make_store"):
        run_state_machine_as_test(Nothing, settings=ONCE)
