"""Redis and Valkey keep all that a store promises, whichever way they are reached."""

from __future__ import annotations

import itertools
from typing import ClassVar

import pytest

from querybudget.backends import StoreSettings
from querybudget.stores import Clock, Store
from querybudget.stores.redis import RedisStore
from querybudget.testing.contracts import StoreConcurrency, StoreContract, StoreMachine
from querybudget.testing.contracts.concurrency import Place
from querybudget.units import SECOND
from tests.servers.cluster import ClusterSet
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet

PREFIXES = (f"contract-{number}" for number in itertools.count())
PATIENCE = 10 * SECOND
"""A machine that is busy with other tests is not a server that does not answer."""


def fresh(url: str) -> StoreSettings:
    """A place on a server where nothing is yet."""
    return StoreSettings(url, timeout=PATIENCE, prefix=next(PREFIXES))


class RedisContract(StoreContract):
    repeats = True
    url: str

    def make_store(self, clock: Clock) -> Store:
        return RedisStore(fresh(self.url), clock=clock)


class TestRedisOverTcp(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server: RedisServer) -> None:
        self.url = redis_server.url


def without_functions(server: RedisServer) -> str:
    """The URL, over its socket file, of a user of a server who may load no functions."""
    server.call("ACL", "SETUSER", "scripts", "on", ">scripts", "~*", "+@all", "-function", "-fcall")
    return f"{server.unix_url}?username=scripts&password=scripts"


class TestRedisOverASocketFileByScripts(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server: RedisServer) -> None:
        self.url = without_functions(redis_server)


class TestValkey(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, valkey_server: RedisServer) -> None:
        self.url = valkey_server.url.replace("redis", "valkey", 1)


class TestRedisBehindSentinels(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_sentinel: SentinelSet) -> None:
        self.url = redis_sentinel.url


class TestRedisCluster(RedisContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_cluster: ClusterSet) -> None:
        self.url = redis_cluster.url


class RedisMachine(StoreMachine):
    examples = 20
    url: ClassVar[str]
    storage: StoreSettings

    def make_store(self, clock: Clock) -> Store:
        self.storage = fresh(self.url)
        return self.reopen_store(clock)

    def reopen_store(self, clock: Clock) -> Store:
        return RedisStore(self.storage, clock=clock)


class ScriptsMachine(RedisMachine):
    url: ClassVar[str]


@pytest.fixture
def machines(redis_server: RedisServer) -> None:
    RedisMachine.url = redis_server.url
    ScriptsMachine.url = without_functions(redis_server)


TestRedisMachine = pytest.mark.slow(pytest.mark.usefixtures("machines")(RedisMachine.TestCase))
TestScriptsMachine = pytest.mark.slow(pytest.mark.usefixtures("machines")(ScriptsMachine.TestCase))


class TestRedisConcurrently(StoreConcurrency):
    url: str

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: RedisServer) -> None:
        self.url = redis_server.url

    def place(self) -> Place:
        return fresh(self.url)


class TestRedisClusterConcurrently(TestRedisConcurrently):
    @pytest.fixture(autouse=True)
    def _server(self, redis_cluster: ClusterSet) -> None:
        self.url = redis_cluster.url
