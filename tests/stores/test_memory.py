from __future__ import annotations

import asyncio
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest

from querybudget.errors import SetupError
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled
from querybudget.stores import MemoryStore, open_store, system_clock
from querybudget.testing import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

pytestmark = pytest.mark.anyio

HOLD = 600 * SECOND
RPM = Quota("rpm", Unit.REQUESTS, 10 * MICRO, 60 * SECOND, Algorithm.SLIDING, 10 * MICRO)
TOKENS = Quota("tokens", Unit.TOKENS, 100 * MICRO, 60 * SECOND, Algorithm.GCRA, 100 * MICRO)


class Bench:
    def __init__(self, most: int = 100) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock, max_identities=most)
        self.count = 0

    async def reserve(self, *partitions: str, quota: Quota = RPM, amount: int = MICRO) -> Decision:
        self.count += 1
        lines = tuple(Line(partition, quota, amount, amount) for partition in partitions)
        return await self.store.reserve(Charge(f"r{self.count}", lines, HOLD))

    async def open(self, *partitions: str) -> Reservation:
        reservation = (await self.reserve(*partitions)).reservation
        assert reservation
        return reservation

    async def answered(self, *partitions: str) -> None:
        reservation = await self.open(*partitions)
        await self.store.settle(reservation, [MICRO] * len(partitions))

    async def unauthorised(self, *partitions: str) -> None:
        reservation = await self.open(*partitions)
        await self.store.settle(reservation, [0] * len(partitions))

    async def left(self, partition: str) -> int:
        return (await self.store.peek(partition, [RPM]))[0][0] // MICRO


async def test_a_flood_of_open_calls_with_made_up_keys_keeps_memory_bounded() -> None:
    bench = Bench(100)
    for index in range(1_000):
        await bench.open(f"bogus-{index}")
    assert len(bench.store) == 10


async def test_a_flood_of_made_up_keys_evicts_no_answered_caller() -> None:
    bench = Bench(100)
    known = [f"known-{index}" for index in range(90)]
    for name in known:
        await bench.answered(name)
    for index in range(1_000):
        await bench.open(f"open-{index}")
        await bench.unauthorised(f"unauthorised-{index}")
    assert [await bench.left(name) for name in known] == [9] * 90
    assert bench.store.evicted == 0


async def test_a_caller_answered_while_other_calls_are_open_is_known_too() -> None:
    bench = Bench(100)
    await bench.open("busy")
    await bench.answered("busy")
    for index in range(1_000):
        await bench.open(f"open-{index}")
    assert await bench.left("busy") == 8


async def test_an_account_with_everything_given_back_is_dropped() -> None:
    bench = Bench()
    first, second = await bench.open("a", "b"), await bench.open("a")
    await bench.store.settle(first, [0, 0])
    assert len(bench.store) == 1
    await bench.store.settle(second, [0])
    assert len(bench.store) == 0


async def test_a_refused_newcomer_opens_no_account() -> None:
    bench = Bench()
    for _ in range(10):
        await bench.answered("network")
    refused = await bench.reserve("bogus", "network")
    assert not refused.admitted
    assert len(bench.store) == 1


async def test_known_accounts_are_evicted_least_recently_used_first_and_counted() -> None:
    bench = Bench(100)
    for index in range(90):
        await bench.answered(f"known-{index}")
    await bench.answered("known-0")
    for index in range(90, 95):
        await bench.answered(f"known-{index}")
    assert bench.store.evicted == 5
    assert await bench.left("known-0") == 8
    assert [await bench.left(f"known-{index}") for index in range(1, 7)] == [10] * 5 + [9]


async def test_a_settle_whose_account_was_evicted_changes_nothing() -> None:
    bench = Bench(10)
    lost = await bench.open("lost")
    await bench.open("other")
    assert await bench.store.settle(lost, [20 * MICRO]) is Settled.REPEATED
    assert len(bench.store) == 1
    await bench.open("lost")
    assert await bench.store.settle(lost, [20 * MICRO]) is Settled.REPEATED
    assert await bench.left("lost") == 9


async def test_peek_creates_nothing() -> None:
    bench = Bench()
    assert await bench.store.peek("stranger", [RPM, TOKENS]) == ((10 * MICRO, 0), (100 * MICRO, 0))
    assert len(bench.store) == 0


async def test_forget_drops_newcomers_and_known_alike() -> None:
    bench = Bench()
    await bench.answered("known")
    await bench.open("newcomer")
    assert [await bench.store.forget(name) for name in ("known", "newcomer", "x")] == [
        True,
        True,
        False,
    ]
    assert len(bench.store) == 0


async def test_closing_forgets_everything() -> None:
    bench = Bench()
    await bench.answered("known")
    await bench.open("newcomer")
    await bench.store.aclose()
    assert len(bench.store) == 0


async def test_what_a_call_costs_does_not_depend_on_how_many_accounts_there_are() -> None:
    steps = []
    for accounts in (10, 10_000):
        bench = Bench(100_000)
        for index in range(accounts):
            await bench.answered(f"known-{index}")
        steps.append(await _steps_of(bench))
    assert steps[0] == steps[1]


async def _steps_of(bench: Bench) -> Counter[str]:
    """How often each line of the package runs for one call of somebody known."""
    counts = Counter[str]()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            counts[f"{frame.f_code.co_filename}:{frame.f_lineno}"] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        await bench.answered("known-5")
    finally:
        sys.settrace(before)
    return counts


async def test_a_token_budget_grants_what_is_left_and_carries_the_rest_as_debt() -> None:
    bench = Bench()

    async def ask(name: str) -> Decision:
        line = Line("caller", TOKENS, 60 * MICRO, 10 * MICRO)
        return await bench.store.reserve(Charge(name, (line,), HOLD))

    decisions = await asyncio.gather(*(ask(f"r{index}") for index in range(4)))
    held = [decision.reservation.held for decision in decisions if decision.reservation]
    assert held == [(60 * MICRO,), (40 * MICRO,)]
    assert decisions[1].reservation
    await bench.store.settle(decisions[1].reservation, [70 * MICRO])
    assert (await bench.store.peek("caller", [TOKENS]))[0][0] == -30 * MICRO
    refused = await ask("later")
    assert refused.wait == 24 * SECOND
    bench.clock.advance(24)
    assert (await ask("in time")).admitted


def test_a_table_too_small_for_newcomers_is_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 10, found 9"):
        MemoryStore(ManualClock(), max_identities=9)


def test_an_unknown_url_is_refused_with_what_was_expected() -> None:
    with pytest.raises(SetupError, match=r"no store for 'mysql': expected .*memory://"):
        open_store("mysql://localhost", ManualClock())
    with pytest.raises(SetupError, match=r"or `limits\+...://` \(did you mean `redis://`\?\)"):
        open_store("reddis://localhost", ManualClock())


def test_the_system_clock_tells_microseconds_and_never_goes_back() -> None:
    clock = system_clock()
    moments = [clock() for _ in range(100)]
    assert moments == sorted(moments)
    assert 1.7e15 < moments[0] < 1e16


def test_a_memory_url_opens_a_memory_store() -> None:
    assert isinstance(open_store("memory://", ManualClock()), MemoryStore)
