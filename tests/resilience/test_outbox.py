from __future__ import annotations

import asyncio
from collections.abc import Sequence

from querybudget.errors import StoreError
from querybudget.ledger import Charge, Line, Reservation
from querybudget.resilience.outbox import AT_ONCE, TRIES, Outbox
from querybudget.testing import ManualClock
from querybudget.units import MICRO, ORDINARY_PRICE, SECOND, Algorithm, Quota, Unit
from tests.stores.scripted import Scripted


def outbox_of(limit: int) -> tuple[Outbox, ManualClock]:
    clock = ManualClock()
    return Outbox(clock, limit), clock


def reservation(name: str, clock: ManualClock) -> Reservation:
    quota = Quota("q", Unit.REQUESTS, 9 * MICRO, 60 * SECOND, Algorithm.SLIDING, 9 * MICRO)
    line = Line("a", quota, MICRO, MICRO)
    return Reservation(name, (line,), (MICRO,), clock.now, clock.now + 60 * SECOND, ORDINARY_PRICE)


async def test_a_full_outbox_drops_the_oldest_and_counts_it() -> None:
    outbox, clock = outbox_of(3)
    for at in range(5):
        outbox.settle_later(reservation(f"r{at}", clock), [at])
    assert (len(outbox), outbox.dropped) == (3, 2)
    settled: list[Sequence[int]] = []
    store = Scripted(clock)

    async def settle(made: Reservation, amounts: Sequence[int]) -> None:
        settled.append(amounts)

    store.settle = settle  # type: ignore[method-assign, assignment]
    assert await outbox.flush(store)
    assert settled == [[2], [3], [4]]
    assert len(outbox) == 0


async def test_an_outbox_sends_a_few_entries_at_a_time() -> None:
    outbox, clock = outbox_of(100)
    for at in range(50):
        outbox.settle_later(reservation(f"r{at}", clock), [0])
    at_once = most = 0
    store = Scripted(clock)

    async def settle(made: Reservation, amounts: Sequence[int]) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1

    store.settle = settle  # type: ignore[method-assign, assignment]
    assert await outbox.flush(store)
    assert most == AT_ONCE


async def test_an_entry_that_fails_at_every_try_blocks_no_other_and_is_dropped() -> None:
    outbox, clock = outbox_of(100)
    for at in range(20):
        outbox.settle_later(reservation(f"r{at}", clock), [0])
    settled: set[str] = set()
    store = Scripted(clock)

    async def settle(made: Reservation, amounts: Sequence[int]) -> None:
        if made.id == "r0":
            raise ZeroDivisionError
        settled.add(made.id)

    store.settle = settle  # type: ignore[method-assign, assignment]
    flushes = [await outbox.flush(store) for _ in range(TRIES)]
    assert flushes == [False] * TRIES
    assert len(settled) == 19
    assert (len(outbox), outbox.dropped) == (0, 1)


async def test_a_flush_that_was_not_whole_says_so_and_sends_what_it_can() -> None:
    outbox, clock = outbox_of(100)
    store = Scripted(clock, ["fails"])
    made = reservation("r", clock)
    outbox.charge_later(Charge("c", made.lines, 60 * SECOND), made.lines, made, [MICRO])
    outbox.settle_later(reservation("s", clock), [0])
    assert not await outbox.flush(store)
    assert (len(outbox), store.asked) == (1, ["reserve", "settle"])
    assert await outbox.flush(store)
    assert not outbox


async def test_a_long_outbox_goes_on_past_single_failures() -> None:
    outbox, clock = outbox_of(10_000)
    for index in range(10 * AT_ONCE):
        outbox.settle_later(reservation(f"r{index}", clock), [index])
    store = Scripted(clock)

    async def settle(made: Reservation, amounts: Sequence[int]) -> None:
        if amounts[0] % AT_ONCE == 3:
            raise StoreError("late")

    store.settle = settle  # type: ignore[method-assign, assignment]
    assert not await outbox.flush(store)
    assert len(outbox) == 10
    assert (outbox.dropped, outbox.refused) == (0, 0)
