"""`ServerConnection`: calls that come together share a round trip, and a run of their script.

Calls that arrive while others are in flight are queued, and then sent together: those of one
operation in one run of it. So the store needs few connections however many calls there are, and no
call finds a pool exhausted. A reservation is stored under its own id, so what got no reply can be
sent again.

An operation is run as a function where the server has functions and lets us load them, and
otherwise as a script.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from querybudget.errors import StoreError
from querybudget.stores.redis.scripts import Script

try:
    import redis.asyncio as client
    from redis.exceptions import (
        NoPermissionError,
        NoScriptError,
        ReadOnlyError,
        RedisError,
        ResponseError,
    )

    from querybudget.stores.redis.faults import store_error
except ImportError as error:  # pragma: no cover - CI has it
    from querybudget.errors import SetupError

    raise SetupError("Redis and Valkey need a client: pip install 'querybudget[redis]'") from error

PIPELINES = 4
"""Connections to a server, each with at most one round trip in flight."""

PIPELINE_LENGTH = 128
"""Calls in one round trip, at most."""

RUN_LENGTH = 32
"""Calls in one run of a script, at most: the server does nothing else meanwhile."""

MAX_QUEUED = 10_000
"""Calls waiting to be sent; further ones fail at once."""

ROUNDS = 4
"""Round trips for a run: what it runs may turn out to be unknown, and be forgotten again."""

_SIZES = struct.Struct(">HH")

Reply = Any
"""Bytes, a list of bytes, or an error."""

Command = Sequence[str | bytes | int]
"""A command's name and arguments."""


def batched(calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> list[bytes | int]:
    """Return the number of keys, the keys, and the arguments of calls that are run together."""
    sizes = b"".join([_SIZES.pack(len(keys), len(arguments)) for keys, arguments in calls])
    return [
        sum([len(keys) for keys, _ in calls]),
        *chain.from_iterable([keys for keys, _ in calls]),
        sizes,
        *chain.from_iterable([arguments for _, arguments in calls]),
    ]


class _Call(NamedTuple):
    """A call of a script that waits to be sent, and the future of its reply."""

    script: Script
    keys: Sequence[bytes]
    arguments: Sequence[bytes]
    reply: asyncio.Future[Reply]
    alone: bool

    def answer(self, reply: Reply) -> None:
        if self.reply.done():
            return
        if isinstance(reply, BaseException):
            self.reply.set_exception(store_error(reply, alone=self.alone))
        else:
            self.reply.set_result(reply)


class ServerConnection:
    """One server, or the master that sentinels name; it closes their clients too."""

    is_cluster = False

    def __init__(self, server: client.Redis, sentinels: Sequence[client.Redis] = ()) -> None:
        self._server = server
        self._sentinels = sentinels
        self._queue = deque[_Call]()
        self._senders = set[asyncio.Task[None]]()
        self._idle: list[Any] = []  # redis-py leaves some of its types unknown
        self._functions = True

    async def run(self, script: Script, keys: Sequence[bytes], *arguments: bytes) -> Reply:
        """Run a script, and return its reply. Raises `StoreError`."""
        if len(self._queue) >= MAX_QUEUED:
            raise StoreError(f"{MAX_QUEUED} calls are already waiting for the server")
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._queue.append(_Call(script, keys, arguments, reply, not self._sentinels))
        if len(self._senders) < PIPELINES:
            sender = asyncio.ensure_future(self._send_queue())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        return await reply

    async def execute(self, *command: str | bytes) -> Reply:
        """Return the reply to a command. Raises `StoreError`."""
        server: Any = self._server  # redis-py leaves some of its types unknown
        return await self._answered(lambda: server.execute_command(*command))

    async def values(self, keys: Sequence[bytes]) -> Sequence[Reply]:
        """Return what keys hold. They are sent together: the pool has fewer connections."""

        def send() -> Awaitable[Reply]:
            server: Any = self._server
            pipeline = server.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key)
            return pipeline.execute()  # type: ignore[no-any-return]

        return await self._answered(send)  # type: ignore[no-any-return]

    async def _answered(self, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        try:
            try:
                return await ask()
            except ResponseError:
                raise
            except (RedisError, OSError, TimeoutError):  # the server has closed what was idle
                return await ask()
        except (RedisError, OSError, TimeoutError) as error:
            raise store_error(error, alone=not self._sentinels) from error

    async def masters(self) -> list[str]:
        """Return the names of the servers that have accounts, in order: one, without a name."""
        return [""]

    async def scan(
        self, _node: str, cursor: int, pattern: bytes, count: int
    ) -> tuple[int, list[bytes]]:
        """Return the next cursor, 0 at the end, and keys that match."""
        found: tuple[int, list[bytes]] = await self.execute(
            "SCAN", b"%d" % cursor, "MATCH", pattern, "COUNT", b"%d" % count
        )
        return found

    async def aclose(self) -> None:
        while self._senders:
            await asyncio.gather(*self._senders, return_exceptions=True)
            await asyncio.sleep(0)  # lets callbacks run; from Python 3.12 on, gather does not
        for connection in self._idle:
            await connection.disconnect()
        await self._server.aclose()
        await self._server.connection_pool.disconnect()
        for sentinel in self._sentinels:  # the master's client leaves theirs open
            await sentinel.aclose()

    async def _send_queue(self) -> None:
        """Send what is queued until nothing is."""
        while self._queue:
            calls = [self._queue.popleft() for _ in range(min(PIPELINE_LENGTH, len(self._queue)))]
            try:
                await self._answer(_runs(calls))
            except BaseException as error:
                for call in calls:
                    call.answer(error)
                if not isinstance(error, Exception):
                    raise

    async def _answer(self, runs: Sequence[Sequence[_Call]]) -> None:
        """Answer calls. What the server could not run, it is given; then it is asked again."""
        for _ in range(ROUNDS):
            functions = self._functions
            replies = await self._exchange([self._command(run) for run in runs])
            unknown: list[Sequence[_Call]] = []
            for run, reply in zip(runs, replies, strict=True):
                if functions and run[0].script.function and _has_no_functions(reply):
                    self._functions = False
                elif not isinstance(reply, NoScriptError) and not _lacks_function(reply):
                    _tell(run, reply)
                    continue
                unknown.append(run)
            if not unknown:
                return
            await self._load([run[0].script for run in unknown])
            runs = unknown
        raise StoreError("the server forgot its scripts each time")

    async def _load(self, scripts: Sequence[Script]) -> None:
        """Give the server what it does not know: a library, or scripts if it takes none."""
        libraries = {script.library for script in scripts if self._functions and script.library}
        for reply in await self._exchange([("FUNCTION", "LOAD", text) for text in libraries]):
            if isinstance(reply, ResponseError) and "already exists" not in str(reply):
                self._functions = False  # it has none, or we may not load any
        texts = {script.text for script in scripts if not (self._functions and script.library)}
        for reply in await self._exchange([("SCRIPT", "LOAD", text) for text in texts]):
            if isinstance(reply, ResponseError):  # the user may not load scripts
                raise reply

    def _command(self, run: Sequence[_Call]) -> Command:
        script, keys, arguments = run[0][:3]
        if not script.function:
            return ("EVALSHA", script.digest, len(keys), *keys, *arguments)
        given = batched([(call.keys, call.arguments) for call in run])
        if self._functions:
            return ("FCALL", script.function, *given)
        return ("EVALSHA", script.digest, *given)

    async def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies to commands that are sent together.

        An idle connection may have been closed by the server, so what fails is sent once more. That
        is safe: a reservation is stored under its id and charged once.
        """
        if not commands:
            return []
        packed = b"".join(map(_packed, commands))
        pool: Any = self._server.connection_pool
        connection = self._idle.pop() if self._idle else pool.make_connection()
        try:
            try:
                return await self._round_trip(connection, packed, len(commands))
            except (RedisError, OSError, TimeoutError):
                return await self._round_trip(connection, packed, len(commands))
        finally:
            self._idle.append(connection)

    async def _round_trip(self, connection: Any, packed: bytes, count: int) -> list[Reply]:  # noqa: ANN401 - redis-py's
        if not connection.is_connected:
            await connection.connect()
        await connection.send_packed_command(packed)
        replies: list[Reply] = []
        for _ in range(count):
            try:
                replies.append(await connection.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)
        if self._sentinels and any(map(_is_refused_by_replica, replies)):
            await connection.disconnect()
            raise ConnectionError("the master has become a replica")
        return replies


def _runs(calls: Sequence[_Call]) -> list[list[_Call]]:
    """Return calls by operation, so many of each that are run together."""
    runs: list[list[_Call]] = []
    open_runs: dict[Script, list[_Call]] = {}
    for call in calls:
        run = open_runs.get(call.script)
        if run is None or len(run) >= RUN_LENGTH or not call.script.function:
            run = open_runs[call.script] = []
            runs.append(run)
        run.append(call)
    return runs


def _tell(run: Sequence[_Call], reply: Reply) -> None:
    """Give the calls of a run their replies."""
    if isinstance(reply, BaseException) or not run[0].script.function:
        reply = [reply] * len(run)
    for call, its in zip(run, reply, strict=True):
        call.answer(its)


def _lacks_function(reply: Reply) -> bool:
    """Whether a function was not run because its library is not loaded."""
    return isinstance(reply, ResponseError) and "function not found" in str(reply).lower()


def _has_no_functions(reply: Reply) -> bool:
    """Whether a function was not run because the server has none, or we may not run any."""
    if isinstance(reply, NoPermissionError):
        return True
    return isinstance(reply, ResponseError) and "unknown command" in str(reply).lower()


def _packed(command: Command) -> bytes:
    """Return a command in the protocol of Redis (RESP2, an array of bulk strings)."""
    parts = [b"*%d\r\n" % len(command)]
    for part in command:
        word = part if isinstance(part, bytes) else str(part).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


def _is_refused_by_replica(reply: Reply) -> bool:
    """Whether a script could change nothing; a function is refused as a whole."""
    replies: list[Reply] = [*reply] if isinstance(reply, list) else []
    return any(isinstance(one, ReadOnlyError) for one in replies)
