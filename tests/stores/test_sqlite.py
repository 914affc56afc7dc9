from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from querybudget.backends import SCHEMES
from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Charge, Line, Settled
from querybudget.stores import Declares, Starts, open_store
from querybudget.stores.sqlite.file import AccountFile
from querybudget.stores.sqlite.store import SqliteStore
from querybudget.testing import ManualClock
from querybudget.testing.contracts.fixtures import seen
from querybudget.units import MICRO, SECOND, Algorithm, Micros, Quota, Unit
from tests.stores.sqlite_fixture import BREADTH, HOLD, MINUTE, RPM, SLOTS, SqliteFixture, locked

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budgets.db"


# -- What outlives a process ----------------------------------------------------------------------


async def test_accounts_survive_a_restart(path: Path) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("known")
    lease = await fixture.open("known", quota=SLOTS)
    await fixture.answered("known", quota=BREADTH, observation=seen(7))
    await fixture.reopen()
    left = [await fixture.left("known", quota) for quota in (RPM, SLOTS, BREADTH)]
    assert left == [9, 1, 39]
    assert await fixture.settle(lease, 0) is Settled.DONE
    assert await fixture.left("known", SLOTS) == 2
    await fixture.store.aclose()


async def test_nothing_is_read_or_written_before_the_first_use(path: Path) -> None:
    fixture = SqliteFixture(path)
    assert fixture.size() is None
    await fixture.store.start()
    assert fixture.size()
    await fixture.store.start()
    await fixture.store.aclose()


async def test_a_closed_store_opens_again_at_its_next_use(path: Path) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("known")
    await fixture.store.aclose()
    await fixture.store.aclose()
    assert await fixture.left("known") == 9
    await fixture.store.aclose()


def test_its_guarantees_are_declared(path: Path) -> None:
    store = SqliteStore(path, ManualClock())
    assert isinstance(store, Declares)
    assert isinstance(store, Starts)
    assert store.guarantees == SCHEMES["sqlite"]
    assert store.suspends


async def test_a_debt_beyond_the_latest_moment_is_kept(path: Path) -> None:
    year = 366 * 24 * 60 * MINUTE
    tiny = Quota("tiny", Unit.TOKENS, 1, year, Algorithm.SLIDING, 1)
    fixture = SqliteFixture(path)
    assert (
        await fixture.settle(await fixture.open("a", quota=tiny, amount=1), 2**53) is Settled.DONE
    )
    assert (await fixture.store.peek("a", [tiny]))[0][0] == 1 - (2**53 - 1)
    assert not (await fixture.reserve("a", quota=tiny, amount=1)).admitted
    await fixture.store.aclose()


# -- Threads, loops and processes -----------------------------------------------------------------


async def test_the_event_loop_is_not_blocked_while_another_process_holds_the_lock(
    path: Path,
) -> None:
    fixture = SqliteFixture(path)
    await fixture.store.start()
    with locked(path) as other:
        asking = asyncio.ensure_future(fixture.reserve("caller"))
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert not asking.done()
        other.rollback()
    assert (await asking).admitted
    await fixture.store.aclose()


async def test_what_a_cancelled_caller_started_is_finished(path: Path) -> None:
    fixture = SqliteFixture(path)
    reservation = await fixture.open("caller", quota=SLOTS)
    with locked(path) as other:
        settling = asyncio.ensure_future(fixture.settle(reservation, 0))
        await asyncio.sleep(0)
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling
        other.rollback()
    assert await fixture.left("caller", SLOTS) == 2
    await fixture.store.aclose()


async def test_a_failure_that_no_caller_waits_for_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fixture = SqliteFixture(path, busy=0)
    await fixture.store.start()
    with locked(path):
        asking = asyncio.ensure_future(fixture.reserve("caller"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await fixture.store.aclose()
    assert "the caller had stopped waiting: SQLite file" in caplog.text
    assert "is locked by another process" in caplog.text


async def test_closing_waits_for_the_work_under_way(path: Path) -> None:
    fixture = SqliteFixture(path)
    asking = [asyncio.ensure_future(fixture.reserve(f"caller-{index}")) for index in range(20)]
    await asyncio.sleep(0)
    await fixture.store.aclose()
    await asyncio.sleep(0)
    assert [task.done() for task in asking] == [True] * 20
    assert len(fixture.rows()) == 20


def test_several_event_loops_use_it_one_after_the_other(path: Path) -> None:
    fixture = SqliteFixture(path)
    for _ in range(3):
        asyncio.run(fixture.answered("known"))
    assert asyncio.run(fixture.left("known")) == 7
    asyncio.run(fixture.store.aclose())


def test_event_loops_in_several_threads_use_it_together(path: Path) -> None:
    store = SqliteStore(path, ManualClock())
    admitted: list[bool] = []

    async def ask(name: str) -> None:
        for index in range(10):
            charge = Charge(f"{name}-{index}", (Line("caller", RPM, MICRO, MICRO),), HOLD)
            admitted.append((await store.reserve(charge)).admitted)

    threads = [threading.Thread(target=asyncio.run, args=(ask(name),)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 10
    asyncio.run(store.aclose())


@pytest.mark.parametrize("fails", [False, True])
def test_an_event_loop_may_end_before_the_answer(
    path: Path, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    started, go_on = threading.Event(), threading.Event()
    failures = [StoreError("too late")] if fails else []
    clock = ManualClock()

    def slow() -> Micros:
        started.set()
        assert go_on.wait(60)
        if failures:
            raise failures.pop()
        return clock()

    store = SqliteStore(path, slow)

    async def leave() -> None:
        charge = Charge("lost", (Line("caller", RPM, MICRO, MICRO),), HOLD)
        asking = asyncio.ensure_future(store.reserve(charge))
        await asyncio.to_thread(started.wait, 60)
        asking.cancel()

    asyncio.run(leave())
    go_on.set()
    left = asyncio.run(store.peek("caller", [RPM]))[0][0] // MICRO
    assert left == (10 if fails else 9)
    assert ("too late" in caplog.text) is fails
    asyncio.run(store.aclose())


WORKER = """
import asyncio, sys
from querybudget.ledger import Charge, Line
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit
from querybudget.stores.sqlite.store import SqliteStore
from querybudget.testing import ManualClock
from querybudget.testing.contracts.fixtures import seen

path, name, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
quota = Quota("rpm", Unit.REQUESTS, limit * MICRO, 60 * SECOND, Algorithm.SLIDING, limit * MICRO)
line = Line("caller", quota, MICRO, MICRO)

async def main():
    store = SqliteStore(path, ManualClock(), busy=60 * SECOND)
    print("ready", flush=True)
    sys.stdin.readline()
    charges = [Charge(f"{name}-{index}", (line,), SECOND) for index in range(2 * limit)]
    decisions = await asyncio.gather(*(store.reserve(charge) for charge in charges))
    print(sum(decision.admitted for decision in decisions))
    await store.aclose()

asyncio.run(main())
"""


def test_of_many_processes_exactly_n_calls_are_admitted(path: Path) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(path, f"{index}", 40)) for index in range(4)]
        for one in workers:
            assert one.stdout
            assert one.stdout.readline() == "ready\n"
        for one in workers:
            assert one.stdin
            one.stdin.write("go\n")
            one.stdin.flush()
        admitted = [int(one.communicate()[0]) for one in workers]
    assert sum(admitted) == 40
    assert [one.returncode for one in workers] == [0] * 4


def worker(path: Path, name: str, limit: int) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WORKER, str(path), name, str(limit)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_child_opens_the_file_anew_and_its_parent_goes_on(path: Path) -> None:
    fixture = SqliteFixture(path)
    asyncio.run(fixture.answered("known"))
    assert fixture.store._file._connection
    child = forked(lambda: asyncio.run(fixture.answered("known")))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(fixture.answered("known"))
    assert asyncio.run(fixture.left("known")) == 7
    asyncio.run(fixture.store.aclose())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_nothing_is_open_in_a_child_at_the_moment_of_the_fork(path: Path) -> None:
    fixture = SqliteFixture(path)
    asyncio.run(fixture.answered("known"))

    def look() -> None:
        assert fixture.store._file._connection is None
        assert fixture.store._worker._executor is None

    child = forked(look)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(fixture.store.aclose())


def forked(work: Callable[[], None]) -> int:
    with warnings.catch_warnings():
        # From 3.12 on: a process with threads should not fork. That it may is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


# -- URLs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///budgets.db", Path.cwd() / "budgets.db"),
        ("sqlite:///a%20folder/x.db?busy=2s", Path.cwd() / "a folder" / "x.db"),
        ("sqlite:////var/lib/x.db", Path("/var/lib/x.db")),
    ],
)
def test_a_url_names_a_file(url: str, file: Path) -> None:
    store = open_store(url, ManualClock())
    assert isinstance(store, SqliteStore)
    assert store.path == file


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "names no file: expected one such as .* use memory://"),
        ("sqlite:///", "use memory://"),
        ("sqlite:///:memory:", "use memory://"),
        ("sqlite://:memory:", "use memory://"),
        ("sqlite://budgets.db", r"Did you mean sqlite:///budgets\.db\?"),
        ("sqlite://var/x.db", r"has a host, 'var'.* Did you mean sqlite:///var/x\.db\?"),
        ("sqlite:///x.db?bussy=2s", r"setting 'bussy' \(did you mean `busy`\?\)"),
        ("sqlite:///x.db?wal=1", "has an unknown setting 'wal': expected one of busy"),
        ("sqlite:///x.db?busy=", "has an invalid `busy`: "),
    ],
)
def test_a_url_that_names_none_says_what_was_expected(url: str, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        open_store(url, ManualClock())


async def test_a_url_says_how_long_to_wait_for_a_lock(path: Path) -> None:
    store = open_store(f"sqlite:///{path}?busy=1ms", ManualClock())
    assert await store.peek("a", [RPM])
    with locked(path), pytest.raises(StoreError, match=r"for longer than 0\.001 s"):
        await store.forget("a")
    await store.aclose()


def test_a_file_that_nobody_closes_is_closed_with_the_last_reference_to_it(path: Path) -> None:
    file = AccountFile(path, SECOND, None)
    connection = file.open()
    del file
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
