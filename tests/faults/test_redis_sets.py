"""Sentinels that put a replica in its master's place, and slots of a Cluster on their way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

import pytest

from querybudget.errors import StoreError
from querybudget.ledger import Decision, Settled
from tests.faults.redis_calls import LIMIT, admitted, failures, guarded
from tests.servers.cluster import ClusterSet
from tests.servers.fixtures import Servers
from tests.servers.sentinel import SentinelSet

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_replica_that_takes_over_has_what_was_charged(
    sentinel_sets: Servers[SentinelSet],
) -> None:
    servers = sentinel_sets()
    async with guarded(servers.url) as bench:
        before = await bench.calls("before", LIMIT // 2)
        assert admitted(before) == LIMIT // 2, f"found {failures(before)}"
        assert servers.master.call("WAIT", 1, 5_000) == 1
        await asyncio.to_thread(servers.fail_over)
        last = await bench.back("back")
        again = await bench.calls("again", 2 * LIMIT)
        assert admitted([*before, last, *again]) == LIMIT, f"found {failures(again)}"
        for each in before:
            assert await bench.settle(each, 0) is Settled.DONE
        assert await bench.used() == LIMIT // 2


async def test_calls_during_a_failover_fail_or_count(sentinel_sets: Servers[SentinelSet]) -> None:
    servers = sentinel_sets()
    async with guarded(servers.url) as bench:
        await bench.settle(await bench.call("first"), 0)
        failing = asyncio.create_task(asyncio.to_thread(servers.fail_over))
        numbers = itertools.count()
        outcome: Decision | StoreError | None = None
        while not failing.done() and not isinstance(outcome, StoreError):
            outcome = await bench.call(f"amid-{next(numbers)}")
        await failing
        last = await bench.back("back")
        again = await bench.calls("again", 2 * LIMIT)
        # The last moments before a master's death may never have reached its replica.
        assert admitted([last, *again]) <= LIMIT
        await bench.comes_to(LIMIT)


async def test_a_moving_slot_loses_nothing_and_charges_nothing_twice(
    cluster_sets: Servers[ClusterSet],
) -> None:
    cluster = cluster_sets()
    async with guarded(cluster.url) as bench:
        slot = cluster.slot_of("faults:{caller}")
        target = next(node for node in cluster.nodes if node is not cluster.owner(slot))
        done = [await bench.call("begin")]
        open_calls = await bench.calls("open", 6)
        assert admitted(open_calls) == len(open_calls), f"found {failures(open_calls)}"

        cluster.begin_migration(slot, target)
        done += await bench.calls("started", 3)
        settled = [await answered(bench.settle(open_calls[0], 0))]
        cluster.move_keys(slot, 3)
        done += await bench.calls("half", 3)
        settled.append(await answered(bench.settle(open_calls[1], 0)))
        cluster.move_keys(slot)
        done += await bench.calls("moved", 3)
        settled.append(await answered(bench.settle(open_calls[2], 0)))
        cluster.end_migration(slot)

        last = await bench.back("back")
        for each, found in zip(open_calls[:3], settled, strict=True):
            if found is None:  # it was said to have failed: it is sent again, as an outbox does
                assert await bench.settle(each, 0) in {Settled.DONE, Settled.REPEATED}
        assert admitted(done) + last.admitted + 3 == await bench.used()
        for each in open_calls[3:]:
            assert await bench.settle(each, 0) is Settled.DONE
        again = await bench.calls("again", 2 * LIMIT)
        assert admitted([*done, last, *again]) == LIMIT, f"found {failures(again)}"


async def test_a_slot_that_moves_during_a_burst_admits_the_limit(
    cluster_sets: Servers[ClusterSet],
) -> None:
    cluster = cluster_sets()
    async with guarded(cluster.url) as bench:
        slot = cluster.slot_of("faults:{caller}")
        target = next(node for node in cluster.nodes if node is not cluster.owner(slot))
        await bench.settle(await bench.call("first"), 0)
        burst = bench.burst("burst", 3 * LIMIT)
        await asyncio.wait(burst, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.to_thread(cluster.migrate, slot, target)
        outcomes = await asyncio.gather(*burst)
        last = await bench.back("back")
        again = await bench.calls("again", 2 * LIMIT)
        assert admitted([*outcomes, last, *again]) == LIMIT, f"found {failures(again)}"
        await bench.comes_to(LIMIT)


async def answered(settling: Coroutine[Any, Any, Settled]) -> Settled | None:
    """What a settle came to; None where the store did not answer."""
    try:
        return await settling
    except StoreError:
        return None
