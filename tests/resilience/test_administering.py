"""What operators do to a store is done in time or fails, whether or not the store is up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Charge, Line
from querybudget.overrides import AuditEntry, Override
from querybudget.policy import Policy
from querybudget.resilience.store import ResilientStore
from querybudget.stores import AccountPage, MemoryStore, Store
from querybudget.testing import ManualClock
from querybudget.units import MICRO, NO_TIME, SECOND, Algorithm, Quota, Unit
from tests.stores.scripted import Scripted, hurried

pytestmark = pytest.mark.anyio

RPM = Quota("rpm", Unit.REQUESTS, 9 * MICRO, 60 * SECOND, Algorithm.SLIDING, 9 * MICRO)
CHARGE = Charge("call", (Line("caller", RPM, MICRO, MICRO),), 600 * SECOND)
POLICY = Policy.load(
    {
        "version": 1,
        "store": {"url": "memory://", "workers": 1},
        "budgets": [{"name": "rpm", "limit": "9/minute", "on_store_error": "local"}],
    }
)
NOTE = AuditEntry(NO_TIME, "operator", "override", "caller")
LOCAL = [POLICY.budgets[0].on_store_error]


def resilient(store: Store, clock: ManualClock) -> ResilientStore:
    return ResilientStore(
        POLICY, store, clock, settings=POLICY.store, name="scripted", wait=hurried
    )


class Failing(MemoryStore):
    """Lists accounts as badly as its script says."""

    how: Any = None

    async def accounts(
        self, cursor: str = "", limit: int = 100, part: str = "", *, begins: bool = False
    ) -> AccountPage:
        how: BaseException | None = self.how
        if how is not None:
            raise how
        await asyncio.Event().wait()
        raise AssertionError


async def test_what_a_store_can_do_is_passed_on() -> None:
    clock = ManualClock()
    store = resilient(MemoryStore(clock), clock)
    await store.reserve(CHARGE, LOCAL)
    admin = store.administering
    assert admin.able
    assert [record.partition for record in (await admin.accounts("", 10, "caller")).records]
    assert await admin.account("caller")
    assert not await admin.pardon("caller")
    await admin.override(Override("one", "caller"), NOTE)
    found = await admin.overrides()
    assert found
    assert found.entries == (Override("one", "caller"),)
    assert await admin.remove_override("one", NOTE)
    await admin.note(NOTE)
    assert await admin.audit(9) == (NOTE, NOTE, NOTE)
    assert await admin.forget("caller")
    assert await admin.account("caller") is None


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        (None, StoreError, "no answer within"),
        (OSError("hunter2"), StoreError, "failed with OSError"),
        (asyncio.CancelledError(), StoreError, "was cancelled"),
        (StoreError("refused"), StoreError, "refused"),
        (ValueError("expected a cursor"), ValueError, "expected a cursor"),
    ],
    ids=repr,
)
async def test_what_goes_wrong_is_an_error_and_not_counted_against_the_store(
    how: BaseException | None, error: type[Exception], words: str
) -> None:
    clock = ManualClock()
    inner = Failing(clock)
    inner.how = how
    store = resilient(inner, clock)
    with pytest.raises(error, match=words) as failure:
        await store.administering.accounts()
    assert "hunter2" not in str(failure.value)
    assert store.health().failures == 0


async def test_a_store_that_cannot_says_so_and_still_forgets() -> None:
    clock = ManualClock()
    store = resilient(Scripted(clock), clock)
    await store.reserve(CHARGE, LOCAL)
    assert not store.administering.able
    with pytest.raises(SetupError, match="cannot list or change accounts"):
        await store.administering.overrides()
    assert await store.administering.forget("caller")
    await store.aclose()


async def test_what_was_decided_without_the_store_is_forgotten_too() -> None:
    """So that it is not charged to the caller's next account."""
    clock = ManualClock()
    scripted = Scripted(clock, ever="fails")
    store = resilient(scripted, clock)
    for name in ("one", "two"):
        lines = tuple(Line(partition, RPM, MICRO, MICRO) for partition in (name, "pool"))
        reserved = await store.reserve(Charge(name, lines, 600 * SECOND), LOCAL * 2)
        await store.settle(reserved, [MICRO, MICRO])
    assert await store.administering.forget("one")
    scripted.ever = "works"
    await store.aclose()
    left = [(await scripted.peek(name, [RPM]))[0][0] for name in ("one", "two", "pool")]
    assert left == [9 * MICRO, 8 * MICRO, 7 * MICRO]
