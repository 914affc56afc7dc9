from __future__ import annotations

from tests.servers.fixtures import (
    faketime,
    memcached_server,
    pytest_itemcollected,
    redis_cluster,
    redis_server,
    redis_servers,
)

__all__ = [
    "faketime",
    "memcached_server",
    "pytest_itemcollected",
    "redis_cluster",
    "redis_server",
    "redis_servers",
]
