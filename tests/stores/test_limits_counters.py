from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import create_autospec

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from limits.aio.storage import MongoDBStorage

from querybudget.backends import StoreSettings
from querybudget.errors import StoreError
from querybudget.ledger import Charge, Line, Reservation, Settled
from querybudget.stores import open_store
from querybudget.stores.limits.counters import CounterWindow, Counts, RollingCounters
from querybudget.stores.limits.store import LimitsStore
from querybudget.testing import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit
from tests.servers.fixtures import Servers
from tests.servers.memcached import Memcached
from tests.servers.redis import RedisServer

MINUTE = 60
START = 1_767_225_600 * SECOND  # a moment at which a minute and an hour begin
ANYTHING = 2**62


def sliding(limit: int = 10 * MICRO, window: int = MINUTE * SECOND) -> Quota:
    return Quota("budget", Unit.TOKENS, limit, window, Algorithm.SLIDING, limit)


def charge(quota: Quota, amount: int, name: str, hold: int = 3_600 * SECOND) -> Charge:
    return Charge(name, (Line("caller", quota, amount, amount),), hold)


# -- What two counters say -------------------------------------------------------------------------


def later(found: Counts, wait: int) -> Counts:
    """The same window after `wait`, if nothing more was used."""
    now, window, length = found.now + wait, found.window, found.window.length
    if now < window.end:
        return Counts(window, now, found.current, found.previous)
    moved = CounterWindow(window.key, window.seconds, window.end + length)
    if now < moved.end:
        return Counts(moved, now, 0, found.current)
    return Counts(CounterWindow(window.key, window.seconds, moved.end + length), now, 0, 0)


@st.composite
def counters(draw: st.DrawFn) -> Counts:
    seconds = draw(st.integers(1, 100))
    left = draw(st.integers(1, seconds * SECOND))
    counts = st.integers(0, 2**53 - 1) | st.integers(0, 100)
    window = CounterWindow("key", seconds, START + left)
    return Counts(window, START, draw(counts), draw(counts))


@given(counters(), st.integers(0, 2**53 - 1) | st.integers(0, 100))
def test_a_wait_is_the_shortest_after_which_the_call_fits(found: Counts, most: int) -> None:
    wait = found.wait(most)
    assert later(found, wait).used <= most
    assert not wait or later(found, wait - 1).used > most


@given(counters())
def test_at_its_reset_nothing_is_used(found: Counts) -> None:
    assert later(found, found.reset).used == 0
    assume(found.reset)
    assert later(found, found.reset - 1).used > 0


# -- Numbered -------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(st.just("reserve"), st.integers(0, 12 * MICRO))
    | st.tuples(st.just("settle"), st.integers(0, 15 * MICRO))
    | st.tuples(st.just("advance"), st.integers(0, 90 * SECOND)),
    max_size=30,
)


class Model:
    """What each stretch holds, from the requests alone."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.held: dict[int, int] = {}

    def used(self, now: int) -> int:
        number, into = divmod(now, self.quota.window)
        left = self.quota.window - into
        before = self.held.get(number - 1, 0)
        return self.held.get(number, 0) - (-before * left // self.quota.window)

    def add(self, at: int, amount: int) -> None:
        number = at // self.quota.window
        self.held[number] = self.held.get(number, 0) + amount
        assert self.held[number] >= 0


@given(steps)
def test_each_window_holds_what_was_used_in_it_and_what_is_open(
    steps: list[tuple[str, int]],
) -> None:
    async def play() -> None:
        clock, quota = ManualClock(), sliding()
        model, held = Model(quota), list[Reservation]()
        store = open_store("limits+memory://", clock)
        for number, (step, value) in enumerate(steps):
            if step == "advance":
                clock.advance(us=value)
            elif step == "reserve":
                decision = await store.reserve(charge(quota, value, f"call-{number}"))
                fits = value <= quota.limit - model.used(clock.now)
                assert decision.admitted == fits
                if decision.reservation:
                    held.append(decision.reservation)
                    model.add(clock.now, value)
            elif held:
                reservation = held.pop(value % len(held))
                difference = value - reservation.held[0]
                model.add(clock.now if difference > 0 else reservation.at, difference)
                assert await store.settle(reservation, (value,)) is Settled.DONE
            (left, _), *_ = await store.peek("caller", (quota,))
            assert left == quota.limit - model.used(clock.now)
        await store.aclose()

    asyncio.run(play())


@pytest.mark.anyio
async def test_a_refused_call_is_admitted_after_its_wait_and_not_before() -> None:
    clock, quota = ManualClock(), sliding()
    store = open_store("limits+memory://", clock)
    clock.advance(20)
    assert (await store.reserve(charge(quota, 8 * MICRO, "first"))).admitted
    clock.advance(50)
    refused = await store.reserve(charge(quota, 7 * MICRO, "second"))
    assert refused.wait > 0
    clock.advance(us=refused.wait - 1)
    assert not (await store.reserve(charge(quota, 7 * MICRO, "third"))).admitted
    clock.advance(us=1)
    assert (await store.reserve(charge(quota, 7 * MICRO, "fourth"))).admitted
    await store.aclose()


@pytest.mark.anyio
async def test_a_call_that_outlives_its_window_is_refunded_to_it_and_to_no_other() -> None:
    clock, quota = ManualClock(), sliding()
    store = open_store("limits+memory://", clock)
    first = (await store.reserve(charge(quota, 6 * MICRO, "first"))).reservation
    long = (await store.reserve(charge(quota, 4 * MICRO, "long"))).reservation
    clock.advance(90)  # the stretch before still counts, by half
    assert (await store.reserve(charge(quota, 3 * MICRO, "second"))).admitted
    assert first
    assert long
    assert await store.settle(first, (0,)) is Settled.DONE
    assert await store.peek("caller", (quota,)) == ((5 * MICRO, 90 * SECOND),)
    clock.advance(60)
    assert await store.settle(long, (0,)) is Settled.DONE
    assert await store.peek("caller", (quota,)) == ((8_500_000, 30 * SECOND),)
    await store.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize(("window", "seconds"), [(1, 1), (SECOND + 1, 2), (2 * SECOND, 2)])
async def test_a_part_of_a_second_is_rounded_up(window: int, seconds: int) -> None:
    clock, quota = ManualClock(), sliding(window=window)
    store = open_store("limits+memory://", clock)
    assert (await store.reserve(charge(quota, MICRO, "call"))).admitted
    assert await store.peek("caller", (quota,)) == ((9 * MICRO, 2 * seconds * SECOND),)
    await store.aclose()


@pytest.mark.anyio
async def test_memcached_counts_in_windows_longer_than_it_keeps_anything_by_seconds(
    memcached_servers: Servers[Memcached],
) -> None:
    server = memcached_servers()
    clock = ManualClock(2_114_380_800 * SECOND)  # later than any machine's now, in 2037
    quota = sliding(window=30 * 86_400 * SECOND)
    store = open_store(server.url, clock)
    for number in range(10):
        assert (await store.reserve(charge(quota, MICRO, f"call-{number}"))).admitted
    assert not (await store.reserve(charge(quota, MICRO, "one more"))).admitted
    await store.aclose()


# -- Rolling --------------------------------------------------------------------------------------


class Rolls:
    """A store on a Redis server whose clock goes with ours."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.clock = ManualClock()
        self.store = open_store(StoreSettings(f"limits+{server.url}"), self.clock)
        self._passed = 0.0

    def advance(self, seconds: float) -> None:
        self._passed += seconds
        self.server.set_clock(self._passed)
        self.clock.advance(seconds)


@pytest.mark.anyio
async def test_on_redis_a_wait_is_never_too_short_and_hardly_too_long(
    redis_servers: Servers[RedisServer], faketime: None
) -> None:
    rolls, quota = Rolls(redis_servers(faketime=True)), sliding()
    store = rolls.store
    assert (await store.reserve(charge(quota, 8 * MICRO, "first"))).admitted
    rolls.advance(70)
    refused = await store.reserve(charge(quota, 7 * MICRO, "second"))
    assert refused.wait > 0
    rolls.advance(refused.wait / SECOND - 5)
    assert not (await store.reserve(charge(quota, 7 * MICRO, "third"))).admitted
    rolls.advance(5)
    assert (await store.reserve(charge(quota, 7 * MICRO, "fourth"))).admitted
    await store.aclose()


@pytest.mark.anyio
async def test_on_redis_what_an_ended_window_held_is_not_taken_off_the_next(
    redis_servers: Servers[RedisServer], faketime: None
) -> None:
    rolls, quota = Rolls(redis_servers(faketime=True)), sliding()
    store = rolls.store
    long = (await store.reserve(charge(quota, 8 * MICRO, "long"))).reservation
    assert long
    rolls.advance(90)
    assert (await store.reserve(charge(quota, 4 * MICRO, "next"))).admitted
    before = (await store.peek("caller", (quota,)))[0][0]
    assert await store.settle(long, (0,)) is Settled.DONE
    after = (await store.peek("caller", (quota,)))[0][0]
    assert 0 <= after - before < MICRO // 2, "expected only time to change what is left"
    rolls.advance(120)
    assert await store.peek("caller", (quota,)) == ((10 * MICRO, 0),)
    await store.aclose()


@pytest.mark.anyio
async def test_on_redis_a_server_that_lost_its_data_gets_no_refunds(
    redis_servers: Servers[RedisServer],
) -> None:
    server, quota = redis_servers(), sliding(window=3_600 * SECOND)
    store = open_store(f"limits+{server.url}", ManualClock())
    reservation = (await store.reserve(charge(quota, 8 * MICRO, "first"))).reservation
    assert reservation
    server.flush()
    assert await store.settle(reservation, (0,)) is Settled.DONE
    assert await store.peek("caller", (quota,)) == ((10 * MICRO, 0),)
    await store.aclose()


# MongoDB has no server here. What is checked is what its storage is asked for, not what it does.


def mongodb(
    clock: ManualClock, *found: tuple[int, float, int, float]
) -> tuple[RollingCounters, Any]:
    storage = create_autospec(MongoDBStorage, instance=True)
    storage.get_sliding_window.side_effect = found
    storage.acquire_sliding_window_entry.return_value = True
    return RollingCounters(storage, clock), storage.acquire_sliding_window_entry


@pytest.mark.anyio
async def test_mongodb_charges_within_the_limit_and_debt_beyond_it() -> None:
    rolling, acquire = mongodb(ManualClock(START), (4, 30.0, 2, 90.0))
    seen = await rolling.read("key", MINUTE)
    assert (seen.current, seen.previous, seen.used) == (2, 4, 5)
    assert await rolling.charge(seen, 5, 10)
    await rolling.charge_debt("key", MINUTE, 7)
    assert [call.args for call in acquire.call_args_list] == [
        ("key", 10, MINUTE, 5),
        ("key", ANYTHING, MINUTE, 7),
    ]


@pytest.mark.anyio
async def test_mongodb_refunds_the_window_that_was_charged() -> None:
    clock = ManualClock(START)
    rolling, acquire = mongodb(clock, (0, 0.0, 0, 0.0), (0, 0.0, 5, 80.0), (0, 0.0, 2, 80.0))
    window = await rolling.charge(await rolling.read("key", MINUTE), 5, 10)
    assert window
    clock.advance(40)
    await rolling.refund(window, 3)
    assert [call.args[3] for call in acquire.call_args_list] == [5, -3]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("passed", "found"),
    [
        (59.5, ()),  # the stretch ends within a second
        (70, ()),  # it has ended
        (40, [(0, 0.0, 5, 110.0)]),  # another has running meanwhile
        (40, [(0, 0.0, 0, 0.0)]),  # all was lost
        (40, [(0, 0.0, 0, 80.0)]),  # it was emptied
    ],
)
async def test_mongodb_refunds_no_other_window(
    passed: float, found: list[tuple[int, float, int, float]]
) -> None:
    clock = ManualClock(START)
    rolling, acquire = mongodb(clock, (0, 0.0, 0, 0.0), *found)
    window = await rolling.charge(await rolling.read("key", MINUTE), 5, 10)
    assert window
    clock.advance(passed)
    await rolling.refund(window, 3)
    assert [call.args[3] for call in acquire.call_args_list] == [5]


@pytest.mark.anyio
async def test_mongodb_refunds_nothing_that_was_charged_as_windows_changed() -> None:
    clock = ManualClock(START)
    rolling, acquire = mongodb(clock, (0, 0.0, 1, 62.0))
    seen = await rolling.read("key", MINUTE)
    clock.advance(3)
    window = await rolling.charge(seen, 5, 10)
    assert window
    await rolling.refund(window, 5)
    assert [call.args[3] for call in acquire.call_args_list] == [5]


@pytest.mark.anyio
async def test_a_counter_that_another_refund_emptied_is_not_left_below_zero() -> None:
    clock = ManualClock(START)
    rolling, acquire = mongodb(clock, (0, 0.0, 0, 0.0), (0, 0.0, 5, 120.0), (0, 0.0, -3, 120.0))
    window = await rolling.charge(await rolling.read("key", MINUTE), 5, 10)
    assert window
    await rolling.refund(window, 3)
    assert [call.args[3] for call in acquire.call_args_list] == [5, -3, 3]


@pytest.mark.anyio
async def test_a_mongodb_that_does_not_answer_is_reported_without_its_password() -> None:
    url = "mongodb://user:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=20"
    store = open_store(url, ManualClock())
    assert isinstance(store, LimitsStore)
    with pytest.raises(StoreError, match=r"^mongodb:// cannot answer now \(\w+\)$"):
        await store.reserve(charge(sliding(), MICRO, "call"))
    await store.aclose()
