"""Accounts are listed page by page, whatever comes and goes between two pages."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querybudget.errors import SetupError
from querybudget.ledger import Charge, Line
from querybudget.overrides import AuditEntry, Override
from querybudget.stores import MemoryStore, accounts, memory, operators
from querybudget.stores.sqlite import changes, rows
from querybudget.stores.sqlite.schema import migrate
from querybudget.stores.sqlite.store import SqliteStore
from querybudget.testing import ManualClock
from querybudget.units import MICRO, NO_TIME, SECOND, Algorithm, Micros, Quota, Unit

RPM = Quota("rpm", Unit.REQUESTS, 9 * MICRO, 60 * SECOND, Algorithm.SLIDING, 9 * MICRO)
NAMES = st.sampled_from([f"caller-{number}" for number in range(30)])
SMALL = {"SCAN counts", "SCAN audit", "SCAN overrides", "SCAN overrides_version"}
"""Tables that are read whole: two rows, the last entries, what operators have changed."""
NOTE = AuditEntry(NO_TIME, "operator", "override", "caller")


async def call(store: MemoryStore | SqliteStore, partition: str, name: str) -> None:
    line = Line(partition, RPM, 0, 0)
    decision = await store.reserve(Charge(name, (line,), 600 * SECOND))
    assert decision.reservation


async def listed_all_that_stayed(
    store: MemoryStore | SqliteStore, first: set[str], between: list[set[str]], limit: int
) -> None:
    for name in first:
        await call(store, name, f"first {name}")
    stayed, now, found, cursor = set(first), set(first), set[str](), ""
    for number in range(100):
        page = await store.accounts(cursor, limit)
        found |= {record.partition for record in page.records}
        cursor = page.cursor
        if not cursor:
            break
        for name in between[number] if number < len(between) else ():
            if name in now:
                assert await store.forget(name)
            else:
                await call(store, name, f"{number} {name}")
            now ^= {name}
        stayed &= now
    assert not cursor
    assert stayed <= found


CHANGES = (
    st.sets(NAMES, max_size=30),
    st.lists(st.sets(NAMES, max_size=10), max_size=12),
    st.integers(1, 9),
)


@given(*CHANGES)
@settings(max_examples=60)
def test_all_that_stays_in_memory_is_listed(
    first: set[str], between: list[set[str]], limit: int
) -> None:
    asyncio.run(listed_all_that_stayed(MemoryStore(ManualClock()), first, between, limit))


@given(*CHANGES)
@settings(max_examples=8, deadline=None)
def test_all_that_stays_in_a_file_is_listed(
    first: set[str], between: list[set[str]], limit: int
) -> None:
    async def run(path: Path) -> None:
        store = SqliteStore(path, ManualClock())
        await listed_all_that_stayed(store, first, between, limit)
        await store.aclose()

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "budgets.db"))


@pytest.mark.anyio
async def test_a_page_in_memory_looks_at_a_bounded_number_of_accounts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "LOOKED_AT", 3)
    store = MemoryStore(ManualClock())
    for number in range(10):
        await call(store, f"caller-{number}", f"{number}")
    page = await store.accounts("", 5, "caller-9")
    assert (page.records, page.cursor) == ((), "after:caller-2")
    while page.cursor:
        page = await store.accounts(page.cursor, 5, "caller-9")
    assert [record.partition for record in page.records] == ["caller-9"]


@pytest.mark.anyio
async def test_looking_at_an_account_is_no_use_of_it() -> None:
    """Which one is evicted next stays the same."""
    store = MemoryStore(ManualClock(), max_identities=20)
    for name in ("first", "second"):
        await call(store, name, name)
    await store.account("first")
    await store.accounts()
    await call(store, "third", "third")
    assert await store.account("first") is None


@pytest.mark.anyio
async def test_bounds_hold_in_memory_and_ended_overrides_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operators, "MAX_OVERRIDES", 3)
    monkeypatch.setattr(operators, "SWEPT", 3)
    clock = ManualClock()
    store = MemoryStore(clock)
    for number in range(3):
        entry = Override(f"{number}", "caller", until=Micros(clock.now + 1 + number))
        await store.override(entry, NOTE)
    await store.override(Override("1", "another"), NOTE)
    with pytest.raises(SetupError, match="at most"):
        await store.override(Override("4", "caller"), NOTE)
    clock.advance(us=1)
    await store.override(Override("4", "caller"), NOTE)
    found = await store.overrides()
    assert found
    assert [entry.id for entry in found.entries] == ["1", "2", "4"]
    for _ in range(operators.AUDITED):
        await store.note(NOTE)
    assert len(await store.audit(operators.AUDITED + 9)) == operators.AUDITED


async def test_a_long_list_in_memory_is_sorted_a_piece_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accounts, "RUN", 4)
    store, turns = MemoryStore(ManualClock()), 0
    names = [f"caller-{number:02}" for number in (*range(0, 40, 2), *range(1, 40, 2))]
    for name in names:
        await call(store, name, name)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    page = await store.accounts("", 40)
    other.cancel()
    assert [record.partition for record in page.records] == sorted(names)
    assert turns >= 40 // 4


async def test_what_is_forgotten_while_a_list_is_made_is_in_no_list() -> None:
    store = MemoryStore(ManualClock())
    for name in ("a", "b", "c"):
        await call(store, name, name)
    making = asyncio.create_task(store.accounts("", 1))
    await asyncio.sleep(0)
    await store.forget("b")
    page = await making
    assert [record.partition for record in page.records] == ["a"]
    await store.forget("c")
    page = await store.accounts(page.cursor, 9)
    assert page.records == ()


async def test_a_page_of_some_accounts_in_a_file_looks_at_a_bounded_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rows, "LOOKED_AT", 3)
    store = SqliteStore(tmp_path / "budgets.db", ManualClock())
    for number in range(10):
        await call(store, f"caller-{number}", f"{number}")
    for part, begins in (("caller-8", False), ("caller-8", True)):
        page = await store.accounts("", 5, part, begins=begins)
        assert (page.records, page.cursor) == ((), "after:caller-2")
        found = list[str]()
        while page.cursor:
            page = await store.accounts(page.cursor, 5, part, begins=begins)
            found += [record.partition for record in page.records]
        assert found == ["caller-8"]
    await store.aclose()


def test_no_statement_of_a_file_reads_or_sorts_all_accounts(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "budgets.db", isolation_level=None)
    migrate(connection, tmp_path / "budgets.db")
    statements = [
        text
        for module in (rows, changes)
        for text in vars(module).values()
        if isinstance(text, str) and text.partition(" ")[0] in {"SELECT", "DELETE", "UPDATE"}
    ]
    assert len(statements) > 12
    for statement in statements:
        values = ["1"] * statement.count("?")
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
        for *_, step in plan:
            assert "TEMP B-TREE" not in step, statement
            assert not (step.startswith("SCAN") and "INDEX" not in step) or step in SMALL, statement
