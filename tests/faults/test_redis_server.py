"""A Redis server that is killed, frozen, full, or forgets its scripts, under calls."""

from __future__ import annotations

import asyncio

import pytest

from querybudget.errors import StoreError
from querybudget.ledger import Decision, Settled
from querybudget.units import MICRO, SECOND
from tests.faults.redis_calls import LIMIT, QUOTA, Guarded, admitted, failures, guarded
from tests.servers.fixtures import Servers
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

IN_TIME = 5.0
"""Seconds: what a call may take at most on a busy machine, where its time-out is a fifth of one."""


async def killed_amid_a_burst(bench: Guarded, server: RedisServer) -> list[Decision | StoreError]:
    """The outcomes of a burst whose server is killed at its first answer."""
    await bench.settle(await bench.call("first"), 0)
    burst = bench.burst("burst", 3 * LIMIT)
    await asyncio.wait(burst, return_when=asyncio.FIRST_COMPLETED)
    server.kill()
    return await asyncio.gather(*burst)


async def test_a_server_killed_during_a_burst_starts_empty_and_is_used_again(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers()
    async with guarded(server.url) as bench:
        outcomes = await killed_amid_a_burst(bench, server)
        assert admitted(outcomes) <= LIMIT
        assert isinstance(await bench.call("away"), StoreError)
        server.start()
        await bench.settle(await bench.back("back"), 0)
        again = await bench.calls("again", 2 * LIMIT)
        assert admitted(again) == LIMIT, f"expected a new budget, found {failures(again)}"
        lost = [each for each in outcomes if isinstance(each, Decision) and each.reservation]
        for each in lost:
            assert await bench.settle(each, 0) is Settled.REPEATED
        assert await bench.used() == LIMIT, "expected nothing to be given back that was lost"


async def test_a_server_killed_during_a_burst_that_kept_its_data_admits_the_limit_in_all(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers(conf=["appendonly yes", "appendfsync always"])
    async with guarded(server.url) as bench:
        outcomes = await killed_amid_a_burst(bench, server)
        server.start()
        last = await bench.back("back")
        await bench.comes_to(admitted(outcomes) + last.admitted)  # what got no answer is undone
        again = await bench.calls("again", 2 * LIMIT)
        assert admitted([*outcomes, last, *again]) == LIMIT
        kept = [each for each in outcomes if isinstance(each, Decision) and each.reservation]
        for each in kept:
            assert await bench.settle(each, 0) is Settled.DONE
        assert await bench.used() == LIMIT - len(kept)


async def test_calls_on_a_frozen_server_fail_in_time_and_stay_uncharged(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers()
    async with guarded(server.url, SECOND // 5) as bench:
        held = await bench.back("held")
        server.pause()
        frozen = await bench.calls("frozen", LIMIT)
        assert len(failures(frozen)) == LIMIT, "expected no answer from a frozen server"
        assert bench.slowest < IN_TIME
        assert not bench.guard.up
        assert str(await bench.call("while down")).startswith("the store (redis) is down")
        server.resume()
        bench.allow_time()
        first = await bench.back("back")
        await bench.comes_to(1 + first.admitted)  # all that was charged late is given back
        assert await bench.settle(held, 0) is Settled.DONE
        await bench.comes_to(int(first.admitted))
        assert admitted(await bench.calls("again", 2 * LIMIT)) == LIMIT - first.admitted


async def test_a_full_server_refuses_charges_and_settles_calls(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers(conf=["maxmemory-policy noeviction"])
    async with guarded(server.url) as bench:
        open_calls = [await bench.call(f"call-{number}") for number in range(3)]
        server.call("CONFIG", "SET", "maxmemory", 1)
        full = await bench.call("full")
        assert isinstance(full, StoreError)
        assert "OutOfMemory" in str(full), f"expected the reason, found {full}"
        assert await bench.settle(open_calls[0], 0) is Settled.DONE
        assert await bench.settle(open_calls[1], 5 * MICRO) is Settled.DONE
        assert await bench.used() == 6, "expected a settle to be counted, and the refused call not"
        server.call("CONFIG", "SET", "maxmemory", 0)
        assert (await bench.back("back")).admitted
        assert await bench.used() == 7


async def test_calls_succeed_while_scripts_are_flushed(redis_servers: Servers[RedisServer]) -> None:
    server = redis_servers()
    async with guarded(server.url) as bench:
        outcomes: list[Decision | StoreError] = []
        for number in range(6):
            burst = bench.burst(f"burst-{number}", LIMIT // 2)
            await asyncio.to_thread(server.call, "SCRIPT", "FLUSH")
            outcomes += await asyncio.gather(*burst)
            server.call("SCRIPT", "FLUSH")
        assert failures(outcomes) == []
        assert admitted(outcomes) == LIMIT
        for each in outcomes:
            if isinstance(each, Decision) and each.reservation:
                server.call("SCRIPT", "FLUSH")
                assert await bench.settle(each, 0) is Settled.DONE
        assert await bench.used() == 0


async def test_a_clock_set_back_an_hour_grants_nothing_until_it_returns(
    redis_servers: Servers[RedisServer], faketime: None
) -> None:
    server = redis_servers(faketime=True)
    async with guarded(server.url) as bench:
        assert admitted(await bench.calls("first", 2 * LIMIT)) == LIMIT
        server.set_clock(-3_600)
        assert admitted(await bench.calls("back", LIMIT)) == 0
        server.set_clock(-3_600 + 60)
        refused = await bench.call("a minute later")
        assert isinstance(refused, Decision)
        assert not refused.admitted
        server.set_clock(2 * 3_600)
        assert admitted(await bench.calls("forth", 2 * LIMIT)) == LIMIT
        ((left, reset),) = await bench.store.peek("caller", (QUOTA,))
        assert left == 0
        assert 0 < reset <= QUOTA.window + QUOTA.slot
