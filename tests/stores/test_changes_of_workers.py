"""Overrides that several processes change at once: none is lost, and each is in the audit log."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.stores import Administers, StoreSettings, open_store, system_clock
from querybudget.units import NO_TIME, SECOND

WORKERS, EACH = 2, 30
PREFIXES = (f"changes-{number}" for number in itertools.count())


def change(settings: StoreSettings, worker: int) -> None:
    """Add overrides, and remove every third of them."""
    asyncio.run(_change(settings, worker))


async def _change(settings: StoreSettings, worker: int) -> None:
    store = open_store(settings, system_clock())
    assert isinstance(store, Administers)
    for number in range(EACH):
        note = AuditEntry(NO_TIME, f"worker {worker}", "override", f"{number}")
        name = f"{worker}-{number}"
        await store.override(Override(name, "caller"), note)
        if not number % 3:
            assert await store.remove_override(name, note)
    await store.aclose()


async def _found(settings: StoreSettings) -> tuple[Overrides | None, tuple[AuditEntry, ...]]:
    store = open_store(settings, system_clock())
    assert isinstance(store, Administers)
    found = await store.overrides(), await store.audit(WORKERS * EACH * 2)
    await store.aclose()
    return found


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_no_change_of_two_workers_is_lost(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/budgets.db"
    if kind == "redis":
        url = request.getfixturevalue("redis_server").url
    settings = StoreSettings(url, timeout=60 * SECOND, prefix=next(PREFIXES))
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(change, [settings] * WORKERS, range(WORKERS)))
    overrides, log = asyncio.run(_found(settings))
    assert overrides
    expected = {f"{w}-{n}" for w in range(WORKERS) for n in range(EACH) if n % 3}
    assert {entry.id for entry in overrides.entries} == expected
    assert len(log) == WORKERS * (EACH + EACH // 3)
