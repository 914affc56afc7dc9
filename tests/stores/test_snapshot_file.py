from __future__ import annotations

import logging
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from querybudget.errors import SetupError
from querybudget.stores import snapshot_file as files
from tests.stores.snapshots import SOON, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "accounts")


async def whole(bench: Bench) -> bytes:
    await bench.answered("a", "b")
    await bench.store.aclose()
    return bench.path.read_bytes()


@pytest.mark.anyio
async def test_a_file_cut_short_anywhere_is_put_aside_and_everybody_begins_anew(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    data = await whole(bench)
    aside = bench.path.with_name("accounts.corrupt")
    for length in range(len(data)):
        caplog.clear()
        bench.path.write_bytes(data[:length])
        bench.store = bench.made()
        await bench.store.start()
        assert (len(bench.store), bench.path.exists()) == (0, False)
        assert aside.read_bytes() == data[:length]
        assert len(bench.logged(caplog)) == 1
        await bench.store.aclose()


@pytest.mark.anyio
async def test_a_file_with_any_byte_changed_is_put_aside(bench: Bench) -> None:
    data = await whole(bench)
    for place in range(len(data)):
        bench.path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        bench.store = bench.made()
        assert await bench.left("a", "b") == [9, 9]
        assert not bench.path.exists()
        await bench.store.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"querybudget accounts 2\n....", "expected version 1, found 2"),
        (b"PNG", "expected it to begin with 'querybudget accounts ', found b'PNG'"),
        (b"", "found b''"),
    ],
    ids=["later version", "another file", "empty"],
)
async def test_a_file_of_something_else_is_put_aside_and_said_what_it_is(
    data: bytes, why: str, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.path.write_bytes(data)
    await bench.answered("a")
    assert await bench.left("a") == [8]
    (said,) = bench.logged(caplog)
    assert why in said
    assert "accounts.corrupt" in said
    await bench.restart()
    assert await bench.left("a") == [8]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_whole_blocks_of_something_else_are_put_aside(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    writer = files.Writer(bench.path)
    writer.add(msgspec.msgpack.encode([["a", "known?", 3]]))
    writer.finish()
    await bench.store.start()
    assert len(bench.store) == 0
    assert "holds no accounts that could be read" in bench.logged(caplog)[0]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_a_file_that_was_not_finished_is_not_read(bench: Bench) -> None:
    await bench.answered("a")
    await bench.store.aclose()
    bench.path.with_name("accounts.new").write_bytes(b"half")
    bench.store = bench.made()
    assert await bench.left("a") == [8]
    await bench.answered("a")
    await bench.restart()
    assert await bench.left("a") == [7]
    await bench.store.aclose()
    assert not bench.path.with_name("accounts.new").exists()


@pytest.mark.anyio
async def test_a_writer_that_is_discarded_writes_no_more(bench: Bench) -> None:
    writer = files.Writer(bench.path)
    writer.add(b"block")
    writer.discard()
    writer.add(b"block")
    writer.finish()
    assert list(bench.path.parent.iterdir()) == []


# -- Two stores, one file -------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_second_worker_with_the_same_file_does_not_start(bench: Bench) -> None:
    await bench.store.start()
    second = bench.made()
    with pytest.raises(SetupError, match=r"another process saves its accounts in .* of its own"):
        await second.start()
    await second.aclose()
    await bench.store.aclose()
    await second.start()
    await second.aclose()


@pytest.mark.anyio
async def test_a_second_worker_that_was_not_started_goes_on_and_saves_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.answered("a")
    first, bench.store = bench.store, bench.made()
    await bench.answered("b", "b")
    assert await bench.left("a", "b") == [9, 7]
    (said,) = bench.logged(caplog)
    assert "another process saves its accounts" in said
    assert said.endswith("nothing is saved")
    await bench.store.aclose()
    await first.aclose()
    bench.store = bench.made()
    assert await bench.left("a", "b") == [8, 9]
    await bench.store.aclose()


# -- Disks that fail ------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_directory_that_is_not_there_is_said_so_at_the_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "nowhere" / "accounts")
    with pytest.raises(SetupError, match="expected a directory that is there"):
        await bench.store.start()
    await bench.answered("a")
    assert await bench.left("a") == [8]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_a_file_that_cannot_be_read_is_not_overwritten(bench: Bench) -> None:
    bench.path.mkdir()
    with pytest.raises(SetupError, match="expected a file that can be read, or none"):
        await bench.store.start()
    await bench.answered("a")
    await bench.store.aclose()
    assert bench.path.is_dir()


@pytest.mark.anyio
async def test_a_full_disk_is_said_once_tried_again_and_its_end_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(tmp_path / "accounts", every=SOON)
    with patch.object(files.Writer, "finish", side_effect=OSError(28, "No space left on device")):
        await bench.answered("a")
        for _ in range(3):
            await bench.saved()
            assert bench.timer(), "it is tried again"
            assert not bench.path.with_name("accounts.new").exists()
    assert await bench.left("a") == [8]
    (said,) = bench.logged(caplog)
    assert "No space left on device" in said
    await bench.saved()
    assert bench.logged(caplog)[1:] == [f"accounts are saved in {bench.path} again"]
    assert not bench.timer()
    await bench.restart()
    assert await bench.left("a") == [8]
    await bench.store.aclose()


@pytest.mark.anyio
async def test_a_store_that_cannot_save_closes_all_the_same(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.answered("a")
    with patch.object(files.Writer, "finish", side_effect=OSError(28, "No space left on device")):
        await bench.store.aclose()
    assert len(bench.logged(caplog)) == 1
    assert not bench.timer()
