from __future__ import annotations

from tests.servers.fixtures import (
    cluster_sets,
    faketime,
    memcached_server,
    memcached_servers,
    pytest_itemcollected,
    redis_cluster,
    redis_sentinel,
    redis_server,
    redis_servers,
    sentinel_sets,
    valkey_server,
)

__all__ = [
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
