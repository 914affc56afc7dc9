"""`StoreConcurrency`: a limit is a limit however many ask, from tasks, threads and processes.

    class TestMyStoreConcurrently(StoreConcurrency):
        def place(self) -> Place:
            return "mystore://..."

Everybody opens the store of one place, looks at it once, waits for all others, and then asks for
everything at the same time. Tests skip what a store declares not to guarantee: one whose reach is
one process is tried among tasks only.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from querybudget.backends import StoreSettings
from querybudget.coverage import Observation
from querybudget.ledger import Charge, Line, Settled
from querybudget.stores import Declares, Store, open_store
from querybudget.testing.clock import ManualClock
from querybudget.testing.contracts.fixtures import skip_undeclared
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

__all__ = ["Place", "StoreConcurrency"]

Place = str | StoreSettings | Callable[[], Store]
"""Where a store is: what `querybudget.stores.open_store` takes, or a function of no arguments that
opens it. Other processes get it pickled, so it has to be a function of a module, or a
`functools.partial` of one."""

MONTH = 30 * 24 * 3_600 * SECOND
"""The window, µs: of a store that goes by real time nothing comes back while a test runs."""

HOLD = 3_600 * SECOND
PATIENCE = 60
"""Seconds after which others are taken not to come any more."""

everywhere = pytest.mark.parametrize("kind", list(Algorithm), ids=str)


_HERE = threading.local()
"""Where the meeting is that the workers of this thread, or of this process, are called to."""


@dataclass(frozen=True)
class Work:
    """What one of several does.

    Attributes:
        place: Where the store is.
        kind: The kind of window.
        limit: Of the quota, in whole units.
        calls: The numbers of its calls.
        settles: Whether each call is settled, or is left open.
    """

    place: Place
    kind: Algorithm
    limit: int
    calls: range
    settles: bool = False

    @property
    def lines(self) -> tuple[Line, Line]:
        """A unit each: of the quota tried, and of one that has room for everybody."""
        return (
            Line("caller", _quota(self.kind, self.limit), MICRO, MICRO),
            Line("side", _quota(Algorithm.SLIDING, 2 * self.limit), MICRO, MICRO),
        )


@dataclass(frozen=True)
class Found:
    """What a worker found: its calls that were admitted; units used of both lines by all."""

    admitted: int
    used: tuple[int, ...]


class StoreConcurrency:
    """Promises among many. Inherit it, and say where the store is.

    Attributes:
        workers: Threads, or processes.
        calls: Calls of all of them; the limit tried admits half of them.
    """

    workers: ClassVar[int] = 4
    calls: ClassVar[int] = 40

    def place(self) -> Place:
        """Where an empty store is. Each test asks once, and expects nothing there."""
        raise NotImplementedError("a store's tests say where it is: define place()")

    # -- Exactly n of 2n --------------------------------------------------------------------------

    @everywhere
    def test_exactly_n_of_2n_calls_of_tasks_are_admitted(self, kind: Algorithm) -> None:
        """Of one event loop, with one store, however they interleave."""
        self._half_are_admitted(self._work(kind, shared=False), _threads(1))

    @everywhere
    def test_exactly_n_of_2n_calls_of_threads_are_admitted(self, kind: Algorithm) -> None:
        """Each with an event loop and a store of its own."""
        self._half_are_admitted(self._work(kind), _threads(self.workers))

    @everywhere
    def test_exactly_n_of_2n_calls_of_processes_are_admitted(self, kind: Algorithm) -> None:
        """Started anew, not forked."""
        self._half_are_admitted(self._work(kind), _processes(self.workers))

    # -- Nothing lost -----------------------------------------------------------------------------

    @everywhere
    def test_what_tasks_settle_at_the_same_time_all_counts(self, kind: Algorithm) -> None:
        """No settle undoes another, or a charge."""
        self._all_is_counted(self._work(kind, shared=False), _threads(1))

    @everywhere
    def test_what_threads_settle_at_the_same_time_all_counts(self, kind: Algorithm) -> None:
        """No settle undoes another, or a charge."""
        self._all_is_counted(self._work(kind), _threads(self.workers))

    @everywhere
    def test_what_processes_settle_at_the_same_time_all_counts(self, kind: Algorithm) -> None:
        """No settle undoes another, or a charge."""
        self._all_is_counted(self._work(kind), _processes(self.workers))

    # -- Inside -----------------------------------------------------------------------------------

    def _work(self, kind: Algorithm, *, shared: bool = True) -> Work:
        """Everything that is to be done, unless the store declares it away."""
        place = self.place()
        store = _opened(place)
        try:
            skip_undeclared(store, (kind, Algorithm.SLIDING), atomic=True, exact=True)
            if shared and isinstance(store, Declares) and not store.guarantees.shared:
                pytest.skip(f"declared in guarantees.reach: it is of one {store.guarantees.reach}")
        finally:
            asyncio.run(store.aclose())
        return Work(place, kind, self.calls // 2, range(self.calls))

    def _half_are_admitted(self, work: Work, pool: _Pool) -> None:
        expected = self.calls // 2
        found = _all(work, pool)
        assert found.admitted == expected, f"expected {expected} admitted, found {found.admitted}"
        assert found.used == (expected, expected), f"expected {expected} used of both, {found}"

    def _all_is_counted(self, work: Work, pool: _Pool) -> None:
        found = _all(replace(work, limit=self.calls, settles=True), pool)
        half = self.calls // 2
        used = 0 if work.kind is Algorithm.LEASE else half
        assert found.admitted == self.calls, f"expected all to be admitted, found {found.admitted}"
        assert found.used == (used, half), f"expected {(used, half)} to be used, found {found.used}"


class _Pool:
    """Workers that begin when all of them are there."""

    def __init__(self, executor: Executor, workers: int) -> None:
        self.executor = executor
        self.workers = workers


def _threads(workers: int) -> _Pool:
    meeting = threading.Barrier(workers, timeout=PATIENCE)
    executor = ThreadPoolExecutor(workers, initializer=_join, initargs=(meeting,))
    return _Pool(executor, workers)


def _processes(workers: int) -> _Pool:
    spawn = multiprocessing.get_context("spawn")
    meeting = spawn.Barrier(workers, timeout=PATIENCE)
    executor = ProcessPoolExecutor(workers, spawn, initializer=_join, initargs=(meeting,))
    return _Pool(executor, workers)


def _join(meeting: threading.Barrier) -> None:
    """Tell a worker where to meet the others."""
    _HERE.meeting = meeting


def _all(work: Work, pool: _Pool) -> Found:
    """What all workers found together; they have to agree on what is used."""
    parts = [
        replace(work, calls=work.calls[first :: pool.workers]) for first in range(pool.workers)
    ]
    with pool.executor as executor:
        futures = [executor.submit(_do, part) for part in parts]
        wait(futures)
    failed = [failure for future in futures if (failure := future.exception())]
    if failed:  # of the others only that somebody did not come
        raise min(failed, key=lambda failure: isinstance(failure, threading.BrokenBarrierError))
    found = [future.result() for future in futures]
    seen = {part.used for part in found}
    assert len(seen) == 1, f"expected all to see the same use, found {seen}"
    return Found(sum(part.admitted for part in found), found[0].used)


def _do(work: Work) -> Found:
    """One worker's part."""
    meeting: threading.Barrier = _HERE.meeting
    try:
        return asyncio.run(_call_all(work, meeting))
    except BaseException:
        meeting.abort()  # nobody else need wait
        raise


async def _call_all(work: Work, meeting: threading.Barrier) -> Found:
    store = _opened(work.place)
    try:
        await _used(store, work)  # whatever is opened at the first use is open now
        meeting.wait()
        admitted = await asyncio.gather(*(_call(store, work, number) for number in work.calls))
        meeting.wait()
        used = await _used(store, work)
        meeting.wait()
        return Found(sum(admitted), used)
    finally:
        await store.aclose()


async def _call(store: Store, work: Work, number: int) -> bool:
    """One call, which visits a bucket of its own; every other one comes to something."""
    observation = Observation((number,)) if work.kind is Algorithm.DISTINCT else None
    decision = await store.reserve(
        Charge(f"call-{number}", work.lines, HOLD, observation=observation)
    )
    if decision.reservation and work.settles:
        used = MICRO * (number % 2)
        settled = await store.settle(decision.reservation, (used, used))
        assert settled is Settled.DONE, f"expected a call to be settled once, found {settled}"
    return decision.admitted


async def _used(store: Store, work: Work) -> tuple[int, ...]:
    """Units used of each line, a part of one counting as one."""
    used: list[int] = []
    for line in work.lines:
        ((left, _),) = await store.peek(line.partition, (line.quota,))
        used.append((line.quota.limit - left + MICRO - 1) // MICRO)
    return tuple(used)


def _opened(place: Place) -> Store:
    return place() if callable(place) else open_store(place, ManualClock())


def _quota(kind: Algorithm, limit: int) -> Quota:
    """`limit` units a month, or at the same time."""
    units = {Algorithm.LEASE: Unit.CONCURRENT, Algorithm.DISTINCT: Unit.BUCKETS}
    return Quota(
        name="budget",
        unit=units.get(kind, Unit.REQUESTS),
        limit=limit * MICRO,
        window=0 if kind is Algorithm.LEASE else MONTH,
        algorithm=kind,
        burst=limit * MICRO,
        bounds=_century if kind is Algorithm.CALENDAR else None,
    )


def _century(_now: int) -> tuple[int, int]:
    """One period that no test sees the end of."""
    return 0, 4_102_444_800 * SECOND
