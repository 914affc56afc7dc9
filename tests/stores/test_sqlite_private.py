"""A file of accounts is its owner's alone, and is never written through a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from querybudget.errors import SetupError, StoreError
from tests.stores.sqlite_fixture import SqliteFixture

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.name != "posix", reason="permissions are of another kind here"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budgets.db"


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)


async def test_every_file_is_private_whatever_the_umask(path: Path, umask: int) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("caller")
    files = sorted(path.parent.iterdir())
    assert {file.name for file in files} == {"budgets.db", "budgets.db-shm", "budgets.db-wal"}
    assert {mode(file) for file in files} == {0o600}
    other = path.parent / "other"
    other.touch()
    assert mode(other) == 0o666 & ~umask  # the process's umask is as it was
    await fixture.store.aclose()


async def test_a_file_that_is_made_again_is_private_too(path: Path) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("caller")
    for file in path.parent.iterdir():
        file.unlink()
    await fixture.answered("caller")
    assert {mode(file) for file in path.parent.iterdir()} == {0o600}
    await fixture.store.aclose()


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "dangling"])
@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
async def test_a_planted_link_is_refused_and_what_it_names_is_left_alone(
    path: Path, ending: str, there: bool
) -> None:
    precious = path.parent / "precious"
    if there:
        precious.write_text("not yours")
    planted = path.with_name(path.name + ending)
    planted.symlink_to(precious)
    fixture = SqliteFixture(path)
    with pytest.raises(SetupError, match=f"{planted} is a symbolic link: name the file itself"):
        await fixture.store.start()
    with pytest.raises(StoreError, match="symbolic link"):
        await fixture.reserve("caller")
    assert precious.exists() == there
    if there:
        assert precious.read_text() == "not yours"
    planted.unlink()
    await fixture.answered("caller")
    await fixture.store.aclose()


async def test_a_planted_pipe_is_refused_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    fixture = SqliteFixture(path)
    with pytest.raises(SetupError, match="is no regular file"):
        await fixture.store.start()
    await fixture.store.aclose()


async def test_a_file_that_others_may_read_is_used_with_one_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(path, 0o644)
    fixture = SqliteFixture(path)
    for _ in range(3):
        await fixture.answered("caller")
        await fixture.store.aclose()
    warnings = [record.message for record in caplog.records]
    assert len(warnings) == 1
    assert "its mode is 0644, expected 0600" in warnings[0]
    assert mode(path) == 0o644


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
async def test_a_file_that_belongs_to_somebody_else_is_used_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(path, 0o600)
    os.chown(path, 12_345, -1)
    fixture = SqliteFixture(path)
    await fixture.answered("caller")
    await fixture.store.aclose()
    assert "belongs to another user (12345)" in caplog.text


async def test_a_private_file_is_used_without_a_word(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("caller")
    await fixture.reopen()
    await fixture.answered("caller")
    assert caplog.records == []
    await fixture.store.aclose()
