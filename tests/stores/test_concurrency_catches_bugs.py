"""The suite of concurrency is proven too: these stores are right as long as one caller asks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import pytest

from querybudget import ledger
from querybudget.backends import Guarantees
from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.stores import MemoryStore, Store
from querybudget.testing import ManualClock
from querybudget.testing.contracts import StoreConcurrency
from querybudget.testing.contracts.concurrency import Place
from querybudget.units import Algorithm, Quota

ACCOUNTS = msgspec.msgpack.Decoder(dict[str, Account])
EVERYBODY = Guarantees(frozenset(Algorithm), "host")


class KeepsToItself(MemoryStore):
    guarantees = EVERYBODY


class ReadsThenWrites:
    """Accounts in a file, written whole; others come between reading it and writing it."""

    suspends = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now = ManualClock().now

    async def reserve(self, charge: Charge) -> Decision:
        everyone = await self._read()
        accounts = {name: everyone.setdefault(name, Account()) for name in charge.partitions}
        decision = ledger.reserve(accounts, charge, self._now)
        self._write(everyone)
        return decision

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        everyone = await self._read()
        accounts = {name: everyone[name] for name in reservation.partitions if name in everyone}
        settled = ledger.settle(accounts, reservation, amounts, self._now)
        self._write(everyone)
        return settled

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        return ledger.peek((await self._read()).get(partition, Account()), quotas, self._now)

    async def forget(self, partition: str) -> bool:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _read(self) -> dict[str, Account]:
        everyone = ACCOUNTS.decode(self._path.read_bytes()) if self._path.exists() else {}
        await asyncio.sleep(0)
        return everyone

    def _write(self, everyone: Mapping[str, Account]) -> None:
        new = self._path.with_suffix(f".{uuid.uuid4()}")
        new.write_bytes(msgspec.msgpack.encode(everyone))
        new.replace(self._path)


class ReadsThenWritesSettles(ReadsThenWrites):
    """Reserves in one step, and settles in two."""

    async def reserve(self, charge: Charge) -> Decision:
        everyone = ACCOUNTS.decode(self._path.read_bytes()) if self._path.exists() else {}
        accounts = {name: everyone.setdefault(name, Account()) for name in charge.partitions}
        decision = ledger.reserve(accounts, charge, self._now)
        self._write(everyone)
        return decision


class ChargesBesideLater(MemoryStore):
    """Of two partitions the second is charged whatever becomes of the first."""

    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        if not decision.admitted:
            await super().reserve(msgspec.structs.replace(charge, lines=charge.lines[1:]))
        return decision


@pytest.fixture(autouse=True, scope="module")
def processes() -> Iterator[None]:
    """They stay from test to test, as within a class of such tests."""
    yield
    StoreConcurrency.teardown_class()


def to_itself() -> Store:
    return KeepsToItself(ManualClock())


def beside() -> Store:
    return ChargesBesideLater(ManualClock())


def suite(where: Callable[[], Store]) -> StoreConcurrency:
    class Suite(StoreConcurrency):
        workers = 2
        calls = 20

        def place(self) -> Place:
            return where

    return Suite()


@pytest.mark.parametrize("kind", list(Algorithm), ids=str)
@pytest.mark.parametrize("who", ["tasks", "threads"])
def test_a_store_that_reads_and_then_writes_is_caught(
    who: str, kind: Algorithm, tmp_path: Path
) -> None:
    place = partial(ReadsThenWrites, tmp_path / "accounts")
    with pytest.raises(AssertionError, match="expected 10 admitted, found"):
        getattr(suite(place), f"test_exactly_n_of_2n_calls_of_{who}_are_admitted")(kind)


def test_it_is_caught_among_processes_too(tmp_path: Path) -> None:
    place = partial(ReadsThenWrites, tmp_path / "accounts")
    with pytest.raises(AssertionError, match="expected 10 admitted, found"):
        suite(place).test_exactly_n_of_2n_calls_of_processes_are_admitted(Algorithm.SLIDING)


@pytest.mark.parametrize("kind", list(Algorithm), ids=str)
def test_a_store_whose_settles_undo_each_other_is_caught(kind: Algorithm, tmp_path: Path) -> None:
    place = partial(ReadsThenWritesSettles, tmp_path / "accounts")
    with pytest.raises(AssertionError, match="to be used"):
        suite(place).test_what_tasks_settle_at_the_same_time_all_counts(kind)


@pytest.mark.parametrize("who", ["threads", "processes"])
def test_a_store_that_counts_for_itself_is_caught(who: str) -> None:
    with pytest.raises(AssertionError, match="expected"):
        getattr(suite(to_itself), f"test_exactly_n_of_2n_calls_of_{who}_are_admitted")(
            Algorithm.LEASE
        )


def test_a_store_that_leaves_phantom_charges_is_caught() -> None:
    with pytest.raises(AssertionError, match="expected 10 used of both"):
        suite(beside).test_exactly_n_of_2n_calls_of_tasks_are_admitted(Algorithm.GCRA)


def test_a_store_whose_reach_is_one_process_is_tried_among_tasks_only() -> None:
    ours = suite(partial(MemoryStore, ManualClock()))
    ours.test_exactly_n_of_2n_calls_of_tasks_are_admitted(Algorithm.SLIDING)
    with pytest.raises(pytest.skip.Exception, match=r"declared in guarantees\.reach"):
        ours.test_exactly_n_of_2n_calls_of_threads_are_admitted(Algorithm.SLIDING)


def test_the_failure_of_a_worker_is_reported() -> None:
    opened = count()

    def breaks_for_the_last() -> Store:
        if next(opened) == 2:
            raise ConnectionError("no server there")
        return to_itself()

    test = suite(breaks_for_the_last).test_exactly_n_of_2n_calls_of_threads_are_admitted
    with pytest.raises(ConnectionError, match="no server there"):
        test(Algorithm.SLIDING)


def test_a_suite_without_a_place_says_what_to_define() -> None:
    with pytest.raises(NotImplementedError, match=r"define place\(\)"):
        StoreConcurrency().test_exactly_n_of_2n_calls_of_tasks_are_admitted(Algorithm.SLIDING)
