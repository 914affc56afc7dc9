from __future__ import annotations

import pytest

from querybudget.stores import Clock, Store, open_store
from querybudget.testing.contracts import StoreContract
from tests.servers.memcached import Memcached
from tests.servers.redis import RedisServer


class TestLimitsInMemory(StoreContract):
    def make_store(self, clock: Clock) -> Store:
        return open_store("limits+memory://", clock)


class TestLimitsOnMemcached(StoreContract):
    @pytest.fixture(autouse=True)
    def server(self, memcached_server: Memcached) -> None:
        self._server = memcached_server

    def make_store(self, clock: Clock) -> Store:
        self._server.flush()
        return open_store(self._server.url, clock)


class TestLimitsOnRedis(StoreContract):
    # The server's clock runs on, so that one wait after another differs by its milliseconds.
    # What else is promised there, test_limits.py tries.
    test_a_refusal_consumes_nothing = None  # type: ignore[assignment]

    @pytest.fixture(autouse=True)
    def server(self, redis_server: RedisServer) -> None:
        self._server = redis_server

    def make_store(self, clock: Clock) -> Store:
        self._server.flush()
        return open_store(f"limits+{self._server.url}", clock)
