"""A file that stays small: how long a row is kept, and who goes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from querybudget.coverage import Observation
from querybudget.ledger import GRACE, Account, Settled
from querybudget.stores.sqlite.rows import expiry
from querybudget.stores.sqlite.store import SqliteStore
from querybudget.testing import ManualClock
from querybudget.units import MICRO, Algorithm, Quota, Unit
from tests.stores.sqlite_bench import BREADTH, HOLD, MINUTE, RPM, SLOTS, FileBench

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budgets.db"


async def test_a_refusal_writes_nothing(path: Path) -> None:
    bench = FileBench(path)
    for _ in range(10):
        await bench.answered("network")
    before = bench.rows(), bench.clock.now
    assert not (await bench.reserve("network", "stranger")).admitted
    bench.clock.now = before[1]
    assert bench.rows() == before[0]
    await bench.store.aclose()


async def test_an_account_with_everything_given_back_is_dropped(path: Path) -> None:
    bench = FileBench(path)
    first, second = await bench.open("a", "b"), await bench.open("a")
    await bench.settle(first, 0, 0)
    assert list(bench.rows()) == ["a"]
    await bench.settle(second, 0)
    assert bench.rows() == {}
    assert bench.counted() == [0, 0]
    await bench.store.aclose()


async def test_a_caller_answered_once_stays_known_if_later_calls_are_given_back(path: Path) -> None:
    bench = FileBench(path)
    await bench.answered("known")
    bench.clock.advance(us=2 * MINUTE)
    await bench.unauthorised("known")
    assert [known for known, _ in bench.rows().values()] == [1]
    await bench.store.aclose()


async def test_a_settle_after_its_account_is_gone_creates_none(path: Path) -> None:
    bench = FileBench(path)
    lost = await bench.open("a", "b")
    assert await bench.store.forget("a")
    assert await bench.settle(lost, MICRO, MICRO) is Settled.DONE
    assert list(bench.rows()) == ["b"]
    assert await bench.settle(lost, MICRO, MICRO) is Settled.REPEATED
    await bench.store.aclose()


async def test_a_row_lasts_as_long_as_anything_in_it_matters(path: Path) -> None:
    bench = FileBench(path)
    reservation = await bench.open("caller")
    assert bench.rows()["caller"] == (0, HOLD + GRACE)
    await bench.settle(reservation, MICRO)
    assert bench.rows()["caller"] == (1, MINUTE)
    await bench.settle(await bench.open("caller"), 25 * MICRO)
    assert bench.rows()["caller"] == (1, 3 * MINUTE)
    await bench.store.aclose()


async def test_a_window_that_a_later_call_is_not_charged_on_keeps_its_row(path: Path) -> None:
    hour = Quota("rph", Unit.REQUESTS, 99 * MICRO, 60 * MINUTE, Algorithm.SLIDING, 99 * MICRO)
    bench = FileBench(path)
    await bench.answered("caller", quota=hour)
    await bench.answered("caller", quota=RPM)
    known, lasts = bench.rows()["caller"]
    assert known == 1
    assert lasts >= 60 * MINUTE - 1
    await bench.store.aclose()


async def test_a_lease_and_buckets_and_a_profile_keep_their_row(path: Path) -> None:
    bench = FileBench(path)
    for cell in (1, 2):
        observation = Observation((cell,), 0, bytes(32), ask=cell)
        await bench.answered("caller", quota=BREADTH, observation=observation)
    await bench.open("slots", quota=SLOTS)
    await bench.answered("empty", quota=BREADTH, observation=Observation())
    lasts = {key: lasts for key, (_, lasts) in bench.rows().items()}
    assert lasts["caller"] == 30 * 24 * 60 * MINUTE - 2
    assert lasts["slots"] == HOLD + GRACE - 1
    assert lasts["empty"] <= 0
    await bench.store.aclose()


async def test_expired_rows_are_removed_and_the_file_shrinks(
    path: Path,
) -> None:
    bench = FileBench(path, 10_000)
    for index in range(600):
        await bench.answered(f"{index:0>400}")
    await bench.reopen()
    large = bench.size() or 0
    bench.clock.advance(us=2 * MINUTE)
    for _ in range(600):
        bench.clock.advance(us=MINUTE)
        await bench.answered("regular")
    assert list(bench.rows()) == ["regular"]
    assert bench.counted() == [0, 1]
    await bench.reopen()
    await bench.left("regular")
    await bench.store.aclose()
    assert 0 < (bench.size() or 0) < large // 4
    assert bench.store.evicted == 0


async def test_a_flood_of_made_up_keys_evicts_no_answered_caller(path: Path) -> None:
    bench = FileBench(path, 100)
    known = [f"known-{index}" for index in range(90)]
    for name in known:
        await bench.answered(name)
    for index in range(300):
        await bench.open(f"open-{index}")
        await bench.unauthorised(f"unauthorised-{index}")
    await bench.open("last")
    assert [await bench.left(name) for name in known] == [9] * 90
    assert bench.counted() == [10, 90]
    assert bench.store.evicted == 0
    await bench.store.aclose()


async def test_newcomers_may_use_rows_that_known_accounts_leave_free(path: Path) -> None:
    bench = FileBench(path, 100)
    for index in range(250):
        await bench.open(f"open-{index}")
    assert list(bench.rows()) == [f"open-{index}" for index in range(150, 250)]
    await bench.store.aclose()


async def test_known_rows_are_evicted_least_recently_used_first_and_counted(path: Path) -> None:
    bench = FileBench(path, 100)
    for index in range(90):
        await bench.answered(f"known-{index}")
    await bench.answered("known-0")
    for index in range(90, 95):
        await bench.answered(f"known-{index}")
    assert bench.store.evicted == 5
    assert await bench.left("known-0") == 8
    assert [await bench.left(f"known-{index}") for index in range(1, 7)] == [10] * 5 + [9]
    await bench.store.aclose()


async def test_expired_rows_are_evicted_first(path: Path) -> None:
    bench = FileBench(path, 100)
    hour = Quota("rph", Unit.REQUESTS, 99 * MICRO, 60 * MINUTE, Algorithm.SLIDING, 99 * MICRO)
    await bench.answered("hourly", quota=hour)
    for index in range(89):
        await bench.answered(f"known-{index}")
    bench.clock.advance(us=2 * MINUTE)
    await bench.answered("late")
    assert bench.store.evicted == 0
    assert await bench.left("hourly", hour) == 98
    await bench.store.aclose()


async def test_a_file_with_more_rows_than_allowed_shrinks_to_the_limit(path: Path) -> None:
    bench = FileBench(path, 200)
    for index in range(150):
        await bench.answered(f"known-{index}")
    bench.most = 50
    await bench.reopen()
    for index in range(5):
        await bench.answered(f"late-{index}")
    assert bench.counted() == [0, 45]
    assert bench.store.evicted == 110
    assert await bench.left("known-149") == 9
    await bench.store.aclose()


def test_a_file_too_small_for_newcomers_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="must be at least 10, found 9"):
        SqliteStore(path, ManualClock(), max_identities=9)


def test_an_empty_account_expires_at_once() -> None:
    assert expiry(Account(), [RPM, SLOTS], before=5, now=7) == 7
