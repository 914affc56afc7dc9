"""What operators do to a file of accounts, and what is left in it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Account
from querybudget.ledger.windows import SlidingState
from querybudget.overrides import AuditEntry, Override
from querybudget.stores.sqlite import changes
from querybudget.stores.sqlite.schema import MIGRATIONS, migrate
from querybudget.units import MICRO, NO_TIME, Micros
from tests.stores.sqlite_fixture import RPM, SqliteFixture, reading

NOTE = AuditEntry(NO_TIME, "operator", "override", "caller")
NAME = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budgets.db"


async def test_a_file_of_the_schema_before_opens_with_its_accounts(path: Path) -> None:
    fixture = SqliteFixture(path)
    since = fixture.clock.now
    window = SlidingState(3 * MICRO, [since, 3 * MICRO])
    older = msgspec.to_builtins(Account(since, {RPM.key: window}))[:4]
    with reading(path) as connection:
        migrate(connection, path, MIGRATIONS[:1])
        row = ("caller", 1, since, 2 * since, msgspec.msgpack.encode(older))
        connection.execute("INSERT INTO accounts VALUES (?, ?, ?, ?, ?)", row)
    record = await fixture.store.account("caller")
    assert record
    assert (record.account.since, record.account.seen, record.account.tier) == (since, 0, "")
    assert (await fixture.store.peek("caller", [RPM]))[0][0] == RPM.limit - 3 * MICRO
    await fixture.answered("caller")
    record = await fixture.store.account("caller")
    assert record
    assert record.account.seen == fixture.clock.now
    await fixture.store.aclose()


async def test_nothing_of_a_forgotten_account_is_left_in_the_file_or_its_log(path: Path) -> None:
    fixture = SqliteFixture(path)
    for number in range(27):
        await fixture.answered(f"{NAME}|part-{number % 3}")
    found = await fixture.store.accounts("", 100, NAME)
    assert len(found.records) == 3
    for record in found.records:
        assert await fixture.store.forget(record.partition)
    for file in path.parent.iterdir():
        assert NAME.encode() not in file.read_bytes(), file.name
    await fixture.store.aclose()


async def test_nothing_of_a_removed_override_is_left_in_the_file_or_its_log(path: Path) -> None:
    fixture = SqliteFixture(path)
    for number in range(20):
        entry = Override(f"o{number}", NAME, reason="for Jane Doe")
        await fixture.store.override(entry, NOTE)
    for number in range(20):
        assert await fixture.store.remove_override(f"o{number}", None)
    for file in path.parent.iterdir():
        assert b"Jane Doe" not in file.read_bytes(), file.name
    await fixture.store.aclose()


async def test_a_reader_of_the_file_does_not_keep_an_account_from_being_forgotten(
    path: Path,
) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("caller")
    with reading(path) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM accounts").fetchall()
        assert await fixture.store.forget("caller")
    await fixture.answered("caller")
    await fixture.store.aclose()


async def test_an_account_that_cannot_be_read_is_listed_as_empty(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fixture = SqliteFixture(path)
    for name in ("bad", "good"):
        await fixture.answered(name)
    with reading(path) as connection:
        connection.execute("UPDATE accounts SET books = x'c1' WHERE key = 'bad'")
    page = await fixture.store.accounts()
    assert [bool(record.account.windows) for record in page.records] == [False, True]
    assert "listed as empty" in caplog.text
    with pytest.raises(StoreError, match="`forget` resets it"):
        await fixture.store.account("bad")
    assert await fixture.store.forget("bad")
    await fixture.store.aclose()


async def test_bounds_hold_and_ended_overrides_make_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MAX_OVERRIDES", 3)
    monkeypatch.setattr(changes, "AUDITED", 5)
    fixture = SqliteFixture(path)
    store, now = fixture.store, fixture.clock.now
    for number in range(3):
        await store.override(Override(f"{number}", "caller", until=Micros(now + 1 + number)), NOTE)
    await store.override(Override("1", "another"), NOTE)
    with pytest.raises(SetupError, match="at most"):
        await store.override(Override("4", "caller"), NOTE)
    fixture.clock.advance(us=1)
    await store.override(Override("4", "caller"), NOTE)
    found = await store.overrides()
    assert found
    assert [entry.id for entry in found.entries] == ["1", "2", "4"]
    await store.note(NOTE)
    assert len(await store.audit(99)) == 5
    await store.aclose()


async def test_overrides_and_the_log_outlive_the_store_and_are_seen_by_others(path: Path) -> None:
    fixture = SqliteFixture(path)
    other = fixture.another()
    none = await other.overrides()
    await fixture.store.override(Override("one", "caller"), NOTE)
    found = await other.overrides(none.version if none else "")
    assert found
    assert found.entries == (Override("one", "caller"),)
    await fixture.store.aclose()
    await other.aclose()
    await fixture.reopen()
    assert await fixture.store.overrides() == found
    assert await fixture.store.audit() == (NOTE,)
    await fixture.store.aclose()


async def test_what_cannot_be_noted_is_not_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = SqliteFixture(path)
    monkeypatch.setattr(changes, "_NOTE", "INSERT INTO nowhere (entry) VALUES (?)")
    with pytest.raises(StoreError):
        await fixture.store.override(Override("one", "caller"), NOTE)
    monkeypatch.undo()
    found = await fixture.store.overrides()
    assert found
    assert not found.entries
    await fixture.store.aclose()
