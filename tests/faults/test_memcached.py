from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from querybudget.errors import StoreError
from querybudget.ledger import Charge, Decision, Line, Settled
from querybudget.stores import Store, open_store
from querybudget.testing import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit
from tests.servers.fixtures import Servers
from tests.servers.memcached import Memcached
from tests.servers.process import PATIENCE
from tests.stores.limits_worker import LIMIT, TIGHT, WIDE

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

QUOTA = Quota("budget", Unit.TOKENS, 100 * MICRO, 3_600 * SECOND, Algorithm.SLIDING, 100 * MICRO)


def charge(name: str, amount: int = MICRO) -> Charge:
    return Charge(name, (Line("caller", QUOTA, amount, amount),), 600 * SECOND)


async def outcome(store: Store, name: str) -> Decision | StoreError:
    try:
        return await store.reserve(charge(name))
    except StoreError as error:
        return error


async def left(store: Store) -> int:
    return (await store.peek("caller", (QUOTA,)))[0][0]


async def test_calls_fail_while_a_server_killed_during_a_burst_is_away_and_recover(
    memcached_servers: Servers[Memcached],
) -> None:
    server = memcached_servers()
    store = open_store(server.url, ManualClock())
    assert isinstance(await outcome(store, "first"), Decision)
    burst = [asyncio.create_task(outcome(store, f"call-{number}")) for number in range(60)]
    await asyncio.wait(burst, return_when=asyncio.FIRST_COMPLETED)
    server.kill()
    outcomes = await asyncio.wait_for(asyncio.gather(*burst), PATIENCE)
    failed = await asyncio.wait_for(outcome(store, "while it is away"), PATIENCE)
    assert isinstance(failed, StoreError)
    assert str(failed).startswith("memcached:// cannot answer now (")
    server.start()
    back = await asyncio.wait_for(outcome(store, "when it is back"), PATIENCE)
    assert isinstance(back, Decision)
    assert await left(store) == 99 * MICRO, "expected it to start again"
    for one in outcomes:
        if isinstance(one, Decision) and one.reservation:
            assert await store.settle(one.reservation, (0,)) is Settled.DONE
    assert await left(store) <= 100 * MICRO, "expected nothing below zero"
    await store.aclose()


async def test_a_settle_while_the_server_is_away_raises_and_leaves_the_estimate(
    memcached_servers: Servers[Memcached],
) -> None:
    server = memcached_servers()
    store = open_store(server.url, ManualClock())
    decision = await store.reserve(charge("call", 5 * MICRO))
    assert decision.reservation
    server.kill()
    with pytest.raises(StoreError):
        await asyncio.wait_for(store.settle(decision.reservation, (0,)), PATIENCE)
    server.start()
    assert await store.settle(decision.reservation, (0,)) is Settled.REPEATED
    assert await left(store) == 100 * MICRO
    await store.aclose()


async def test_a_store_closes_after_a_caller_gave_up_on_a_frozen_server(
    memcached_servers: Servers[Memcached],
) -> None:
    server = memcached_servers()
    store = open_store(server.url, ManualClock())
    assert (await store.reserve(charge("before"))).admitted
    server.pause()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.reserve(charge("frozen")), 0.02)
    server.resume()
    assert (await asyncio.wait_for(store.reserve(charge("after")), PATIENCE)).admitted
    assert await left(store) in (98 * MICRO, 97 * MICRO)
    server.pause()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.reserve(charge("frozen again")), 0.02)
    await asyncio.wait_for(store.aclose(), PATIENCE)


async def test_a_server_that_was_never_there_is_an_error(
    memcached_servers: Servers[Memcached],
) -> None:
    server = memcached_servers()
    server.kill()
    store = open_store(server.url, ManualClock())
    for name in ("one", "two", "three", "four"):
        assert isinstance(await asyncio.wait_for(outcome(store, name), PATIENCE), StoreError)
    server.start()
    assert isinstance(await asyncio.wait_for(outcome(store, "five"), PATIENCE), Decision)
    await store.aclose()


async def test_two_workers_together_admit_the_limit_and_leave_no_refused_call_charged(
    memcached_server: Memcached,
) -> None:
    memcached_server.flush()
    workers = [
        subprocess.Popen(  # noqa: ASYNC220 - it is asked to wait by its pipe, and is awaited there
            [sys.executable, "-m", "tests.stores.limits_worker", memcached_server.url, name, "200"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    try:
        for worker in workers:
            assert worker.stdout
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin
            worker.stdin.write("go\n")
            worker.stdin.flush()
        admitted = sum(int(worker.communicate(timeout=300)[0]) for worker in workers)
    finally:
        for worker in workers:
            with worker:
                worker.kill()
    assert admitted == LIMIT
    store = open_store(memcached_server.url, ManualClock())
    found = await store.peek("caller", (WIDE, TIGHT))
    assert [remaining for remaining, _ in found] == [7 * LIMIT * MICRO, 0]
    await store.aclose()
