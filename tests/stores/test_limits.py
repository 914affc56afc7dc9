from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from querybudget.backends import StoreSettings
from querybudget.errors import StoreError
from querybudget.ledger import (
    UNCHARGED,
    Charge,
    Decision,
    Line,
    Reservation,
    Settled,
    Verdict,
)
from querybudget.stores import open_store
from querybudget.stores.limits.store import LimitsStore
from querybudget.testing import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Micros, Millionths, Quota, Unit
from tests.servers.process import PATIENCE

pytestmark = pytest.mark.anyio

N = 10
HOUR = 3_600 * SECOND
HOLD = 600 * SECOND
LARGEST = 2**53 - 1


def sliding(limit: int = N * MICRO, name: str = "budget", window: int = HOUR) -> Quota:
    return Quota(name, Unit.TOKENS, limit, window, Algorithm.SLIDING, limit)


def line(quota: Quota, amount: int = MICRO, *, partition: str = "caller", **more: Any) -> Line:
    return Line(partition, quota, amount, more.pop("minimum", amount), **more)


class ServersClock(ManualClock):
    """Goes on as Redis's clock does: a window is refunded only if both agree on its end."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic_ns()

    def __call__(self) -> Micros:
        return Micros(self.now + (time.monotonic_ns() - self._began) // 1_000)


@dataclass
class Bench:
    store: LimitsStore
    clock: ManualClock
    count: int = 0

    async def reserve(self, *lines: Line, price: int = MICRO, hold: int = HOLD) -> Decision:
        self.count += 1
        return await self.store.reserve(
            Charge(f"call-{self.count}", lines, hold, Millionths(price))
        )

    async def admitted(self, *lines: Line, price: int = MICRO, hold: int = HOLD) -> Reservation:
        decision = await self.reserve(*lines, price=price, hold=hold)
        assert decision.reservation, f"expected to be admitted, found {decision}"
        return decision.reservation

    async def left(self, quota: Quota, partition: str = "caller") -> int:
        return (await self.store.peek(partition, (quota,)))[0][0]


def opened(url: str, clock: ManualClock) -> LimitsStore:
    store = open_store(StoreSettings(url, prefix="tests"), clock)
    assert isinstance(store, LimitsStore)
    return store


REAL = pytest.mark.real_server


@pytest.fixture(
    params=[
        "memory",
        pytest.param("memcached", marks=REAL),
        pytest.param("redis", marks=REAL),
    ]
)
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "limits+memory://"
    server = request.getfixturevalue(f"{request.param}_server")
    server.flush()
    found: str = server.url
    return found if request.param == "memcached" else f"limits+{found}"


@pytest.fixture
async def bench(url: str) -> AsyncIterator[Bench]:
    clock = ServersClock() if "redis" in url else ManualClock()
    store = opened(url, clock)
    yield Bench(store, clock)
    await store.aclose()


async def test_exactly_n_of_2n_concurrent_calls_are_admitted(bench: Bench) -> None:
    quota = sliding()
    decisions = await asyncio.gather(*(bench.reserve(line(quota)) for _ in range(2 * N)))
    assert sum(decision.admitted for decision in decisions) == N
    assert await bench.left(quota) == 0


async def test_of_several_budgets_none_stays_charged_for_a_refused_call(bench: Bench) -> None:
    lines = [
        line(sliding(2 * N * MICRO, "wide"), partition="one"),
        line(sliding(N * MICRO, "tight"), partition="two"),
        line(sliding(3 * N * MICRO, "wider"), partition="three"),
    ]
    decisions = await asyncio.gather(*(bench.reserve(*lines) for _ in range(2 * N)))
    admitted = sum(decision.admitted for decision in decisions)
    assert admitted == N
    left = [await bench.left(line.quota, line.partition) for line in lines]
    assert left == [line.quota.limit - N * MICRO for line in lines]


async def test_a_refusal_consumes_nothing(bench: Bench) -> None:
    quota, other = sliding(), sliding(name="other")
    first = await bench.admitted(line(quota, 8 * MICRO))
    for _ in range(5):
        refused = await bench.reserve(line(other), line(quota, 3 * MICRO))
        assert (refused.verdict, refused.violated) == (Verdict.WAIT, ("budget",))
    assert await bench.left(quota) == 2 * MICRO
    assert await bench.left(other) == 10 * MICRO
    assert await bench.store.settle(first, (0,)) is Settled.DONE
    await bench.admitted(line(quota, 10 * MICRO))


async def test_settle_replaces_what_was_held_by_what_was_used(bench: Bench) -> None:
    quota = sliding()
    reservation = await bench.admitted(line(quota, 9 * MICRO))
    assert await bench.store.settle(reservation, (2 * MICRO + 1,)) is Settled.DONE
    assert await bench.left(quota) == 8 * MICRO - 1


async def test_only_what_is_left_is_held_and_more_use_is_debt(bench: Bench) -> None:
    quota = sliding()
    first = await bench.admitted(line(quota, 30 * MICRO, minimum=MICRO))
    assert first.held == (10 * MICRO,)
    assert await bench.store.settle(first, (15 * MICRO,)) is Settled.DONE
    assert await bench.left(quota) == -5 * MICRO
    refused = await bench.reserve(line(quota, 0))
    assert refused.verdict is Verdict.WAIT


async def test_what_holds_nothing_is_charged_what_it_used(bench: Bench) -> None:
    quota = sliding()
    reservation = await bench.admitted(line(quota, 0))
    assert await bench.left(quota) == 10 * MICRO
    assert await bench.store.settle(reservation, (4 * MICRO,)) is Settled.DONE
    assert await bench.left(quota) == 6 * MICRO


@pytest.mark.parametrize("used", [0, 4 * MICRO, 12 * MICRO])
async def test_settling_twice_changes_nothing(bench: Bench, used: int) -> None:
    quota = sliding()
    await bench.admitted(line(quota))
    reservation = await bench.admitted(line(quota, 5 * MICRO))
    settles = (bench.store.settle(reservation, (used,)) for _ in range(5))
    settled = await asyncio.gather(*settles)
    assert sorted(one.name for one in settled) == ["DONE", *["REPEATED"] * 4]
    assert await bench.left(quota) == 9 * MICRO - used


@pytest.mark.parametrize(("used", "more"), [(0, 0), (5 * MICRO, 0), (7 * MICRO, 2 * MICRO)])
async def test_a_late_settle_charges_only_overshoot(bench: Bench, used: int, more: int) -> None:
    quota = sliding()
    reservation = await bench.admitted(line(quota, 5 * MICRO), hold=SECOND)
    bench.clock.advance(1)
    left = await bench.left(quota)
    assert await bench.store.settle(reservation, (used,)) is Settled.LATE
    assert await bench.left(quota) == left - more
    assert await bench.store.settle(reservation, (used,)) is Settled.REPEATED


async def test_partitions_are_independent(bench: Bench) -> None:
    quota = sliding(MICRO)
    await bench.admitted(line(quota, partition="one"))
    await bench.admitted(line(quota, partition="two with\nspaces, " + 300 * "long"))
    assert not (await bench.reserve(line(quota, partition="one"))).admitted


async def test_another_limit_keeps_what_was_used(bench: Bench) -> None:
    for _ in range(3):
        await bench.admitted(line(sliding()))
    assert await bench.left(sliding(4 * MICRO)) == MICRO


async def test_the_largest_limit_is_kept_to_the_last_millionth(bench: Bench) -> None:
    quota = sliding(LARGEST)
    reservation = await bench.admitted(line(quota, LARGEST - 1))
    assert await bench.left(quota) == 1
    assert not (await bench.reserve(line(quota, 2))).admitted
    assert await bench.store.settle(reservation, (LARGEST - 3,)) is Settled.DONE
    assert await bench.left(quota) == 3


async def test_a_charge_above_the_limit_is_not_told_to_wait(bench: Bench) -> None:
    decision = await bench.reserve(line(sliding(), 10 * MICRO + 1))
    assert (decision.verdict, decision.wait) == (Verdict.NEVER, 0)
    await bench.admitted(line(sliding(), 10 * MICRO))


async def test_price_scales_and_rounds_up_when_held_and_when_settled(bench: Bench) -> None:
    quota = sliding()
    reservation = await bench.admitted(line(quota, 2 * MICRO + 1), price=1_500_000)
    assert reservation.held == (3 * MICRO + 2,)
    assert await bench.store.settle(reservation, (3,)) is Settled.DONE
    assert await bench.left(quota) == 10 * MICRO - 5


async def test_a_shadow_line_never_refuses_and_holds_what_it_would(bench: Bench) -> None:
    shadow = line(sliding(2 * MICRO, "shadow"), shadow=True)
    real = line(sliding(5 * MICRO, "real"))
    reservations = [await bench.admitted(shadow, real) for _ in range(5)]
    assert await bench.left(shadow.quota) == 0
    assert await bench.left(real.quota) == 0
    assert await bench.store.settle(reservations[4], (9 * MICRO, 0)) is Settled.DONE
    assert await bench.left(shadow.quota) == 0
    decision = await bench.reserve(shadow, real)
    assert decision.admitted
    assert (decision.shadowed, decision.violated) == (("shadow",), ())
    decision = await bench.reserve(shadow, real)
    assert (decision.shadowed, decision.violated) == (("shadow",), ("real",))


async def test_a_status_says_what_is_left_as_peek_does(bench: Bench) -> None:
    quotas = [sliding(limit * MICRO, f"{limit}") for limit in (4, 8)]
    decision = await bench.reserve(*(line(quota) for quota in quotas))
    promises = [(status.remaining, status.reset) for status in decision.lines]
    found = await bench.store.peek("caller", quotas)
    assert [remaining for remaining, _ in promises] == [3 * MICRO, 7 * MICRO]
    assert [remaining for remaining, _ in found] == [3 * MICRO, 7 * MICRO]
    for (_, promised), (_, left) in zip(promises, found, strict=True):
        assert 0 < left <= 2 * HOUR + SECOND
        assert abs(promised - left) < SECOND


async def test_peek_at_an_unknown_partition_finds_the_whole_limit_and_writes_nothing(
    bench: Bench,
) -> None:
    assert await bench.store.peek("stranger", [sliding()]) == ((10 * MICRO, 0),)
    assert not await bench.store.forget("stranger")


async def test_a_forgotten_account_starts_empty_and_settles_nothing(bench: Bench) -> None:
    quota = sliding()
    reservation = await bench.admitted(line(quota))
    shared = await bench.admitted(line(quota), line(quota, partition="other"))
    assert await bench.store.forget("caller")
    assert await bench.store.settle(reservation, (20 * MICRO,)) is Settled.REPEATED
    assert await bench.store.settle(shared, (20 * MICRO, 3 * MICRO)) is Settled.DONE
    assert not await bench.store.forget("caller")
    assert await bench.left(quota) == 10 * MICRO
    assert await bench.left(quota, "other") == 7 * MICRO


@pytest.mark.parametrize("kind", [kind for kind in Algorithm if kind is not Algorithm.SLIDING])
async def test_other_windows_are_refused_by_name(bench: Bench, kind: Algorithm) -> None:
    quota = Quota("odd", Unit.TOKENS, MICRO, HOUR, kind, MICRO)
    with pytest.raises(ValueError, match=f"found {kind} in budget 'odd'"):
        await bench.reserve(line(sliding()), line(quota))
    with pytest.raises(ValueError, match="odd"):
        await bench.store.peek("caller", [quota])
    assert await bench.left(sliding()) == 10 * MICRO


async def test_it_starts_and_closes_twice(bench: Bench) -> None:
    await bench.store.start()
    await bench.store.start()
    await bench.store.aclose()
    await bench.store.aclose()


class Stuck:
    """The store's windows, which stop or fail before the charge of one key."""

    def __init__(self, bench: Bench, key: str, error: Exception | None = None) -> None:
        self.inner: Any = bench.store._counters
        self.key = key
        self.error = error
        self.reached = asyncio.Event()
        self.gave = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def charge(self, seen: Any, amount: int, limit: int) -> Any:
        if seen.window.key == self.key:
            self.reached.set()
            if self.error:
                raise self.error
            await asyncio.Event().wait()
        return await self.inner.charge(seen, amount, limit)

    async def refund(self, window: Any, amount: int) -> None:
        await self.inner.refund(window, amount)
        self.gave.set()


def stick(bench: Bench, second: Line, error: Exception | None = None) -> Stuck:
    key = bench.store._key(second.partition, second.quota.key, second.quota.window // SECOND)
    stuck = Stuck(bench, key, error)
    vars(bench.store._storages.get())["counters"] = stuck
    return stuck


async def test_a_call_cancelled_part_of_the_way_is_refunded_what_it_was_charged(
    bench: Bench,
) -> None:
    first, second = line(sliding(name="first")), line(sliding(name="second"))
    stuck = stick(bench, second)
    task = asyncio.create_task(bench.reserve(first, second))
    await asyncio.wait_for(stuck.reached.wait(), PATIENCE)
    assert await bench.left(first.quota) == 9 * MICRO
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(stuck.gave.wait(), PATIENCE)
    assert await bench.left(first.quota) == 10 * MICRO
    assert await bench.left(second.quota) == 10 * MICRO


async def test_a_partial_failure_raises_and_refunds_what_was_charged(bench: Bench) -> None:
    first, second = line(sliding(name="first")), line(sliding(name="second"))
    stuck = stick(bench, second, OSError("broken, and the password is hunter2"))
    with pytest.raises(StoreError, match=r"^(limits\+)?\w+:// cannot answer now \(OSError\)$"):
        await bench.reserve(first, second)
    await asyncio.wait_for(stuck.gave.wait(), PATIENCE)
    assert await bench.left(first.quota) == 10 * MICRO


async def test_a_call_that_others_overtake_each_time_is_refused_with_a_short_wait(
    bench: Bench,
) -> None:
    first, second = line(sliding(name="first")), line(sliding(name="second"))
    inner: Any = bench.store._counters

    class Beaten(Stuck):
        async def charge(self, seen: Any, amount: int, limit: int) -> Any:
            return None if seen.window.key == self.key else await inner.charge(seen, amount, limit)

    vars(bench.store._storages.get())["counters"] = Beaten(bench, stick(bench, second).key)
    refused = await bench.reserve(first, second)
    assert (refused.verdict, refused.violated) == (Verdict.WAIT, ("second",))
    assert refused.wait == 10_000
    assert await bench.left(first.quota) == 10 * MICRO
    profiled = line(sliding(name="watched"), shadow=True)
    admitted = await bench.reserve(first, profiled, line(second.quota, shadow=True))
    assert admitted.reservation
    assert admitted.shadowed == ("second",)
    assert admitted.reservation.held == (MICRO, UNCHARGED, UNCHARGED)
    assert await bench.left(profiled.quota) == 10 * MICRO


async def test_beyond_max_open_the_oldest_call_stays_charged_at_its_estimate(
    url: str, bench: Bench
) -> None:
    clock = type(bench.clock)()
    few = LimitsStore(StoreSettings(url, prefix="few"), clock, max_open=2)
    try:
        small = Bench(few, clock)
        reservations = [await small.admitted(line(sliding(), 2 * MICRO)) for _ in range(3)]
        settled = [await few.settle(reservation, (0,)) for reservation in reservations]
        assert settled == [Settled.REPEATED, Settled.DONE, Settled.DONE]
        assert await small.left(sliding()) == 8 * MICRO
    finally:
        await few.aclose()


def test_its_guarantees_are_declared(store_of: Callable[[str], LimitsStore]) -> None:
    for url in ("memcached://127.0.0.1:1", "limits+memory://", "mongodb://127.0.0.1:1"):
        store = store_of(url)
        assert store.suspends
        assert store.guarantees.windows == {Algorithm.SLIDING}
        assert not store.guarantees.exact
        assert not store.guarantees.atomic
    assert not store_of("limits+memory://").guarantees.shared
    assert store_of("memcached://127.0.0.1:1").guarantees.shared


@pytest.fixture
def store_of() -> Callable[[str], LimitsStore]:
    return lambda url: opened(url, ManualClock())


async def test_a_call_that_is_renewed_is_settled_in_full_and_not_late(bench: Bench) -> None:
    quota = sliding()
    reservation = await bench.admitted(line(quota, 2 * MICRO))
    bench.clock.advance(us=HOLD * 3 // 4)
    before = bench.clock()
    expires = await bench.store.renew(reservation, HOLD)
    assert before <= expires - HOLD <= bench.clock()
    reservation = replace(reservation, expires=expires)
    bench.clock.advance(us=HOLD * 3 // 4)
    assert await bench.store.settle(reservation, (5 * MICRO,)) is Settled.DONE
    assert await bench.left(quota) == 5 * MICRO
    assert await bench.store.renew(reservation, HOLD) == 0
