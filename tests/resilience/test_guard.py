from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from functools import partial

import pytest

from querybudget.errors import StoreError
from querybudget.ledger import Charge, Line, Reservation, Settled
from querybudget.resilience.guard import FAILURES, REST, Guard, within
from querybudget.resilience.health import StoreStats
from querybudget.resilience.outbox import Outbox
from querybudget.testing import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit
from tests.stores.scripted import Scripted, hurried, turns

RPM = Quota("rpm", Unit.REQUESTS, 9 * MICRO, 60 * SECOND, Algorithm.SLIDING, 9 * MICRO)


class Bench:
    """A guard before a scripted store, and what it reports."""

    def __init__(self, *script: str, ever: str = "works") -> None:
        self.clock = ManualClock()
        self.store = Scripted(self.clock, script, ever=ever)
        self.stats = StoreStats(since=self.clock())
        self.outbox = Outbox(self.clock)
        self.guard = Guard(
            self.store,
            self.clock,
            self.stats,
            self.outbox,
            timeout=250_000,
            name="scripted",
            wait=hurried,
        )
        self._named = 0

    @property
    def unsettled(self) -> list[list[int]]:
        """Amounts of the reservations that could not be given back."""
        return [[amount for _, amount in entry.uses] for entry in self.outbox._entries]

    def charge(self) -> Charge:
        self._named += 1
        return Charge(f"c{self._named}", (Line("a", RPM, MICRO, MICRO),), 600 * SECOND)

    async def reserve(self) -> Reservation:
        decision = await self.guard.reserve(self.charge())
        assert decision.reservation is not None
        return decision.reservation

    async def fail(self, times: int = FAILURES) -> None:
        for _ in range(times):
            with pytest.raises(StoreError):
                await self.guard.reserve(self.charge())

    async def used(self) -> int:
        ((remaining, _),) = await self.store.peek("a", (RPM,))
        return (RPM.limit - remaining) // MICRO


async def test_a_store_that_works_answers_through_the_guard() -> None:
    bench = Bench()
    reservation = await bench.reserve()
    assert await bench.guard.settle(reservation, [MICRO]) is Settled.DONE
    assert await bench.used() == 1
    assert (bench.stats.failures, bench.guard.busy) == (0, False)


@pytest.mark.parametrize("word", ["fails", "breaks", "hangs", "late", "nonsense", "cancels"])
@pytest.mark.parametrize("verb", ["reserve", "settle"])
async def test_whatever_a_store_does_the_guard_answers_or_raises_store_error(
    word: str, verb: str
) -> None:
    bench = Bench(*(["works"] if verb == "settle" else []), word)
    with pytest.raises(StoreError) as caught:
        await bench.guard.settle(await bench.reserve(), [MICRO])
    assert "hunter2" not in bench.stats.last_error
    assert "hunter2" not in str(caught.value) or word == "fails"
    assert bench.stats.failures == 1
    assert bench.stats.timeouts == (word in {"hangs", "late"})
    await bench.guard.aclose()


async def test_a_foreign_error_is_reported_by_its_type_and_not_by_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(ever="breaks")
    await bench.fail(FAILURES + 3)
    assert bench.stats.last_error == "OSError"
    traced = [record for record in caplog.records if record.exc_info]
    assert len(traced) == 1
    assert "OSError" in traced[0].message


async def test_a_foreign_error_is_named_with_its_module(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.guard.record_failure(struct.error("hunter2"))
    assert bench.stats.last_error == "struct.error"
    assert "failed with struct.error" in caplog.records[0].message


async def test_a_foreign_error_is_logged_with_its_traceback_once_per_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    for _ in range(2):
        bench.store.ever = "breaks"
        await bench.fail(FAILURES)
        bench.store.ever = "works"
        bench.clock.advance(1)
        await bench.reserve()
    assert sum(record.exc_info is not None for record in caplog.records) == 2


async def test_after_several_failures_in_a_row_a_store_is_not_asked() -> None:
    bench = Bench(ever="fails")
    ups: list[bool] = []
    for _ in range(FAILURES):
        await bench.fail(1)
        ups.append(bench.guard.up)
    assert ups == [True] * (FAILURES - 1) + [False]
    assert bench.stats.since == bench.clock.now
    await bench.fail(7)
    assert len(bench.store.asked) == FAILURES


async def test_an_answer_between_failures_resets_the_count() -> None:
    bench = Bench(*(["fails"] * (FAILURES - 1) + ["works"]) * 3)
    for _ in range(3):
        await bench.fail(FAILURES - 1)
        await bench.reserve()
    assert bench.guard.up


async def test_a_store_that_is_down_is_asked_by_one_call_in_each_rest() -> None:
    bench = Bench(ever="hangs")
    await bench.fail()
    for _ in range(3):
        asked = len(bench.store.asked)
        bench.clock.advance(us=REST)
        assert bench.guard.would_ask
        await asyncio.gather(*(bench.fail(1) for _ in range(9)))
        assert len(bench.store.asked) == asked + 1
    await bench.guard.aclose()


async def test_single_failures_are_logged_once_in_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench("fails", "works", "fails", "works", "fails")
    for expected in (1, 1, 2):
        await bench.fail(1)
        if expected == 1:
            await bench.reserve()
        bench.clock.advance(31)
        assert len(caplog.records) == expected
    assert "failed a request" in caplog.messages[0]
    assert ", 3 since the start; it is taken to be up until 5 fail in a row" in caplog.messages[1]


async def test_one_log_line_says_that_a_store_is_down_and_one_that_it_is_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(ever="fails")
    for call in range(FAILURES + 40):
        bench.clock.advance(0.1)
        await bench.fail(1)
        bench.stats.without_store += 1
        assert len(caplog.records) == 1 + (call >= FAILURES - 1)
    bench.store.ever = "works"
    bench.clock.advance(1)
    await bench.reserve()
    await bench.reserve()
    _, down, up = caplog.messages
    assert "the store (scripted) is down" in down
    assert "hunter2" not in down
    assert "answers again after 5.0 s; 45 calls were decided without it" in up
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert bench.stats.since == bench.clock.now


async def test_the_calls_of_one_outage_are_not_counted_for_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(*["fails"] * FAILURES, "works", *["fails"] * FAILURES, "works")
    for lost in (9, 2):
        await bench.fail()
        bench.stats.without_store += lost
        bench.clock.advance(1)
        await bench.reserve()
    lines = [message for message in caplog.messages if "again" in message]
    assert ["9 calls" in lines[0], "2 calls" in lines[1]] == [True, True]


async def test_a_late_reservation_is_given_back_when_it_comes() -> None:
    bench = Bench("late")
    await bench.fail(1)
    assert await bench.used() == 1
    bench.store.gate.set()
    await turns()
    assert await bench.used() == 0
    assert (bench.guard.busy, bench.stats.failures) == (False, 1)


async def test_late_answers_do_not_count_as_the_store_being_up() -> None:
    bench = Bench(ever="late")
    await bench.fail(FAILURES)
    bench.store.gate.set()
    bench.store.ever = "works"
    await turns()
    assert not bench.guard.up
    assert bench.unsettled == [[0]] * FAILURES  # It rests: they are given back later.


async def test_a_reservation_that_could_not_be_given_back_goes_to_the_outbox() -> None:
    bench = Bench("late", "fails")
    await bench.fail(1)
    bench.store.gate.set()
    await turns()
    assert bench.unsettled == [[0]]


async def test_a_late_settlement_is_done_and_needs_nothing_more() -> None:
    bench = Bench("works", "late")
    reservation = await bench.reserve()
    with pytest.raises(StoreError, match=r"within 0\.25 s"):
        await bench.guard.settle(reservation, [0])
    bench.store.gate.set()
    await turns()
    assert await bench.used() == 0
    assert bench.unsettled == []


@pytest.mark.parametrize("word", ["works", "late", "fails", "hangs"])
async def test_a_call_cancelled_in_any_turn_leaves_nothing_held(word: str) -> None:
    for turn in range(12):
        bench = Bench(word)
        asking = asyncio.ensure_future(bench.guard.reserve(bench.charge()))
        await turns(turn)
        asking.cancel()
        (end,) = await asyncio.gather(asking, return_exceptions=True)
        bench.store.gate.set()
        await turns()
        cut = isinstance(end, asyncio.CancelledError)
        assert cut or isinstance(end, StoreError) or word == "works"
        assert await bench.used() == (0 if cut or word != "works" else 1)
        await bench.guard.aclose()
        assert not bench.guard.busy


async def test_a_cancelled_probe_still_finds_out_whether_the_store_answers() -> None:
    bench = Bench(*["fails"] * FAILURES)
    await bench.fail()
    bench.clock.advance(1)
    probe = asyncio.ensure_future(bench.guard.reserve(bench.charge()))
    await turns(1)
    probe.cancel()
    await turns()
    assert bench.guard.up
    assert await bench.used() == 0


async def test_closing_waits_for_late_answers_and_gives_them_back() -> None:
    bench = Bench("late")
    await bench.fail(1)
    bench.store.gate.set()
    await bench.guard.aclose()
    assert await bench.used() == 0
    assert not bench.guard.busy


async def test_closing_drops_what_never_answers_and_leaves_no_task_behind() -> None:
    bench = Bench(ever="hangs")
    await bench.fail(3)
    under_way = bench.guard._running.copy()
    await bench.guard.aclose()
    assert [task.cancelled() for task in under_way] == [True] * 3
    assert not bench.guard.busy
    assert "aclose" not in bench.store.asked


async def test_requests_that_are_never_answered_do_not_pile_up() -> None:
    bench = Bench(ever="hangs")
    for _ in range(1_100):
        bench.clock.advance(1)
        await bench.fail(1)
    await turns()
    assert len(bench.guard._running) == 1_000
    await bench.guard.aclose()


async def test_waiting_uses_the_event_loops_time_and_cancels_nothing() -> None:
    never = asyncio.get_running_loop().create_future()
    await within((never,), 0)
    assert not never.done()
    done = asyncio.ensure_future(turns(2))
    await within((done,), 60)
    assert done.done()


class LateLoop(asyncio.SelectorEventLoop):
    """An event loop that is late by a minute in each of its turns."""

    late = 0.0

    def time(self) -> float:
        return super().time() + self.late

    def be_late(self, turns: int, then: Callable[[], object]) -> None:
        self.late += 60
        if turns:
            self.call_soon(self.be_late, turns - 1, then)
        else:
            then()


def test_an_answer_is_no_failure_of_the_store_if_the_event_loop_was_late_to_read_it() -> None:
    loop = LateLoop()

    async def waited(turns: int) -> bool:
        answer: asyncio.Future[None] = loop.create_future()
        loop.be_late(turns, partial(answer.set_result, None))
        await within((answer,), 0.25)
        return answer.done()

    try:
        assert loop.run_until_complete(waited(5))
        assert not loop.run_until_complete(waited(500))
    finally:
        loop.close()


@pytest.mark.parametrize("word", ["fails", "breaks", "hangs", "nonsense", "cancels"])
async def test_a_renewal_that_goes_wrong_is_a_store_error(word: str) -> None:
    bench = Bench()
    reservation = await bench.reserve()
    expires = await bench.guard.renew(reservation, 900 * SECOND)
    assert expires == bench.clock.now + 900 * SECOND
    bench.store.script.append(word)
    with pytest.raises(StoreError):
        await bench.guard.renew(reservation, 900 * SECOND)
    assert bench.stats.failures == 1
