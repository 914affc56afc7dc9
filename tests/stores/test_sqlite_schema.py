"""Files of an older schema, of a later one, and of somebody else."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from querybudget.errors import SetupError, StoreError
from querybudget.stores.sqlite.schema import (
    APPLICATION,
    MIGRATIONS,
    Migration,
    migrate,
    use_write_ahead_log,
    version_of,
)
from tests.stores.sqlite_fixture import SqliteFixture, locked, reading

ADD_NOTES: Migration = (
    "ALTER TABLE accounts ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    "UPDATE accounts SET note = 'seen ' || seen",
)
BROKEN: Migration = ("DELETE FROM accounts", "UPDATE nowhere SET here = 1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budgets.db"


def older(path: Path) -> None:
    """A file of the first schema, with an account in it."""
    with reading(path) as connection:
        migrate(connection, path, MIGRATIONS[:1])
        connection.execute("INSERT INTO accounts VALUES ('caller', 1, 5, 9, x'')")


def test_an_older_file_is_migrated_with_its_rows(path: Path) -> None:
    older(path)
    with reading(path) as connection:
        assert version_of(connection) == 1
        migrate(connection, path, (MIGRATIONS[0], ADD_NOTES))
        assert version_of(connection) == 2
        assert connection.execute("SELECT key, note FROM accounts").fetchall() == [
            ("caller", "seen 5")
        ]
        migrate(connection, path, (MIGRATIONS[0], ADD_NOTES))


def test_a_migration_that_fails_leaves_everything_as_it_was(path: Path) -> None:
    older(path)
    with reading(path) as connection:
        with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
            migrate(connection, path, (MIGRATIONS[0], ADD_NOTES, BROKEN))
        assert version_of(connection) == 1
        assert connection.execute("SELECT * FROM accounts").fetchall() == [("caller", 1, 5, 9, b"")]


def test_a_migration_waits_for_a_writer(path: Path) -> None:
    older(path)
    with (
        locked(path),
        reading(path) as connection,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        migrate(connection, path, (MIGRATIONS[0], ADD_NOTES))


def test_what_another_process_migrated_meanwhile_is_not_migrated_again(
    path: Path,
) -> None:
    class Late(sqlite3.Connection):
        """Finds an empty file first, and then one that another process has filled."""

        def execute(self, statement: str, *arguments: object) -> sqlite3.Cursor:
            if statement == "BEGIN EXCLUSIVE":
                older(path)
            return super().execute(statement, *arguments)  # type: ignore[arg-type]

    with closing(sqlite3.connect(path, isolation_level=None, factory=Late)) as connection:
        migrate(connection, path, MIGRATIONS[:1])
        assert connection.execute("SELECT key FROM accounts").fetchall() == [("caller",)]


def test_a_file_that_another_process_fills_during_the_checks_is_ours(path: Path) -> None:
    class Slow(sqlite3.Connection):
        """Has another process come between its first look and its second, if it can."""

        def execute(self, statement: str, *arguments: object) -> sqlite3.Cursor:
            if "sqlite_master" in statement:
                with suppress(sqlite3.OperationalError):
                    older(path)
            return super().execute(statement, *arguments)  # type: ignore[arg-type]

    with closing(sqlite3.connect(path, isolation_level=None, factory=Slow)) as connection:
        migrate(connection, path, MIGRATIONS[:1])
        assert version_of(connection) == 1


def test_setting_the_journal_mode_waits_for_a_lock(path: Path) -> None:
    asked: list[str] = []

    class Hasty(sqlite3.Connection):
        """Has its first statement fail as it does while another process holds the lock."""

        def execute(self, statement: str, *arguments: object) -> sqlite3.Cursor:
            asked.append(statement)
            if len(asked) == 1:
                with locked(path), reading(path) as other:
                    return other.execute("BEGIN IMMEDIATE")
            return super().execute(statement, *arguments)  # type: ignore[arg-type]

    with closing(sqlite3.connect(path, isolation_level=None, factory=Hasty)) as connection:
        use_write_ahead_log(connection, path)
        assert asked[:3] == ["PRAGMA journal_mode = WAL", "BEGIN EXCLUSIVE", asked[0]]
        with reading(path) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_is_no_database_fails_to_get_a_log(path: Path) -> None:
    path.write_bytes(b"no database, but long enough to be looked at" * 100)
    with reading(path) as connection, pytest.raises(sqlite3.DatabaseError, match="not a database"):
        use_write_ahead_log(connection, path)


def test_without_a_write_ahead_log_the_error_says_what_is_needed(path: Path) -> None:
    with (
        closing(sqlite3.connect(":memory:", isolation_level=None)) as connection,
        pytest.raises(SetupError, match=r"found 'memory'\. Name a file on a local disk"),
    ):
        use_write_ahead_log(connection, path)


async def test_a_file_of_a_later_version_is_refused_and_left_alone(path: Path) -> None:
    with reading(path) as connection:
        migrate(connection, path, (*MIGRATIONS, ADD_NOTES))
    fixture = SqliteFixture(path)
    before = fixture.content()
    with pytest.raises(SetupError, match=r"later version of querybudget.*Install that version"):
        await fixture.store.start()
    with pytest.raises(StoreError, match=r"expected schema 2 or older, found 3"):
        await fixture.reserve("caller")
    await fixture.store.aclose()
    assert fixture.content() == before


async def test_a_file_that_a_later_version_migrates_while_open_is_not_written_again(
    path: Path,
) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("caller")
    with reading(path) as connection:
        migrate(connection, path, (*MIGRATIONS, ADD_NOTES))
    with pytest.raises(StoreError, match="was written by a later version"):
        await fixture.reserve("caller")
    with reading(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    assert (await fixture.reserve("caller")).admitted
    await fixture.store.aclose()


async def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with reading(path) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    fixture = SqliteFixture(path)
    before = fixture.content()
    with pytest.raises(SetupError, match=r"database of another program.*and 1 tables"):
        await fixture.store.start()
    await fixture.store.aclose()
    assert fixture.content() == before


async def test_a_database_that_says_it_is_another_programs_is_refused(path: Path) -> None:
    with reading(path) as connection:
        connection.execute("PRAGMA application_id = 77")
    fixture = SqliteFixture(path)
    with pytest.raises(SetupError, match="found application_id 77"):
        await fixture.store.start()
    await fixture.store.aclose()


async def test_a_file_names_its_program_and_schema(path: Path) -> None:
    fixture = SqliteFixture(path)
    await fixture.store.start()
    await fixture.store.aclose()
    with reading(path) as connection:
        pragmas = ("application_id", "user_version", "journal_mode", "auto_vacuum")
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert found == [APPLICATION, len(MIGRATIONS), "wal", 2]
