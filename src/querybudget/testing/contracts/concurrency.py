"""`StoreConcurrency`: limits hold across tasks, threads and processes.

    class TestMyStoreConcurrently(StoreConcurrency):
        def place(self) -> Place:
            return "mystore://..."

Each worker opens the store at one place, uses it once, waits for the others, and then makes all its
calls at once. Tests skip what a store declares not to guarantee: a store whose reach is one process
is tested with tasks only.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import msgspec
import pytest

from querybudget.backends import StoreSettings
from querybudget.ledger import Charge, Line, Settled
from querybudget.stores import Declares, Store, open_store
from querybudget.testing.clock import ManualClock
from querybudget.testing.contracts.fixtures import quota_of, seen, skip_undeclared
from querybudget.units import MICRO, SECOND, Algorithm, Unit

Place = str | StoreSettings | Callable[[], Store]
"""Where a store is: an argument of `querybudget.stores.open_store`, or a function that opens it.

It is pickled for other processes: the function must belong to a module, or be a
`functools.partial` of such a function."""

MONTH = 30 * 24 * 3_600 * SECOND
"""The window, µs: so long that nothing becomes free during a test, even in real time."""

HOLD = 3_600 * SECOND
PATIENCE = 300
"""Seconds that a worker waits for the others."""

SEPARATE = "declare `guarantees.reach` = `process` if each worker has accounts of its own"

Kind = Algorithm | Unit
"""A kind of window, or the unit `buckets`, which needs profiles too."""

every_kind = pytest.mark.parametrize("kind", [*Algorithm, Unit.BUCKETS], ids=str)


_LOCAL = threading.local()
"""Holds the barrier of the worker in this thread or process."""


@dataclass(frozen=True)
class WorkerTask:
    """What one worker does.

    Attributes:
        limit: The limit of the quota, in whole units.
        calls: The numbers of the worker's calls.
        settles: Whether calls are settled or stay open.
        repeats: The numbers of calls that the first worker repeats in the end.
    """

    place: Place
    kind: Kind
    limit: int
    calls: range
    settles: bool = False
    repeats: range = range(0)

    @property
    def lines(self) -> tuple[Line, Line]:
        """One unit of the quota under test, and one of a quota with room for all calls."""
        side = _line("side", Algorithm.SLIDING, 2 * self.limit)
        return _line("caller", self.kind, self.limit), side


@dataclass(frozen=True)
class WorkerResult:
    """How many of a worker's calls were admitted, and the units of both lines used by all.

    `missed` are its calls that a profile lacks, if the store counts them; `new` is how many calls
    that it repeated were on new ground.
    """

    admitted: int
    used: tuple[int, ...]
    missed: int = 0
    new: int = 0


class StoreConcurrency:
    """Tests of concurrent calls. Inherit them, and define `place`.

    Attributes:
        workers: Number of threads or processes.
        calls: Number of calls of all workers; the limit admits half of them.
    """

    workers: ClassVar[int] = 4
    calls: ClassVar[int] = 40

    def place(self) -> Place:
        """Return where an empty store is. Each test calls this once."""
        raise NotImplementedError("a store's tests say where it is: define place()")

    # -- Exactly n of 2n --------------------------------------------------------------------------

    @every_kind
    def test_exactly_n_of_2n_calls_of_tasks_are_admitted(self, kind: Kind) -> None:
        """Tasks share one event loop and one store."""
        self._half_are_admitted(self._task(kind, shared=False), _threads(1))

    @every_kind
    def test_exactly_n_of_2n_calls_of_threads_are_admitted(self, kind: Kind) -> None:
        """Each thread has its own event loop and store."""
        self._half_are_admitted(self._task(kind), _threads(self.workers))

    @every_kind
    def test_exactly_n_of_2n_calls_of_processes_are_admitted(self, kind: Kind) -> None:
        """Processes are spawned, not forked."""
        self._half_are_admitted(self._task(kind), _processes(self.workers))

    # -- Nothing lost -----------------------------------------------------------------------------

    @every_kind
    def test_what_tasks_settle_at_the_same_time_all_counts(self, kind: Kind) -> None:
        self._all_is_counted(self._task(kind, shared=False), _threads(1))

    @every_kind
    def test_what_threads_settle_at_the_same_time_all_counts(self, kind: Kind) -> None:
        self._all_is_counted(self._task(kind), _threads(self.workers))

    @every_kind
    def test_what_processes_settle_at_the_same_time_all_counts(self, kind: Kind) -> None:
        self._all_is_counted(self._task(kind), _processes(self.workers))

    # -- All is known -----------------------------------------------------------------------------

    def test_what_tasks_show_at_the_same_time_is_all_known(self) -> None:
        """A repeat of any of the calls is on known ground."""
        self._all_is_known(self._task(Unit.BUCKETS, shared=False), _threads(1))

    def test_what_threads_show_at_the_same_time_is_all_known(self) -> None:
        """But for calls that the store counts as `missed`, if it has this attribute."""
        self._all_is_known(self._task(Unit.BUCKETS), _threads(self.workers))

    def test_what_processes_show_at_the_same_time_is_all_known(self) -> None:
        self._all_is_known(self._task(Unit.BUCKETS), _processes(self.workers))

    @classmethod
    def teardown_class(cls) -> None:
        """End the processes, which all tests of the class share."""
        _end_processes()

    # -- Inside -----------------------------------------------------------------------------------

    def _task(self, kind: Kind, *, shared: bool = True) -> WorkerTask:
        """Return the task of all workers, or skip the test."""
        place = self.place()
        store = _opened(place)
        try:
            covers = kind is Unit.BUCKETS
            windows = [one for one in (kind, Algorithm.SLIDING) if isinstance(one, Algorithm)]
            skip_undeclared(store, windows, atomic=True, exact=True, profiles=covers)
            if shared and isinstance(store, Declares) and not store.guarantees.shared:
                pytest.skip(f"declared in guarantees.reach: it is of one {store.guarantees.reach}")
        finally:
            asyncio.run(store.aclose())
        return WorkerTask(place, kind, self.calls // 2, range(self.calls))

    def _half_are_admitted(self, task: WorkerTask, pool: _Pool) -> None:
        expected = self.calls // 2
        result = _all(task, pool)
        assert result.admitted == expected, (
            f"expected {expected} admitted, found {result.admitted}; {SEPARATE}"
        )
        assert result.used == (expected, expected), f"expected {expected} used of both, {result}"

    def _all_is_known(self, task: WorkerTask, pool: _Pool) -> None:
        result = _all(replace(task, limit=2 * self.calls, repeats=range(self.calls)), pool)
        assert result.admitted == self.calls, f"expected all admitted, found {result.admitted}"
        assert result.new <= result.missed, f"{result.new} calls are not known: {result}"

    def _all_is_counted(self, task: WorkerTask, pool: _Pool) -> None:
        result = _all(replace(task, limit=self.calls, settles=True), pool)
        half = self.calls // 2
        used = (0 if task.kind is Algorithm.LEASE else half, half)
        assert result.admitted == self.calls, f"expected all admitted, found {result.admitted}"
        assert result.used == used, f"expected {used} to be used, found {result.used}"


class _Pool(NamedTuple):
    """Workers that start together. Those that stay are there for the next test too."""

    executor: Executor
    workers: int
    stays: bool = False


_STAYING: dict[int, _Pool] = {}
"""Processes by their number: to start them takes longer than all else that the tests do."""


def _threads(workers: int) -> _Pool:
    barrier = threading.Barrier(workers, timeout=PATIENCE)
    executor = ThreadPoolExecutor(workers, initializer=_join, initargs=(barrier,))
    return _Pool(executor, workers)


def _processes(workers: int) -> _Pool:
    if workers in _STAYING:
        return _STAYING[workers]
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(workers, timeout=PATIENCE)
    executor = ProcessPoolExecutor(workers, spawn, initializer=_join, initargs=(barrier,))
    pool = _STAYING[workers] = _Pool(executor, workers, stays=True)
    return pool


def _end_processes() -> None:
    while _STAYING:
        _, pool = _STAYING.popitem()
        pool.executor.shutdown()


def _join(barrier: threading.Barrier) -> None:
    """Give a worker the barrier that it meets the others at."""
    _LOCAL.barrier = barrier


def _all(task: WorkerTask, pool: _Pool) -> WorkerResult:
    """Return the result of all workers, which must agree on what is used."""
    parts = [
        replace(task, calls=task.calls[first :: pool.workers]) for first in range(pool.workers)
    ]
    futures = [pool.executor.submit(_do, part) for part in parts]
    wait(futures)
    failed = [failure for future in futures if (failure := future.exception())]
    if not pool.stays:
        pool.executor.shutdown()
    elif failed:  # a barrier that broke stays broken
        _end_processes()
    if failed:  # the others only report a broken barrier
        raise min(failed, key=lambda failure: isinstance(failure, threading.BrokenBarrierError))
    results = [future.result() for future in futures]
    uses = {result.used for result in results}
    assert len(uses) == 1, f"expected all workers to see the same use, found {uses}; {SEPARATE}"
    return WorkerResult(
        sum(result.admitted for result in results),
        results[0].used,
        sum(result.missed for result in results),
        sum(result.new for result in results),
    )


def _do(task: WorkerTask) -> WorkerResult:
    """Do one worker's part."""
    barrier: threading.Barrier = _LOCAL.barrier
    try:
        return asyncio.run(_call_all(task, barrier))
    except BaseException:
        barrier.abort()  # the others stop waiting
        raise


async def _call_all(task: WorkerTask, barrier: threading.Barrier) -> WorkerResult:
    store = _opened(task.place)
    try:
        await _used(store, task)  # opens what is opened at the first use
        barrier.wait()
        admitted = await asyncio.gather(*(_call(store, task, number) for number in task.calls))
        barrier.wait()
        used = await _used(store, task)
        barrier.wait()
        missed: int = getattr(store, "missed", 0)
        new = await _new(store, task) if 0 in task.calls else 0
        return WorkerResult(sum(admitted), used, missed, new)
    finally:
        await store.aclose()


async def _call(store: Store, task: WorkerTask, number: int) -> bool:
    """Make one call with its own bucket. Calls with an odd number use something."""
    decision = await store.reserve(_charge(task, number, f"call-{number}"))
    if decision.reservation and task.settles:
        used = MICRO * (number % 2)
        settled = await store.settle(decision.reservation, (used, used))
        assert settled is Settled.DONE, f"expected a call to be settled once, found {settled}"
    return decision.admitted


async def _new(store: Store, task: WorkerTask) -> int:
    """Repeat calls, and return how many of them are on new ground."""
    new = 0
    for number in task.repeats:
        decision = await store.reserve(_charge(task, number, f"again-{number}"))
        assert decision.reservation, f"expected a repeat to be admitted, found {decision}"
        new += decision.reservation.held[0] > 0
    return new


def _charge(task: WorkerTask, number: int, name: str) -> Charge:
    charge = Charge(name, task.lines, HOLD)
    if task.kind is not Unit.BUCKETS:
        return charge
    return msgspec.structs.replace(charge, observation=seen(number), profiled=("caller", "group"))


async def _used(store: Store, task: WorkerTask) -> tuple[int, ...]:
    """Return the units used of each line, rounded up."""
    used: list[int] = []
    for line in task.lines:
        ((left, _),) = await store.peek(line.partition, (line.quota,))
        used.append((line.quota.limit - left + MICRO - 1) // MICRO)
    return tuple(used)


def _opened(place: Place) -> Store:
    return place() if callable(place) else open_store(place, ManualClock())


def _line(partition: str, kind: Kind, limit: int) -> Line:
    if isinstance(kind, Unit):
        quota = quota_of(Algorithm.SLIDING, limit * MICRO, "breadth", window=MONTH, unit=kind)
    else:
        quota = quota_of(kind, limit * MICRO, window=MONTH, bounds=_century)
    return Line(partition, quota, MICRO, MICRO)


def _century(_now: int) -> tuple[int, int]:
    """Return one period that ends after every test."""
    return 0, 4_102_444_800 * SECOND
