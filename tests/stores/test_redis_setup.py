"""A Redis store that can never work fails the start and says why; one that is down does not."""

from __future__ import annotations

import logging

import pytest

from querybudget.errors import SetupError, StoreError, UnusableStoreError
from querybudget.ledger import Charge, Line
from querybudget.limiter import Limiter
from querybudget.policy import Policy
from querybudget.stores import StoreSettings
from querybudget.stores.redis import RedisStore
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit
from tests.servers import ClusterSet, RedisServer, SentinelSet
from tests.servers.fixtures import Servers
from tests.servers.process import free_port

pytestmark = pytest.mark.anyio

QUOTA = Quota("calls", Unit.REQUESTS, 9 * MICRO, 60 * SECOND, Algorithm.SLIDING, 9 * MICRO)
ACL = "~querybudget:* -@all +evalsha +eval +script|load +get +set +psetex +pttl +del +time"
"""What the page on stores lists."""

MONTHLY = Quota("month", Unit.REQUESTS, MICRO, 2_592_000 * SECOND, Algorithm.SLIDING, MICRO)


async def started(url: str) -> None:
    store = RedisStore(StoreSettings(url, timeout=60 * SECOND))
    try:
        await store.start()
        line = Line("caller", QUOTA, MICRO, MICRO)
        assert (await store.reserve(Charge("call", (line,), 60 * SECOND))).admitted
    finally:
        await store.aclose()


async def refused(url: str) -> str:
    """Return why a store does not start: with a `SetupError`, also through the limiter."""
    with pytest.raises(SetupError) as failure:
        await started(url)
    rules = {"secret": "0123456789abcdef", "budgets": [{"name": "n", "limit": "9/minute"}]}
    store = {"url": url, "timeout": "60s"}
    with pytest.raises(SetupError):
        async with Limiter(Policy.load({"version": 1, "store": store, **rules})):
            pass
    return str(failure.value)


# -- Options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://h/0?decode_responses=True", ["`decode_responses`", "leave", "bytes"]),
        ("redis://h/0?encoding=latin-1", ["`encoding`", "leave"]),
        ("redis://h/0?retry_on_timeout=yes", ["`retry_on_timeout`", "tries again by itself"]),
        ("redis://h/0?timeout=3", ["`timeout`", "under `store` in the policy"]),
        ("redis://h/0?socket_timout=3", ["`socket_timout`", "did you mean `socket_timeout`"]),
        ("redis://h/0?SOCKET_TIMEOUT=3", ["did you mean `socket_timeout`"]),
        ("redis://h/0?nonsense=1", ["`nonsense`", "`client_name`", "`socket_timeout`"]),
        ("redis://h/0?db=", ["`db`", "a whole number"]),
        ("redis://h/0?db=one", ["`db`", "a whole number"]),
        ("redis://h/0?max_connections=0", ["`max_connections`", "above 0"]),
        ("redis://h/0?max_connections=many", ["`max_connections`", "above 0"]),
        ("redis://h/0?protocol=4", ["`protocol`", "2 or 3"]),
        ("redis://h/0?socket_timeout=0", ["`socket_timeout`", "seconds above 0"]),
        ("redis://h/0?socket_timeout=nan", ["`socket_timeout`", "seconds above 0"]),
        ("redis://h/0?socket_timeout=soon", ["`socket_timeout`", "seconds above 0"]),
        ("redis://h/0?socket_timeout=1&socket_timeout=2", ["`socket_timeout`", "twice"]),
        ("redis://h/0?ssl_ca_certs=/x.pem", ["`ssl_ca_certs`", "rediss://"]),
        ("rediss://h/0?ssl_cert_reqs=maybe", ["`ssl_cert_reqs`", "none, optional or required"]),
        ("rediss://h/0?ssl_cacerts=/x.pem", ["did you mean `ssl_ca_certs`"]),
        ("redis://h/first", ["the number of a database"]),
        ("redis://h/0/1", ["the number of a database"]),
        ("redis+unix:///tmp/x.sock?dbb=1", ["did you mean `db`"]),
        ("redis+sentinel://h/mymaster?sentinal_password=x", ["did you mean `sentinel_password`"]),
        ("redis+cluster://h:1/0?ssl=true", ["no options", "`ssl`"]),
        ("redis+cluster://h:1/3", ["only number 0"]),
        ("valkey://h/0?decode_responses=1", ["`decode_responses`"]),
    ],
)
def test_an_option_that_cannot_work_is_named(url: str, words: list[str]) -> None:
    with pytest.raises(SetupError) as failure:
        RedisStore(StoreSettings(url))
    for word in words:
        assert word in str(failure.value)


async def test_every_option_that_is_taken_works(redis_server: RedisServer) -> None:
    options = [
        "db=1",
        "client_name=budgets",
        "health_check_interval=30",
        "max_connections=1",
        "protocol=2",
        "protocol=3",
        "socket_connect_timeout=60",
        "socket_keepalive=true",
        "socket_timeout=60.5",
    ]
    for option in options:
        await started(f"{redis_server.url}?{option}")


async def test_a_certificate_file_that_is_not_there_is_named() -> None:
    said = await refused(f"rediss://127.0.0.1:{free_port()}/0?ssl_ca_certs=/nowhere/own.pem")
    assert "`ssl_ca_certs`" in said


# -- Servers that answer "never" --------------------------------------------------------------


async def test_a_wrong_password_or_none_fails_the_start(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers(conf=["requirepass right"])
    where = f"127.0.0.1:{server.port}/0"
    assert "check the user and password" in await refused(f"redis://:wrong@{where}")
    assert "check the user and password" in await refused(f"redis://nobody:right@{where}")
    assert "the server wants a password" in await refused(f"redis://{where}")
    await started(f"redis://:right@{where}")


async def test_a_database_that_the_server_does_not_have_fails_the_start(
    redis_server: RedisServer,
) -> None:
    said = await refused(redis_server.url.removesuffix("0") + "99")
    assert "expected the number of a database that the server has" in said


async def test_a_read_only_replica_fails_the_start(redis_servers: Servers[RedisServer]) -> None:
    master = redis_servers()
    replica = redis_servers(conf=[f"replicaof 127.0.0.1 {master.port}"])
    replica.process.wait_for("Finished with success")
    assert "read-only replica: name its master" in await refused(replica.url)


async def test_a_node_of_a_cluster_by_the_url_of_a_server_fails_the_start(
    redis_cluster: ClusterSet,
) -> None:
    for node in redis_cluster.nodes:
        said = await refused(node.url)
        assert "redis+cluster://" in said
    assert "redis+cluster://" in await refused(redis_cluster.nodes[0].url.removesuffix("0") + "1")


async def test_a_server_by_the_url_of_a_cluster_fails_the_start(redis_server: RedisServer) -> None:
    said = await refused(f"redis+cluster://127.0.0.1:{redis_server.port}")
    assert "the server is no cluster: expected redis://" in said


@pytest.mark.parametrize("lacking", ["+evalsha", "+script|load", "+set", "+get", "+time", "~"])
async def test_a_user_without_a_permission_fails_the_start(
    redis_servers: Servers[RedisServer], lacking: str
) -> None:
    rules = " ".join(rule for rule in ACL.split() if not rule.startswith(lacking))
    server = redis_servers(conf=[f"user budgets on >word {rules}"])
    said = await refused(f"redis://budgets:word@127.0.0.1:{server.port}/0")
    assert "Permissions" in said
    assert "word" not in said.replace("password", "")


async def test_a_user_with_the_documented_permissions_starts(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers(conf=[f"user budgets on >word {ACL}"])
    url = f"redis://budgets:word@127.0.0.1:{server.port}/0"
    await started(url)
    store = RedisStore(StoreSettings(url, timeout=10 * SECOND))
    lines = (Line("stranger", MONTHLY, MICRO, MICRO),)
    decision = await store.reserve(Charge("call", lines, 60 * SECOND, verified=False))
    assert decision.reservation
    await store.settle(decision.reservation, [MICRO])
    with pytest.raises(StoreError, match="Permissions"):
        await store.accounts()
    await store.aclose()


# -- Servers that answer "not now" ------------------------------------------------------------


async def test_a_server_that_is_down_or_full_is_no_setup_error(
    redis_servers: Servers[RedisServer], redis_sentinel: SentinelSet
) -> None:
    with pytest.raises(StoreError) as failure:
        await started(f"redis://127.0.0.1:{free_port()}/0")
    assert not isinstance(failure.value, UnusableStoreError)
    with pytest.raises(StoreError) as failure:
        await started("redis+unix:///tmp/querybudget-nowhere.sock")
    assert not isinstance(failure.value, UnusableStoreError)
    full = redis_servers(conf=["maxmemory 1", "maxmemory-policy noeviction"])
    with pytest.raises(StoreError, match="memory") as failure:
        await started(full.url)
    assert not isinstance(failure.value, UnusableStoreError)
    await started(redis_sentinel.url)


async def test_a_server_that_was_down_at_the_start_and_then_says_never_is_said_loudly_and_once(
    redis_servers: Servers[RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = redis_servers(conf=["requirepass right"])
    server.kill()
    rules = {
        "version": 1,
        "secret": "0123456789abcdef",
        "store": {"url": f"redis://:wrong@127.0.0.1:{server.port}/0", "timeout": "60s"},
        "budgets": [{"name": "n", "limit": "9/minute"}],
    }
    async with Limiter(Policy.load(rules)) as limiter:
        assert "did not start" in caplog.text
        server.start()
        for _ in range(3):
            await limiter.admit({"type": "http", "method": "GET", "path": "/", "headers": []})
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "now and later" in errors[0].getMessage()
    assert "check the user and password" in errors[0].getMessage()
    assert "wrong" not in errors[0].getMessage()


async def test_a_server_that_evicts_accounts_starts_with_a_warning(
    redis_servers: Servers[RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = redis_servers(conf=["maxmemory 100mb", "maxmemory-policy allkeys-lru"])
    await started(server.url)
    assert "`maxmemory-policy allkeys-lru`" in caplog.text


async def test_starting_leaves_nothing_behind(redis_servers: Servers[RedisServer]) -> None:
    server = redis_servers()
    store = RedisStore(StoreSettings(server.url, timeout=60 * SECOND))
    await store.start()
    await store.aclose()
    assert server.call("DBSIZE") == 0
