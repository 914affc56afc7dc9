"""Connections to the server or cluster that a URL names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from querybudget.errors import SetupError
from querybudget.redact import redact_error, redact_url
from querybudget.stores.redis.options import check_url
from querybudget.stores.redis.scripts import Script

try:
    import redis.asyncio as client
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.retry import Retry
    from redis.asyncio.sentinel import Sentinel
    from redis.backoff import ExponentialBackoff, NoBackoff
    from redis.exceptions import NoScriptError

    from querybudget.stores.redis.faults import UnansweredError, store_error
    from querybudget.stores.redis.pipelining import PIPELINES, Reply, ServerConnection, batched
except ImportError as error:  # pragma: no cover - CI has it
    raise SetupError("Redis and Valkey need a client: pip install 'querybudget[redis]'") from error

__all__ = ["ClusterConnection", "Connection", "ServerConnection", "UnansweredError", "connect"]

CLUSTER_REQUESTS = 4 * PIPELINES
"""Requests to a cluster in flight, each on its own connection: its client's pools do not wait."""

PORT, SENTINEL_PORT = 6379, 26379


def connect(url: str, timeout: float) -> Connection:
    """Return a connection for a URL. It connects at its first request.

    Args:
        url: With one of the schemes in `querybudget.backends.SCHEMES`.
        timeout: Seconds that a connection waits for a reply.

    Raises:
        SetupError: The URL is malformed.
    """
    scheme, _, rest = url.partition("://")
    kind = scheme.replace("valkey", "redis")
    settings: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    try:
        if kind != "redis+unix":
            _check_password(rest)
        check_url(kind, rest)
        match kind:
            case "redis+cluster":
                return ClusterConnection(_cluster_client(rest, settings))
            case "redis+sentinel":
                return ServerConnection(*_sentinel_clients(rest, settings))
            case "redis+unix":
                return ServerConnection(_server_client(f"unix://{rest}", settings))
            case _:
                return ServerConnection(_server_client(f"{kind}://{rest}", settings))
    except (ValueError, TypeError) as error:
        reason = redact_error(str(error), url)
        raise SetupError(f"cannot use {redact_url(url)} as a store: {reason}") from None


def _check_password(rest: str) -> None:
    if "@" in rest and "@" not in urlsplit(f"//{rest}").netloc:
        raise ValueError("expected a password with / written as %2F, ? as %3F and # as %23")


def _server_client(url: str, settings: dict[str, Any]) -> client.Redis:
    pools: Any = client.BlockingConnectionPool  # redis-py leaves some of its types unknown
    pool = pools.from_url(
        url, max_connections=2 * PIPELINES, timeout=None, retry=Retry(NoBackoff(), 0), **settings
    )
    return client.Redis.from_pool(pool)


def _sentinel_clients(
    rest: str, settings: dict[str, Any]
) -> tuple[client.Redis, list[client.Redis]]:
    """Return a client of the master, and those of the sentinels that name it."""
    parts = urlsplit(f"//{rest}")
    name = parts.path.strip("/")
    if not name:
        raise ValueError("expected the name of the master behind the hosts, as in `/mymaster`")
    query = dict(parse_qsl(parts.query))
    database = int(query.pop("db", "0"))
    options = {key.removeprefix("sentinel_"): value for key, value in query.items()}
    sentinels: Any = Sentinel
    sentinel = sentinels(
        list(_hosts(parts.netloc, SENTINEL_PORT)),
        sentinel_kwargs={**settings, **options},
        **settings,
        **_credentials(parts.netloc),
        db=database,
    )
    master: client.Redis = sentinel.master_for(
        name, retry=Retry(NoBackoff(), 0), max_connections=2 * PIPELINES
    )
    return master, list(sentinel.sentinels)


def _cluster_client(rest: str, settings: dict[str, Any]) -> client.RedisCluster:
    parts = urlsplit(f"//{rest}")
    options: dict[str, Any] = {**settings, **_credentials(parts.netloc)}
    nodes = [ClusterNode(host, port) for host, port in _hosts(parts.netloc, PORT)]
    return client.RedisCluster(
        startup_nodes=nodes,
        retry=Retry(ExponentialBackoff(base=0.02, cap=0.2), 3),
        require_full_coverage=False,
        reinitialize_steps=0,  # else a slot that moves closes connections that are in use
        **options,
    )


def _credentials(netloc: str) -> dict[str, str]:
    user, _, password = netloc.rpartition("@")[0].partition(":")
    credentials = {"username": unquote(user), "password": unquote(password)}
    return {key: value for key, value in credentials.items() if value}


def _hosts(netloc: str, default_port: int) -> Iterable[tuple[str, int]]:
    for host in netloc.rpartition("@")[2].split(","):
        parts = urlsplit(f"//{host}")
        if not parts.hostname:
            raise ValueError("expected hosts as in `one:7000,two:7000`")
        yield parts.hostname, parts.port or default_port


class ClusterConnection:
    """Several masters, each with a part of the accounts."""

    is_cluster = True

    def __init__(self, cluster: client.RedisCluster) -> None:
        self._cluster = cluster
        self._semaphore = asyncio.Semaphore(CLUSTER_REQUESTS)
        self._discovery: asyncio.Task[client.RedisCluster] | None = None

    async def run(self, script: Script, keys: Sequence[bytes], *arguments: bytes) -> Reply:
        given = batched([(keys, arguments)]) if script.function else [len(keys), *keys, *arguments]
        try:
            reply = await self.execute("EVALSHA", script.digest, *given)
        except NoScriptError:
            reply = await self.execute("EVAL", script.text, *given)
        if not script.function:
            return reply
        if isinstance(reply[0], Exception):
            raise store_error(reply[0], alone=False) from reply[0]
        return reply[0]

    async def execute(self, *command: str | bytes | int) -> Reply:
        try:
            await self._discover()
            async with self._semaphore:
                return await self._cluster.execute_command(*command)
        except NoScriptError:  # `run` handles it
            raise
        except Exception as error:  # redis-py has errors of its own for nodes that come and go
            raise store_error(error, alone=False) from error

    async def values(self, keys: Sequence[bytes]) -> Sequence[Reply]:
        """Return what keys hold."""
        return await asyncio.gather(*(self.execute("GET", key) for key in keys))

    async def masters(self) -> list[str]:
        """Return the names of the masters, in order."""
        try:
            await self._discover()
        except Exception as error:
            raise store_error(error, alone=False) from error
        return sorted(node.name for node in self._cluster.get_primaries())

    async def scan(
        self, node: str, cursor: int, pattern: bytes, count: int
    ) -> tuple[int, list[bytes]]:
        """Return the next cursor of one master, 0 at the end, and keys that match."""
        master = self._cluster.get_node(node_name=node)
        try:
            async with self._semaphore:
                found: tuple[dict[str, int], list[bytes]] = await self._cluster.execute_command(
                    "SCAN", cursor, "MATCH", pattern, "COUNT", count, target_nodes=master
                )
        except Exception as error:
            raise store_error(error, alone=False) from error
        cursors, keys = found
        return cursors[node], keys

    async def _discover(self) -> None:
        """Ask for the cluster's slots once, however many tasks use the client first."""
        if self._discovery is None or (self._discovery.done() and self._discovery.exception()):
            self._discovery = asyncio.ensure_future(self._cluster.initialize())
        if not self._discovery.done():
            _ = await asyncio.shield(self._discovery)

    async def aclose(self) -> None:
        if self._discovery is not None:
            await asyncio.gather(self._discovery, return_exceptions=True)
        await self._cluster.aclose()
        nodes = self._cluster.nodes_manager  # a client about to rediscover them leaves them open
        await nodes.aclose()
        await nodes.aclose("startup_nodes")


Connection = ServerConnection | ClusterConnection
"""Sends scripts and commands to a server, or to a cluster, where no script reaches all accounts.

If it is unknown whether a request was carried out, an `UnansweredError` is raised; if it was not,
or changed nothing, another `StoreError`.
"""
