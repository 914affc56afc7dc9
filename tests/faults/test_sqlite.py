"""What a store in a file says, and does afterwards, when its file cannot be used."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Reservation, Settled
from querybudget.stores.sqlite import file as sqlite_file
from querybudget.stores.sqlite.store import SqliteStore
from querybudget.testing import ManualClock
from querybudget.units import MICRO, SECOND
from tests.stores.sqlite_fixture import HOLD, MINUTE, RPM, SLOTS, SqliteFixture, locked

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

posix = pytest.mark.skipif(os.name != "posix", reason="a file in use cannot be taken away here")
MOST_OF_ALL = 600


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budgets.db"


# -- Taken away -----------------------------------------------------------------------------------


def nothing_else(path: Path) -> None:
    path.unlink()


def everything(path: Path) -> None:
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()


def replaced(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))
    path.touch(0o600)


@posix
@pytest.mark.parametrize("take_away", [nothing_else, everything, replaced])
async def test_a_file_deleted_while_open_is_created_again_and_logged_once(
    path: Path, take_away: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("caller")
    lost = await fixture.open("caller")
    take_away(path)
    assert await fixture.settle(lost, MICRO) is Settled.REPEATED
    await fixture.answered("caller")
    await fixture.reopen()
    assert await fixture.left("caller") == 9
    await fixture.store.aclose()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert f"SQLite file {path} was deleted or replaced while it was in use" in messages[0]


@posix
async def test_two_stores_whose_file_is_deleted_share_the_new_one(path: Path) -> None:
    one, other = SqliteFixture(path), SqliteFixture(path)
    other.count = 1_000
    for fixture in (one, other, one):
        await fixture.answered("caller")
    nothing_else(path)
    for fixture in (one, other, one, other):
        await fixture.answered("caller")
    assert [await fixture.left("caller") for fixture in (one, other)] == [6, 6]
    for fixture in (one, other):
        await fixture.store.aclose()


@posix
async def test_a_removed_directory_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    fixture = SqliteFixture(folder / "budgets.db")
    await fixture.answered("caller")
    shutil.rmtree(folder)
    with pytest.raises(StoreError, match=f"there is no directory {folder}: make it"):
        await fixture.reserve("caller")
    folder.mkdir()
    await fixture.answered("caller")
    assert await fixture.left("caller") == 9
    await fixture.store.aclose()


async def test_a_missing_directory_fails_the_start(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "nowhere" / "budgets.db", ManualClock())
    with pytest.raises(SetupError, match=r"there is no directory .*nowhere: make it, or name"):
        await store.start()
    await store.aclose()


async def test_a_directory_in_place_of_the_file_fails_the_start(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, ManualClock())
    with pytest.raises(SetupError, match="is a directory: name a file in it"):
        await store.start()
    await store.aclose()


# -- Locked ---------------------------------------------------------------------------------------


async def test_a_file_locked_for_too_long_is_an_error_until_it_is_released(path: Path) -> None:
    fixture = SqliteFixture(path, busy=1_000)
    reservation = await fixture.open("caller")
    with locked(path):
        for verb in (fixture.reserve("caller"), fixture.settle(reservation, MICRO)):
            with pytest.raises(StoreError, match=r"locked by another process for longer than"):
                await verb
        assert await fixture.left("caller") == 9
    assert await fixture.settle(reservation, 3 * MICRO) is Settled.DONE
    assert await fixture.left("caller") == 7
    await fixture.store.aclose()


async def test_a_call_queued_behind_one_that_waited_in_vain_does_not_wait_again(path: Path) -> None:
    fixture = SqliteFixture(path)
    await fixture.store.start()
    waits: list[bool] = []
    transact = cast("Callable[..., object]", fixture.store._file.transact)

    def noted(begin: str, work: Callable[..., object], *arguments: object, wait: bool) -> object:
        waits.append(wait)
        return transact(begin, work, *arguments, wait=wait)

    fixture.store._file._busy = 1_000
    fixture.store._file.close()
    fixture.store._file.transact = noted  # type: ignore[method-assign, assignment]
    with locked(path):
        asked = [fixture.reserve(f"caller-{index}") for index in range(20)]
        failed = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(error).__base__ for error in failed] == [StoreError] * 20
        assert waits == [True] + [False] * 19
        with pytest.raises(StoreError, match="is locked"):
            await fixture.reserve("later")
    assert waits[20:] == [True]
    assert (await fixture.reserve("later")).admitted
    await fixture.store.aclose()


async def test_a_lock_met_within_a_transaction_leaves_none_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("caller")

    def busy(connection: sqlite3.Connection) -> int:
        monkeypatch.undo()
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    monkeypatch.setattr(sqlite_file, "version_of", busy)
    with pytest.raises(StoreError, match="is locked by another process"):
        await fixture.reserve("caller")
    assert (await fixture.reserve("caller")).admitted
    await fixture.store.aclose()


async def test_a_file_locked_at_the_start_is_not_a_setup_error(path: Path) -> None:
    with locked(path):
        fixture = SqliteFixture(path, busy=1_000)
        with pytest.raises(StoreError, match="is locked by another process"):
            await fixture.store.start()
    await fixture.store.start()
    await fixture.store.aclose()


# -- Full, read-only, damaged ---------------------------------------------------------------------


async def test_a_full_disk_is_an_error_until_there_is_space(path: Path) -> None:
    pages = [MOST_OF_ALL]

    def small(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")

    fixture = SqliteFixture(path, 10_000, prepare=small)
    await fixture.answered("caller")
    await fixture.store.aclose()
    pages[0] = 1  # as small as the file is
    await fixture.answered("caller")
    with pytest.raises(StoreError, match=r"its disk is full \(.*\): free some space"):
        await flood(fixture)
    assert await fixture.left("caller") == 8
    pages[0] = MOST_OF_ALL
    await fixture.open("another")
    assert await fixture.left("caller") == 8
    await fixture.store.aclose()


async def flood(fixture: SqliteFixture) -> None:
    for index in range(1_000):
        await fixture.open(f"{index:0>500}")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the right to write everything, which the tests may have."""
    if os.geteuid():
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that anybody may read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@posix
async def test_a_file_that_is_not_writable_is_an_error_until_it_is(readable: Path) -> None:
    path = readable / "budgets.db"
    fixture = SqliteFixture(path)
    await fixture.answered("caller")
    await fixture.store.aclose()
    for one, mode in ((path, 0o444), (readable, 0o555)):
        one.chmod(mode)
    with as_nobody():
        with pytest.raises(SetupError, match=r"cannot be written \(.*\): let the user"):
            await fixture.store.start()
        with pytest.raises(StoreError, match=r"cannot be written \(.*\): let the user"):
            await fixture.reserve("caller")
    for one, mode in ((readable, 0o755), (path, 0o644)):
        one.chmod(mode)
    await fixture.answered("caller")
    assert await fixture.left("caller") == 8
    await fixture.store.aclose()


def forbid(folder: Path) -> None:
    folder.chmod(0o000)


@posix
async def test_a_directory_that_is_not_readable_fails_the_start(readable: Path) -> None:
    fixture = SqliteFixture(readable / "nothing" / "to see" / "budgets.db")
    forbid(readable)
    with as_nobody(), pytest.raises(SetupError, match=r"cannot be written \(.*\): let the user"):
        await fixture.store.start()
    await fixture.store.aclose()


async def test_a_file_that_is_no_database_fails_the_start_and_is_left_alone(path: Path) -> None:
    fixture = SqliteFixture(path)
    scribble(path, b"Dear diary, today I was no database at all. " * 100)
    before = fixture.content()
    with pytest.raises(SetupError, match=r"is damaged or no database .*: restore it, or move it"):
        await fixture.store.start()
    with pytest.raises(StoreError, match="is damaged or no database"):
        await fixture.left("caller")
    await fixture.store.aclose()
    assert fixture.content() == before


async def test_a_file_damaged_while_it_is_in_use_is_an_error_until_it_is_restored(
    path: Path,
) -> None:
    fixture = SqliteFixture(path)
    await answer(fixture)
    await fixture.store.aclose()
    whole = fixture.content()
    scribble(path, whole[:8192] + bytes(len(whole) - 8192))
    with pytest.raises(StoreError, match=r"is damaged or no database \(.*malformed\)"):
        await answer(fixture)
    await fixture.store.aclose()
    everything(path)
    scribble(path, whole)
    assert await fixture.left("caller-99") == 9
    await fixture.store.aclose()


async def test_an_account_that_cannot_be_read_is_an_error_and_can_be_forgotten(path: Path) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("caller")
    with locked(path) as connection:
        connection.execute("UPDATE accounts SET books = x'93'")
        connection.commit()
    with pytest.raises(
        StoreError, match=r"account of 'caller' cannot be read .*: `forget` resets it"
    ):
        await fixture.reserve("caller")
    await fixture.answered("another")
    assert await fixture.store.forget("caller")
    await fixture.answered("caller")
    await fixture.store.aclose()


async def test_any_other_error_names_the_file(path: Path) -> None:
    broken = [True]

    def prepare(connection: sqlite3.Connection) -> None:
        if broken:
            raise OSError(5, "Input/output error")

    fixture = SqliteFixture(path, prepare=prepare)
    with pytest.raises(StoreError, match=r"cannot be used \(.*Input/output error\): look at its"):
        await fixture.store.start()
    broken.clear()
    await fixture.answered("caller")
    await fixture.store.aclose()


async def answer(fixture: SqliteFixture) -> None:
    for index in range(100):
        await fixture.answered(f"caller-{index}")


def scribble(path: Path, content: bytes) -> None:
    path.write_bytes(content)


# -- Killed, and set back -------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from pathlib import Path
from tests.stores.sqlite_fixture import SLOTS, SqliteFixture

async def main():
    fixture = SqliteFixture(Path(sys.argv[1]))
    await fixture.open("caller", quota=SLOTS)
    await fixture.open("caller", amount=4_000_000)
    print("reserved", flush=True)
    sys.stdin.readline()

asyncio.run(main())
"""


async def test_what_a_killed_process_had_reserved_expires_at_its_estimate(path: Path) -> None:
    killed_after_reserving(path)
    fixture = SqliteFixture(path)
    fixture.clock.advance(us=2)
    assert await fixture.left("caller", SLOTS) == 1
    assert await fixture.left("caller") == 6
    fixture.clock.advance(us=HOLD - 2)
    assert await fixture.left("caller", SLOTS) == 1
    fixture.clock.advance(us=1)
    assert await fixture.left("caller", SLOTS) == 2
    await fixture.answered("caller")
    await fixture.store.aclose()


async def test_the_estimate_of_a_killed_process_counts_for_its_window(path: Path) -> None:
    killed_after_reserving(path)
    fixture = SqliteFixture(path)
    fixture.clock.advance(us=MINUTE + 1)
    assert await fixture.left("caller") == 6
    fixture.clock.advance(us=1)
    assert await fixture.left("caller") == 10
    await fixture.store.aclose()


def killed_after_reserving(path: Path) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", CHILD, str(path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) as child:
        assert child.stdout
        assert child.stdout.readline() == "reserved\n"
        child.kill()
    assert child.returncode


async def test_a_clock_set_back_an_hour_grants_nothing_and_keeps_what_there_is(path: Path) -> None:
    fixture = SqliteFixture(path)
    open_ones: list[Reservation] = [await fixture.open("caller") for _ in range(10)]
    lasts = fixture.rows()["caller"][1]
    fixture.clock.now -= 3_600 * SECOND
    await fixture.reopen()
    refused = await fixture.reserve("caller")
    assert not refused.admitted
    assert await fixture.settle(open_ones[0], 0) is Settled.DONE
    assert await fixture.left("caller") == 1
    assert fixture.rows()["caller"][1] >= lasts + 3_599 * SECOND
    assert (await fixture.store.peek("caller", [RPM]))[0][1] > 3_600 * SECOND
    fixture.clock.now += 3_600 * SECOND + MINUTE
    assert await fixture.left("caller") == 10
    await fixture.store.aclose()
