"""Connections: what a URL of Redis or Valkey stands for, and many calls in one round trip.

Calls that come while others are under way wait for these and then go together, in one pipeline.
So the store needs few connections however many calls there are, and none of them ever finds a pool
exhausted. What a call holds is written under its own id, so that whatever got no answer may be sent
again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from querybudget.errors import SetupError, StoreError
from querybudget.redact import redact_url
from querybudget.stores.redis.scripts import Script

try:
    import redis.asyncio as client
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.retry import Retry
    from redis.asyncio.sentinel import Sentinel
    from redis.backoff import ExponentialBackoff, NoBackoff
    from redis.exceptions import NoScriptError, RedisError, ResponseError
except ImportError as error:  # pragma: no cover - CI has it
    raise SetupError("Redis and Valkey need a client: pip install 'querybudget[redis]'") from error

__all__ = ["Connection", "UnansweredError", "connect"]

PIPELINES = 4
"""Round trips under way at a time, and connections."""

TOGETHER = 128
"""Calls in one round trip."""

APART = 4 * PIPELINES
"""Calls under way on a cluster at a time, each on a connection; its client's pools do not wait."""

WAITING = 10_000
"""Calls that wait for one; more fail at once."""

PORT, SENTINEL_PORT = 6379, 26379

Reply = Any
"""Bytes, or a list of bytes."""


class UnansweredError(StoreError):
    """Nobody knows whether what was asked has been done."""


class Connection(Protocol):
    """A way to a server, or to several."""

    @property
    def apart(self) -> bool:
        """Whether accounts lie on several servers, so that no script reaches them all."""
        ...

    async def run(self, script: Script, keys: Sequence[bytes], *given: bytes) -> Reply:
        """Run a script.

        Raises:
            UnansweredError: Nobody knows whether it has been run.
            StoreError: It has not been run, or changed nothing.
        """
        ...

    async def ask(self, *words: str | bytes) -> Reply:
        """Send a command. Raises as `run` does."""
        ...

    async def aclose(self) -> None:
        """Wait for what is under way, and disconnect."""
        ...


def connect(url: str, wait: float) -> Connection:
    """What a URL stands for. Connects to nothing yet.

    Args:
        url: As `querybudget.backends.SCHEMES` has them.
        wait: Seconds after which a server that does not answer is given up.

    Raises:
        SetupError: The URL cannot be one of a server.
    """
    scheme, _, rest = url.partition("://")
    kind = scheme.replace("valkey", "redis")
    if kind != "redis+unix" and "@" in rest and "@" not in urlsplit(f"//{rest}").netloc:
        raise SetupError(
            f"cannot use {redact_url(url)} as a store: expected a password with / written as"
            " %2F, ? as %3F and # as %23"
        )
    settings: dict[str, Any] = {
        "socket_timeout": wait,
        "socket_connect_timeout": wait,
    }
    try:
        match kind:
            case "redis+cluster":
                return Cluster(_cluster(rest, settings))
            case "redis+sentinel":
                return Server(*_sentinel(rest, settings))
            case "redis+unix":
                return Server(_server(f"unix://{rest}", settings))
            case _:
                return Server(_server(f"{kind}://{rest}", settings))
    except (ValueError, TypeError) as error:
        raise SetupError(f"cannot use {redact_url(url)} as a store: {error}") from None


def _server(url: str, settings: dict[str, Any]) -> client.Redis:
    pools: Any = client.BlockingConnectionPool  # some of its client's types are not known
    pool = pools.from_url(
        url, max_connections=2 * PIPELINES, timeout=None, retry=Retry(NoBackoff(), 0), **settings
    )
    return client.Redis.from_pool(pool)


def _sentinel(rest: str, settings: dict[str, Any]) -> tuple[client.Redis, list[client.Redis]]:
    """A client of the master, and those of the sentinels that it asks where that is."""
    parts = urlsplit(f"//{rest}")
    name = parts.path.strip("/")
    if not name:
        raise ValueError("expected the name of the master behind the hosts, as in `/mymaster`")
    given = dict(parse_qsl(parts.query))
    more = {**settings, **_login(parts.netloc), "db": int(given.pop("db", "0"))}
    own = {key.removeprefix("sentinel_"): value for key, value in given.items()}
    sentinels: Any = Sentinel  # nor are these
    known = sentinels(
        list(_hosts(parts.netloc, SENTINEL_PORT)), sentinel_kwargs={**settings, **own}, **more
    )
    master: client.Redis = known.master_for(
        name, retry=Retry(NoBackoff(), 0), max_connections=2 * PIPELINES
    )
    return master, list(known.sentinels)


def _cluster(rest: str, settings: dict[str, Any]) -> client.RedisCluster:
    parts = urlsplit(f"//{rest}")
    login: dict[str, Any] = {**settings, **_login(parts.netloc)}
    nodes = [ClusterNode(host, port) for host, port in _hosts(parts.netloc, PORT)]
    return client.RedisCluster(
        startup_nodes=nodes,
        retry=Retry(ExponentialBackoff(base=0.02, cap=0.2), 3),
        require_full_coverage=False,
        reinitialize_steps=0,  # else slots that move close connections that other calls are using
        **login,
    )


def _login(netloc: str) -> dict[str, str]:
    user, _, password = netloc.rpartition("@")[0].partition(":")
    found = {"username": unquote(user), "password": unquote(password)}
    return {key: value for key, value in found.items() if value}


def _hosts(netloc: str, usual: int) -> Iterable[tuple[str, int]]:
    for host in netloc.rpartition("@")[2].split(","):
        parts = urlsplit(f"//{host}")
        if not parts.hostname:
            raise ValueError("expected hosts as in `one:7000,two:7000`")
        yield parts.hostname, parts.port or usual


_Waiting = tuple[tuple[str | bytes | int, ...], Script | None, "asyncio.Future[Reply]"]


class Server:
    """One server, or the master that Sentinels name."""

    apart = False

    def __init__(self, server: client.Redis, watchers: Sequence[client.Redis] = ()) -> None:
        self._server = server
        self._watchers = watchers
        self._waiting = deque[_Waiting]()
        self._lanes = set[asyncio.Task[None]]()

    async def run(self, script: Script, keys: Sequence[bytes], *given: bytes) -> Reply:
        """Run a script."""
        return await self._call(("EVALSHA", script.digest, len(keys), *keys, *given), script)

    async def ask(self, *words: str | bytes) -> Reply:
        """Send a command."""
        return await self._call(words, None)

    async def aclose(self) -> None:
        """Wait for what is under way, and disconnect."""
        while self._lanes:
            await asyncio.gather(*self._lanes, return_exceptions=True)
        await self._server.aclose()
        await self._server.connection_pool.disconnect()
        for watcher in self._watchers:  # the master's client leaves theirs open
            await watcher.aclose()

    async def _call(self, words: tuple[str | bytes | int, ...], script: Script | None) -> Reply:
        if len(self._waiting) >= WAITING:
            raise StoreError(f"{WAITING} calls are waiting for the server already")
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((words, script, answer))
        if len(self._lanes) < PIPELINES:
            lane = asyncio.ensure_future(self._lane())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
        return await answer

    async def _lane(self) -> None:
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            try:
                await self._send(some)
            except BaseException as error:
                for _, _, answer in some:
                    _fail(answer, error)
                if not isinstance(error, Exception):
                    raise

    async def _send(self, some: Sequence[_Waiting]) -> None:
        replies = await _again(lambda: self._pipe([words for words, _, _ in some]))
        unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            # Nothing of these was run. Their scripts are loaded on the way.
            texts = {script.text for _, script, _ in (some[n] for n in unknown) if script}
            loading: list[tuple[str | bytes | int, ...]] = [
                ("SCRIPT", "LOAD", text) for text in texts
            ]
            words = [some[n][0] for n in unknown]
            later = await _again(lambda: self._pipe(loading + words))
            for n, reply in zip(unknown, later[len(loading) :], strict=True):
                replies[n] = reply
        for (_, _, answer), reply in zip(some, replies, strict=True):
            if isinstance(reply, Exception):
                _fail(answer, reply)
            elif not answer.done():
                answer.set_result(reply)

    async def _pipe(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Reply]:
        pipe: Any = self._server.pipeline(transaction=False)
        for words in commands:
            pipe.execute_command(*words)
        replies: list[Reply] = await pipe.execute(raise_on_error=False)
        return replies


class Cluster:
    """Several masters, each with a part of the accounts."""

    apart = True

    def __init__(self, cluster: client.RedisCluster) -> None:
        self._cluster = cluster
        self._room = asyncio.Semaphore(APART)
        self._begun: asyncio.Task[client.RedisCluster] | None = None

    async def run(self, script: Script, keys: Sequence[bytes], *given: bytes) -> Reply:
        """Run a script on the master of its keys."""
        count = len(keys)
        try:
            return await self.ask("EVALSHA", script.digest, count, *keys, *given)
        except NoScriptError:
            return await self.ask("EVAL", script.text, count, *keys, *given)

    async def ask(self, *words: str | bytes | int) -> Reply:
        """Send a command to the master of its key."""
        try:
            await self._known()
            async with self._room:
                return await self._cluster.execute_command(*words)
        except NoScriptError:  # is for `run` to hear
            raise
        except Exception as error:  # its client fails in ways of its own where nodes come and go
            raise _as_ours(error) from error

    async def _known(self) -> None:
        """Ask for the cluster's slots, once: many tasks may not begin the client."""
        if self._begun is None or (self._begun.done() and self._begun.exception()):
            self._begun = asyncio.ensure_future(self._cluster.initialize())
        if not self._begun.done():
            _ = await asyncio.shield(self._begun)

    async def aclose(self) -> None:
        """Disconnect."""
        if self._begun is not None:
            await asyncio.gather(self._begun, return_exceptions=True)
        await self._cluster.aclose()
        nodes = self._cluster.nodes_manager  # which stay open where they were to be asked for anew
        await nodes.aclose()
        await nodes.aclose("startup_nodes")


async def _again(send: Callable[[], Awaitable[list[Reply]]]) -> list[Reply]:
    """What `send` gets; tried twice, since a connection may have been closed while nobody used it.

    Whatever was done the first time is not done again: reservations go by their ids.
    """
    try:
        return await send()
    except (RedisError, OSError, TimeoutError):
        return await send()


def _fail(answer: asyncio.Future[Reply], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(_as_ours(error))


def _as_ours(error: BaseException) -> StoreError:
    """What a client's error is to the limiter."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, StoreError):
        return error
    if isinstance(error, ResponseError):
        return StoreError(f"the server refused: {said}")
    return UnansweredError(f"the server did not answer: {said}")
