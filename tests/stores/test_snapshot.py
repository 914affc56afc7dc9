from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from querybudget.backends import StoreSettings
from querybudget.ledger import GRACE, Settled
from querybudget.stores import Clock, MemoryStore, Store, open_store
from querybudget.stores import snapshot as saving
from querybudget.stores import snapshot_file as files
from querybudget.testing import ManualClock
from querybudget.testing.contracts import StoreContract, StoreMachine
from querybudget.units import MICRO
from tests.stores.snapshots import HOLD, LATER, SLOTS, SOON, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "accounts")


# -- Everything that any store promises -----------------------------------------------------------


class TestMemoryStoreWithASnapshot(StoreContract):
    def make_store(self, clock: Clock) -> Store:
        path = Path(tempfile.mkdtemp()) / "accounts"
        return MemoryStore(clock, snapshot=str(path), snapshot_every=SOON)


class SnapshotMachine(StoreMachine):
    examples = 60

    def make_store(self, clock: Clock) -> Store:
        self.path = str(Path(tempfile.mkdtemp()) / "accounts")
        return self.reopen_store(clock)

    def reopen_store(self, clock: Clock) -> Store:
        return MemoryStore(clock, snapshot=self.path, snapshot_every=LATER)


TestASnapshotSaysTheSameAsBeforeForAnyHistory = SnapshotMachine.TestCase


# -- Beginning ------------------------------------------------------------------------------------


def test_making_a_store_touches_no_file(tmp_path: Path) -> None:
    assert isinstance(
        open_store(StoreSettings(snapshot=str(tmp_path / "nowhere" / "accounts")), ManualClock()),
        MemoryStore,
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_what_a_policy_says_of_its_snapshot_is_done(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    storage = StoreSettings(snapshot=str(path), snapshot_every=SOON)
    bench = Bench(path)
    bench.store = open_store(storage, bench.clock)  # type: ignore[assignment] # a MemoryStore
    await bench.answered("a")
    await bench.saved()
    assert path.exists()
    await bench.store.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("told", [True, False], ids=["told to start", "at its first use"])
async def test_a_store_begins_from_what_was_saved(told: bool, bench: Bench) -> None:
    await bench.answered("a", "a", "b")
    await bench.restart()
    if told:
        await bench.store.start()
        await bench.store.start()
        assert len(bench.store) == 2
    assert await bench.left("a", "b", "c") == [7, 8, 9]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_a_call_that_comes_while_the_store_starts_finds_everybody(bench: Bench) -> None:
    await bench.answered("a")
    await bench.restart()
    starting = asyncio.create_task(bench.store.start())
    await asyncio.sleep(0)
    assert await bench.left("a") == [8]
    await bench.answered("a")
    await starting
    assert await bench.left("a") == [7]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_known_and_newcomers_stay_so_and_in_their_order(bench: Bench) -> None:
    await bench.answered(*(f"known-{index}" for index in range(90)))
    for index in range(10):
        await bench.open(f"new-{index}")
    await bench.answered("known-0")
    await bench.open("new-0")
    await bench.restart()
    await bench.open("new-10")
    await bench.answered("new-9")  # is known now, and throws out one of the known
    assert await bench.left("known-0", "known-1", "known-2") == [7, 9, 8]
    assert await bench.left("new-0", "new-1", "new-2") == [7, 9, 8]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_a_call_that_was_open_is_settled_after_a_restart(bench: Bench) -> None:
    done, late = await bench.open("a"), await bench.open("a")
    await bench.restart()
    assert await bench.store.settle(done, [0]) is Settled.DONE
    assert await bench.left("a") == [8]
    bench.clock.advance(us=HOLD)
    await bench.restart()
    assert await bench.store.settle(done, [0]) is Settled.REPEATED
    assert await bench.store.settle(late, [3 * MICRO]) is Settled.LATE
    assert await bench.left("a") == [6]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_what_has_expired_is_not_loaded(bench: Bench) -> None:
    await bench.open("a", SLOTS)
    await bench.answered("b")
    await bench.restart()
    await bench.store.start()
    assert len(bench.store) == 2
    bench.clock.advance(us=HOLD + GRACE)
    await bench.store.forget("nobody")
    await bench.restart()
    await bench.store.start()
    assert len(bench.store) == 1
    account = bench.store._find("b")
    assert account
    assert account.open == {}
    await bench.store.aclose()


@pytest.mark.anyio
async def test_a_smaller_store_begins_with_those_seen_last(bench: Bench) -> None:
    await bench.answered(*(f"known-{index}" for index in range(90)))
    bench.most = 10
    await bench.restart()
    await bench.store.start()
    assert len(bench.store) == 9
    assert await bench.left("known-80", "known-81") == [9, 8]
    await bench.store.aclose()


# -- Saving ---------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_change_is_saved_in_time_and_nothing_without_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "accounts", every=SOON)
    assert await bench.left("a") == [9]
    assert not bench.timer()
    await bench.answered("a")
    assert bench.timer()
    await bench.saved()
    assert bench.path.exists()
    assert not bench.timer()
    bench.path.unlink()
    assert await bench.left("a") == [8]
    assert not bench.timer()
    await bench.store.aclose()
    assert not bench.path.exists(), "nothing had changed"


@pytest.mark.anyio
async def test_many_changes_are_one_snapshot(bench: Bench) -> None:
    await bench.answered("a")
    assert bench.store._saver
    timer = bench.store._saver._timer
    await bench.answered("a", "b", "c")
    assert bench.store._saver._timer is timer
    await bench.store.aclose()


@pytest.mark.anyio
async def test_what_changes_while_a_snapshot_is_written_is_in_the_next(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "accounts", every=SOON)
    await bench.answered("a")
    asked = files.Writer.finish

    def slow(writer: files.Writer) -> None:
        loop.call_soon_threadsafe(passed.set)
        asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result()
        asked(writer)

    loop, passed, going_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    with patch.object(files.Writer, "finish", slow):
        saved = asyncio.create_task(bench.saved())
        await passed.wait()
        await bench.answered("a")
        assert bench.timer()
        going_on.set()
        await saved
    await bench.saved()
    await bench.store.aclose()
    bench.store = bench.made()
    assert await bench.left("a") == [7]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_who_is_answered_while_a_snapshot_is_written_is_in_it_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SLICE", 1)
    await bench.answered("first")
    new = await bench.open("new")
    assert bench.store._saver
    task = asyncio.create_task(bench.store._saver._save())
    await asyncio.sleep(0)
    await bench.store.settle(new, [MICRO])
    await task
    rows = list(files.read(bench.path, bench.clock.now))
    assert [(name, known) for name, known, _ in rows] == [("first", True), ("new", True)]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_a_snapshot_is_encoded_in_slices_between_other_tasks(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "accounts", most=2_000)
    await bench.answered(*(f"known-{index}" for index in range(1_500)))
    assert bench.store._saver
    sizes: list[int] = []
    source = bench.store._saver._source
    asked = source.rows

    def rows(names: Sequence[str]) -> list[saving.Row]:
        sizes.append(len(names))
        assert turns >= len(sizes), "another task had its turn"
        return asked(names)

    turns = 1

    async def other() -> None:
        nonlocal turns
        while not task.done():
            turns += 1
            await asyncio.sleep(0)

    with patch.object(source, "rows", rows):
        task = asyncio.create_task(bench.store._saver._save())
        await other()
    assert sizes == [200] * 7 + [100]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_a_snapshot_that_is_cancelled_leaves_the_last_one_and_nothing_else(
    bench: Bench,
) -> None:
    await bench.answered("a")
    await bench.restart()
    before = bench.path.read_bytes()
    await bench.answered("a", "b")
    assert bench.store._saver
    task = asyncio.create_task(bench.store._saver._save())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.path.read_bytes() == before
    await bench.store.aclose()
    assert sorted(path.name for path in bench.path.parent.iterdir()) == [
        "accounts",
        "accounts.lock",
    ]


# -- Closing --------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_closing_twice_saves_once(bench: Bench) -> None:
    await bench.answered("a")
    await bench.store.aclose()
    bench.path.unlink()
    await bench.store.aclose()
    assert not bench.path.exists()


@pytest.mark.anyio
async def test_a_store_that_was_never_used_leaves_the_file_as_it_is(bench: Bench) -> None:
    await bench.answered("a")
    await bench.restart()
    before = bench.path.stat().st_mtime_ns
    await bench.restart()
    assert bench.path.stat().st_mtime_ns == before
    assert await bench.left("a") == [8]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_closing_while_a_snapshot_is_written_waits_for_it_and_saves_the_rest(
    bench: Bench,
) -> None:
    await bench.answered("a")
    assert bench.store._saver
    bench.store._saver._disarm()
    bench.store._saver._due()
    await asyncio.sleep(0)
    await bench.answered("b")
    await bench.restart()
    assert await bench.left("a", "b") == [8, 8]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_a_store_that_was_closed_begins_from_what_it_saved(bench: Bench) -> None:
    await bench.answered("a")
    await bench.store.aclose()
    assert len(bench.store) == 0
    assert await bench.left("a") == [8]
    await bench.store.aclose()
