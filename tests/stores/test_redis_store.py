"""What the store in Redis promises beside the contract: of keys, connections, versions, secrets."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import os
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from querybudget.backends import StoreSettings
from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Charge, Line, Settled
from querybudget.resilience.guard import Guard
from querybudget.resilience.health import StoreStats
from querybudget.resilience.outbox import Outbox
from querybudget.stores import open_store, system_clock
from querybudget.stores.redis import RedisStore, scripts
from querybudget.stores.redis.pipelining import PIPELINES
from querybudget.testing.contracts.fixtures import quota_of, seen, wide
from querybudget.units import MICRO, ORDINARY_PRICE, SECOND, Algorithm, Micros, Quota, Unit
from tests.servers.cluster import ClusterSet
from tests.servers.fixtures import Servers
from tests.servers.process import Process, free_port
from tests.servers.redis import RedisServer
from tests.stores.redis_worker import HOLD, LINES

pytestmark = pytest.mark.anyio

PREFIXES = (f"store-{number}" for number in itertools.count())
SLIDING = quota_of(Algorithm.SLIDING)


@asynccontextmanager
async def opened(url: str, prefix: str) -> AsyncGenerator[RedisStore, None]:
    store = RedisStore(StoreSettings(url, timeout=10 * SECOND, prefix=prefix))
    try:
        yield store
    finally:
        await store.aclose()


def charge(name: str, *quotas: Quota, partition: str = "caller") -> Charge:
    lines = tuple(Line(partition, quota, MICRO, MICRO) for quota in quotas or (SLIDING,))
    return Charge(name, lines, 600 * SECOND)


async def left(store: RedisStore, quota: Quota = SLIDING) -> int:
    return (await store.peek("caller", (quota,)))[0][0] // MICRO


# -- Keys -----------------------------------------------------------------------------------------


async def any_history(store: RedisStore, seed: int) -> None:
    """Calls of every kind, admitted and refused, some settled, some never."""
    chance = random.Random(seed)
    quotas = [quota_of(kind, 6 * MICRO, f"{kind}") for kind in Algorithm] + [wide(6).quota]
    for number in range(80):
        chosen = chance.sample(quotas, chance.randint(1, len(quotas)))
        partitions = chance.sample(("caller", "team", "everyone"), 2)
        lines = tuple(
            Line(chance.choice(partitions), quota, MICRO, MICRO, chance.random() < 0.2)
            for quota in chosen
        )
        covers = any(quota.unit is Unit.BUCKETS for quota in chosen)
        observation = seen(chance.randrange(20)) if covers else None
        profiled = ("identity", *partitions) if covers else ()
        asked = Charge(
            f"{seed}-{number}", lines, 600 * SECOND, ORDINARY_PRICE, observation, profiled
        )
        reservation = (await store.reserve(asked)).reservation
        if reservation and chance.random() < 0.7:
            used = [chance.choice((0, MICRO, 3 * MICRO)) for _ in lines]
            assert await store.settle(reservation, used) is Settled.DONE


@pytest.mark.parametrize("seed", range(3))
async def test_every_key_starts_with_the_prefix_and_expires(
    redis_servers: Servers[RedisServer], seed: int
) -> None:
    server = redis_servers()
    async with opened(server.url, "mine:here") as store:
        await any_history(store, seed)
    keys = server.call("KEYS", "*")
    assert len(keys) > 3, f"expected accounts and open calls, found {keys}"
    assert {key for key in keys if not key.startswith("mine:here:")} == set()
    assert {key: end for key in keys if (end := server.call("PTTL", key)) <= 0} == {}


async def test_stores_of_different_prefixes_do_not_touch(redis_server: RedisServer) -> None:
    one, other = next(PREFIXES), next(PREFIXES)
    async with opened(redis_server.url, one) as mine, opened(redis_server.url, other) as theirs:
        assert (await mine.reserve(charge("call"))).admitted
        assert await left(theirs) == 10
        assert not await theirs.forget("caller")
        assert await left(mine) == 9


async def test_a_forgotten_caller_has_no_key(redis_servers: Servers[RedisServer]) -> None:
    server = redis_servers()
    async with opened(server.url, "forgotten") as store:
        decision = await store.reserve(charge("call"))
        assert decision.reservation
        await store.settle(decision.reservation, [MICRO])
        assert server.call("DBSIZE") == 1
        assert await store.forget("caller")
        assert server.call("DBSIZE") == 0


# -- Connections ----------------------------------------------------------------------------------


async def test_500_calls_at_once_need_few_connections(redis_servers: Servers[RedisServer]) -> None:
    server = redis_servers()
    half = quota_of(Algorithm.SLIDING, 250 * MICRO)
    async with opened(server.url, "many") as store:
        calls = (store.reserve(charge(f"call-{number}", half)) for number in range(500))
        decisions = await asyncio.gather(*calls)
        assert sum(decision.admitted for decision in decisions) == 250
        clients = server.call("CLIENT", "LIST").splitlines()
        assert len(clients) - 1 <= PIPELINES, "expected one connection a pipeline, and the test's"


async def test_500_calls_at_once_on_a_cluster_are_all_answered(redis_cluster: ClusterSet) -> None:
    half = quota_of(Algorithm.SLIDING, 250 * MICRO)
    async with opened(redis_cluster.url, next(PREFIXES)) as store:
        calls = (store.reserve(charge(f"call-{number}", half)) for number in range(500))
        decisions = await asyncio.gather(*calls)
        assert sum(decision.admitted for decision in decisions) == 250


# -- Versions -------------------------------------------------------------------------------------


async def test_two_versions_of_the_scripts_at_once_admit_exactly_n_of_2n(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, versions = scripts._operation, itertools.count()
    sent = set[bytes]()

    def either(name: str) -> scripts.Script:
        script = ours(name)
        if next(versions) % 2:
            text = script.text + b"\n-- another version"
            digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
            library = script.library.replace(b"querybudget_", b"querybudget_other_")
            function = script.function.replace(b"querybudget_", b"querybudget_other_")
            script = scripts.Script(text, digest, function, library)
        sent.add(script.function)
        return script

    monkeypatch.setattr(scripts, "_operation", either)
    prefix = next(PREFIXES)
    async with opened(redis_server.url, prefix) as one, opened(redis_server.url, prefix) as other:
        calls = (
            store.reserve(charge(f"call-{number}", SLIDING, quota_of(Algorithm.LEASE, name="l")))
            for number, store in zip(range(20), itertools.cycle((one, other)), strict=False)
        )
        decisions = await asyncio.gather(*calls)
        assert sum(decision.admitted for decision in decisions) == 10
        assert len(sent) == 2
        for number, decision in enumerate(decisions):
            if decision.reservation:
                store = (other, one)[number % 2]
                assert await store.settle(decision.reservation, (0, 0)) is Settled.DONE
        assert await left(one) == 10


async def test_an_account_of_a_later_version_is_an_error_and_is_left_as_it_is(
    redis_server: RedisServer,
) -> None:
    prefix = next(PREFIXES)
    async with opened(redis_server.url, prefix) as store:
        decision = await store.reserve(charge("before"))
        assert decision.reservation
        key = store._single.key("caller")
        kept = redis_server.call("GET", key)
        later = "\x63" + kept[1:]
        redis_server.call("SET", key, later, "KEEPTTL")
        with pytest.raises(StoreError, match=r"layout 99.*later version"):
            await store.reserve(charge("call"))
        with pytest.raises(StoreError, match="later version"):
            await store.settle(decision.reservation, [0])
        with pytest.raises(StoreError, match="later version"):
            await store.peek("caller", [SLIDING])
        assert redis_server.call("GET", key) == later
        assert (await store.reserve(charge("other", partition="other"))).admitted
        assert await store.forget("caller")
        assert (await store.reserve(charge("again"))).admitted


async def test_a_charge_that_cannot_be_given_back_does_not_block_others(
    redis_server: RedisServer,
) -> None:
    prefix = next(PREFIXES)
    async with opened(redis_server.url, prefix) as store:
        lost, other = charge("lost", partition="later"), charge("other")
        for each in (lost, other):
            assert (await store.reserve(each)).admitted
            store._doubtful.append((each, 0))  # as if no server had answered
        redis_server.call("SET", f"{prefix}:{{later}}", "cannot be read")
        for name in ("one", "two"):
            assert (await store.reserve(charge(name, partition="anyone"))).admitted
            assert store._undoing is not None
            await store._undoing
        assert await left(store) == SLIDING.limit // MICRO
        assert [tries for _, tries in store._doubtful] == [2]


# -- Workers --------------------------------------------------------------------------------------


async def test_a_lease_of_a_killed_worker_is_free_when_it_expires(
    redis_servers: Servers[RedisServer], faketime: None
) -> None:
    server = redis_servers(faketime=True)
    command = [sys.executable, "-m", "tests.stores.redis_worker", server.url]
    root = str(Path(__file__).parents[2])
    worker = Process(
        command,
        ready="admitted True",
        env={"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])},
    )
    worker.start()
    worker.kill()
    async with opened(server.url, "killed") as store:
        assert not (await store.reserve(Charge("too early", LINES, HOLD))).admitted
        server.set_clock(HOLD // SECOND + 1)
        assert (await store.reserve(Charge("in time", LINES, HOLD))).admitted
        ((calls, _),) = await store.peek("caller", [LINES[1].quota])
        assert calls == 7 * MICRO, "expected the killed call to stay at its estimate"


# -- Secrets --------------------------------------------------------------------------------------


async def test_a_password_is_in_no_error_and_no_log(
    redis_servers: Servers[RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = redis_servers(conf=["requirepass another"])
    said: list[str] = []
    for port in (server.port, free_port()):
        url = f"redis://someone:hunter2@127.0.0.1:{port}/0"
        store = open_store(StoreSettings(url, timeout=10 * SECOND), system_clock())
        clock, stats = system_clock(), StoreStats(Micros(0))
        guard = Guard(store, clock, stats, Outbox(clock), timeout=10 * SECOND)
        for number in range(6):
            with pytest.raises(StoreError) as failure:
                await guard.reserve(charge(f"call-{number}"))
            said.append(str(failure.value))
        said.append(stats.last_error)
        await guard.aclose()
        await store.aclose()
    assert "hunter2" not in "\n".join([*said, caplog.text])
    assert "is down" in caplog.text, "expected the log to have something to hide it from"


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@host:port",
        "redis://:hun/ter2@host",
        "redis+sentinel://:hunter2@host",
        "redis+cluster://:hunter2@",
        "redis://:hunter2@host/0?socket_timeout=soon",
    ],
)
def test_a_malformed_url_is_reported_without_its_password(url: str) -> None:
    with pytest.raises(SetupError) as failure:
        RedisStore(StoreSettings(url))
    assert "cannot use redis" in str(failure.value)
    assert "hun" not in str(failure.value)
    assert failure.value.__cause__ is None, "expected no traceback that holds the URL"
