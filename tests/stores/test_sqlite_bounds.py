"""A file that stays small: how long a row is kept, and who goes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from querybudget.ledger import GRACE, Account, Settled
from querybudget.stores.sqlite.rows import expiry
from querybudget.stores.sqlite.store import SqliteStore
from querybudget.testing import ManualClock
from querybudget.testing.contracts.fixtures import seen
from querybudget.units import MICRO, Algorithm, Quota, Unit
from tests.stores.sqlite_fixture import BREADTH, HOLD, MINUTE, RPM, SLOTS, SqliteFixture

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budgets.db"


async def test_a_refusal_writes_nothing(path: Path) -> None:
    fixture = SqliteFixture(path)
    for _ in range(10):
        await fixture.answered("network")
    before = fixture.rows(), fixture.clock.now
    assert not (await fixture.reserve("network", "stranger")).admitted
    fixture.clock.now = before[1]
    assert fixture.rows() == before[0]
    await fixture.store.aclose()


async def test_an_account_with_everything_given_back_is_dropped(path: Path) -> None:
    fixture = SqliteFixture(path)
    first, second = await fixture.open("a", "b"), await fixture.open("a")
    await fixture.settle(first, 0, 0)
    assert list(fixture.rows()) == ["a"]
    await fixture.settle(second, 0)
    assert fixture.rows() == {}
    assert fixture.counted() == [0, 0]
    await fixture.store.aclose()


async def test_a_caller_answered_once_stays_known_if_later_calls_are_given_back(path: Path) -> None:
    fixture = SqliteFixture(path)
    await fixture.answered("known")
    fixture.clock.advance(us=2 * MINUTE)
    await fixture.unauthorised("known")
    assert [known for known, _ in fixture.rows().values()] == [1]
    await fixture.store.aclose()


async def test_a_settle_after_its_account_is_gone_creates_none(path: Path) -> None:
    fixture = SqliteFixture(path)
    lost = await fixture.open("a", "b")
    assert await fixture.store.forget("a")
    assert await fixture.settle(lost, MICRO, MICRO) is Settled.DONE
    assert list(fixture.rows()) == ["b"]
    assert await fixture.settle(lost, MICRO, MICRO) is Settled.REPEATED
    await fixture.store.aclose()


async def test_a_row_lasts_as_long_as_anything_in_it_matters(path: Path) -> None:
    fixture = SqliteFixture(path)
    reservation = await fixture.open("caller")
    assert fixture.rows()["caller"] == (0, HOLD + GRACE)
    await fixture.settle(reservation, MICRO)
    assert fixture.rows()["caller"] == (1, MINUTE)
    await fixture.settle(await fixture.open("caller"), 25 * MICRO)
    assert fixture.rows()["caller"] == (1, 3 * MINUTE)
    await fixture.store.aclose()


async def test_a_window_that_a_later_call_is_not_charged_on_keeps_its_row(path: Path) -> None:
    hour = Quota("rph", Unit.REQUESTS, 99 * MICRO, 60 * MINUTE, Algorithm.SLIDING, 99 * MICRO)
    fixture = SqliteFixture(path)
    await fixture.answered("caller", quota=hour)
    await fixture.answered("caller", quota=RPM)
    known, lasts = fixture.rows()["caller"]
    assert known == 1
    assert lasts >= 60 * MINUTE - 1
    await fixture.store.aclose()


async def test_a_lease_and_buckets_and_a_profile_keep_their_row(path: Path) -> None:
    fixture = SqliteFixture(path)
    for cell in (1, 2):
        await fixture.answered("caller", quota=BREADTH, observation=seen(cell))
    await fixture.open("slots", quota=SLOTS)
    lasts = {key: lasts for key, (_, lasts) in fixture.rows().items()}
    assert lasts["caller"] == 30 * 24 * 60 * MINUTE - 1
    assert lasts["slots"] == HOLD + GRACE
    await fixture.store.aclose()


async def test_expired_rows_are_removed_and_the_file_shrinks(
    path: Path,
) -> None:
    fixture = SqliteFixture(path, 10_000)
    for index in range(600):
        await fixture.answered(f"{index:0>400}")
    await fixture.reopen()
    large = fixture.size() or 0
    fixture.clock.advance(us=2 * MINUTE)
    for _ in range(600):
        fixture.clock.advance(us=MINUTE)
        await fixture.answered("regular")
    assert list(fixture.rows()) == ["regular"]
    assert fixture.counted() == [0, 1]
    await fixture.reopen()
    await fixture.left("regular")
    await fixture.store.aclose()
    assert 0 < (fixture.size() or 0) < large // 4
    assert fixture.store.evicted == 0


async def test_a_flood_of_made_up_keys_evicts_no_answered_caller(path: Path) -> None:
    fixture = SqliteFixture(path, 100)
    known = [f"known-{index}" for index in range(90)]
    for name in known:
        await fixture.answered(name)
    for index in range(300):
        await fixture.open(f"open-{index}")
        await fixture.unauthorised(f"unauthorised-{index}")
    await fixture.open("last")
    assert [await fixture.left(name) for name in known] == [9] * 90
    assert fixture.counted() == [10, 90]
    assert fixture.store.evicted == 0
    await fixture.store.aclose()


async def test_newcomers_may_use_rows_that_known_accounts_leave_free(path: Path) -> None:
    fixture = SqliteFixture(path, 100)
    for index in range(250):
        await fixture.open(f"open-{index}")
    assert list(fixture.rows()) == [f"open-{index}" for index in range(150, 250)]
    await fixture.store.aclose()


async def test_known_rows_are_evicted_least_recently_used_first_and_counted(path: Path) -> None:
    fixture = SqliteFixture(path, 100)
    for index in range(90):
        await fixture.answered(f"known-{index}")
    await fixture.answered("known-0")
    for index in range(90, 95):
        await fixture.answered(f"known-{index}")
    assert fixture.store.evicted == 5
    assert await fixture.left("known-0") == 8
    assert [await fixture.left(f"known-{index}") for index in range(1, 7)] == [10] * 5 + [9]
    await fixture.store.aclose()


async def test_expired_rows_are_evicted_first(path: Path) -> None:
    fixture = SqliteFixture(path, 100)
    hour = Quota("rph", Unit.REQUESTS, 99 * MICRO, 60 * MINUTE, Algorithm.SLIDING, 99 * MICRO)
    await fixture.answered("hourly", quota=hour)
    for index in range(89):
        await fixture.answered(f"known-{index}")
    fixture.clock.advance(us=2 * MINUTE)
    await fixture.answered("late")
    assert fixture.store.evicted == 0
    assert await fixture.left("hourly", hour) == 98
    await fixture.store.aclose()


async def test_a_file_with_more_rows_than_allowed_shrinks_to_the_limit(path: Path) -> None:
    fixture = SqliteFixture(path, 200)
    for index in range(150):
        await fixture.answered(f"known-{index}")
    fixture.max_identities = 50
    await fixture.reopen()
    for index in range(5):
        await fixture.answered(f"late-{index}")
    assert fixture.counted() == [0, 45]
    assert fixture.store.evicted == 110
    assert await fixture.left("known-149") == 9
    await fixture.store.aclose()


def test_a_file_too_small_for_newcomers_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="must be at least 10, found 9"):
        SqliteStore(path, ManualClock(), max_identities=9)


def test_an_empty_account_expires_at_once() -> None:
    assert expiry(Account(), [RPM, SLOTS], before=5, now=7) == 7
