"""Real servers for tests, on loopback and free ports, each in its own directory.

They need no client library. `fixtures.py` defines pytest fixtures for them.
"""

from __future__ import annotations

from tests.servers.cluster import ClusterSet
from tests.servers.memcached import Memcached
from tests.servers.process import ServerError
from tests.servers.redis import RedisServer
from tests.servers.resp import ReplyError
from tests.servers.sentinel import SentinelSet

__all__ = ["ClusterSet", "Memcached", "RedisServer", "ReplyError", "SentinelSet", "ServerError"]
