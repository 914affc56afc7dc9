"""The servers as fixtures: a plugin of the whole suite.

Do not break servers that the session shares: a test that kills or freezes a server or sets its
clock makes one with ``redis_servers`` or another factory. Each parallel worker has servers of its
own. A test that uses any of them is marked ``real_server``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from typing import Protocol, TypeVar

import pytest

from tests.servers.cluster import ClusterSet
from tests.servers.memcached import Memcached
from tests.servers.redis import RedisServer, faketime_library
from tests.servers.sentinel import SentinelSet

__all__ = [
    "Servers",
    "cluster_sets",
    "faketime",
    "memcached_server",
    "memcached_servers",
    "pytest_itemcollected",
    "redis_cluster",
    "redis_sentinel",
    "redis_server",
    "redis_servers",
    "sentinel_sets",
    "valkey_server",
]


class _Server(Protocol):
    def start(self) -> object: ...
    def stop(self) -> None: ...


S = TypeVar("S", bound=_Server)
Servers = Callable[..., S]
"""Starts a server that ends with its test; takes the arguments of the server's class."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests of real servers, and as slow those that need several servers at once."""
    fixtures = getattr(item, "fixturenames", ())
    if _FIXTURES.intersection(fixtures):
        item.add_marker("real_server")
    if _SETS.intersection(fixtures):
        item.add_marker("slow")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis server, over TCP and a socket file."""
    _need("redis-server")
    with _started(RedisServer(unix_socket=True)) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """One Valkey server, where the distribution has one."""
    if not shutil.which("valkey-server"):
        pytest.skip("NO valkey-server HERE: Valkey is not tested. Many distributions lack it")
    with _started(RedisServer("valkey-server", unix_socket=True)) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[ClusterSet]:
    """Three masters."""
    _need("redis-server")
    with _started(ClusterSet()) as servers:
        yield servers


@pytest.fixture(scope="session")
def redis_sentinel() -> Iterator[SentinelSet]:
    """A master, its replica, three sentinels."""
    _need("redis-server")
    with _started(SentinelSet()) as servers:
        yield servers


@pytest.fixture(scope="session")
def memcached_server() -> Iterator[Memcached]:
    """One memcached server."""
    _need("memcached")
    with _started(Memcached()) as server:
        yield server


@pytest.fixture
def redis_servers() -> Iterator[Servers[RedisServer]]:
    """Makes Redis servers that the test may break."""
    _need("redis-server")
    with _factory(RedisServer) as make:
        yield make


@pytest.fixture
def cluster_sets() -> Iterator[Servers[ClusterSet]]:
    """Makes clusters that the test may break."""
    _need("redis-server")
    with _factory(ClusterSet) as make:
        yield make


@pytest.fixture
def sentinel_sets() -> Iterator[Servers[SentinelSet]]:
    """Makes sets of sentinels that the test may break."""
    _need("redis-server")
    with _factory(SentinelSet) as make:
        yield make


@pytest.fixture
def memcached_servers() -> Iterator[Servers[Memcached]]:
    """Makes memcached servers that the test may break."""
    _need("memcached")
    with _factory(Memcached) as make:
        yield make


@pytest.fixture(scope="session")
def faketime() -> None:
    """Needed by tests that set the clock of a `RedisServer`."""
    if faketime_library() is None:
        _lack("libfaketime.so.1", "the package faketime")


_FIXTURES = frozenset(
    {
        "cluster_sets",
        "faketime",
        "memcached_server",
        "memcached_servers",
        "redis_cluster",
        "redis_sentinel",
        "redis_server",
        "redis_servers",
        "sentinel_sets",
        "valkey_server",
    }
)


_SETS = frozenset({"cluster_sets", "redis_cluster", "redis_sentinel", "sentinel_sets"})


def _need(binary: str) -> None:
    if not shutil.which(binary):
        _lack(binary, f"the package {binary}")


def _lack(what: str, cure: str) -> None:
    why = f"NO {what} HERE: this is not tested. Install {cure}"
    if os.environ.get("QUERYBUDGET_REQUIRE_SERVERS") == "1":
        pytest.fail(why)
    pytest.skip(why)


@contextlib.contextmanager
def _started(server: S) -> Generator[S, None, None]:
    """Start a server, and always stop it, even if its start fails."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def _factory(kind: Callable[..., S]) -> Generator[Servers[S], None, None]:
    with contextlib.ExitStack() as made:

        def make(*args: object, **kwargs: object) -> S:
            return made.enter_context(_started(kind(*args, **kwargs)))

        yield make
