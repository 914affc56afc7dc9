"""A network between a store and its server that is cut, stalls, or loses answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from querybudget.errors import StoreError
from querybudget.ledger import Decision, Settled
from querybudget.units import SECOND
from tests.faults.redis_calls import LIMIT, TRIES, Guarded, admitted, failures, guarded
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

IN_TIME = 5.0


class Wire:
    """What stands between a client and a server on this host, and can be cut.

    Attributes:
        answers: Whether what the server says goes on to the client.
        whole: Whether there is a way at all.
        swallowed: Set when the server has said something that does not go on.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends = set[asyncio.StreamWriter]()
        self._tasks = set[asyncio.Task[None]]()
        self.answers = self.whole = True
        self.swallowed = asyncio.Event()
        self.port = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection, and make one to the server."""
        if not self.whole:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends |= {writer, back}
        for task in (self._carry(reader, back), self._carry(there, writer, answers=True)):
            kept = asyncio.ensure_future(task)
            self._tasks.add(kept)
            kept.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        """Reset every connection, and let none be made."""
        self.whole = False
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def mend(self) -> None:
        """Let everything through again."""
        self.whole = self.answers = True
        self.swallowed.clear()

    async def end(self) -> None:
        """Cut it for good."""
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if answers and not self.answers:
                    self.swallowed.set()
                else:
                    writer.write(data)
        except OSError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def wired(
    server: RedisServer, name: str, patience: int = 10 * SECOND
) -> AsyncGenerator[tuple[Guarded, Wire], None]:
    """A guarded store that reaches its server by a wire."""
    wire = Wire(server.port)
    listening = await asyncio.start_server(wire.meet, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with guarded(f"redis://127.0.0.1:{port}/0", patience, name) as bench:
            yield bench, wire
            wire.mend()
    finally:
        listening.close()
        await wire.end()


async def test_a_network_cut_during_a_burst_and_restored_admits_the_limit_in_all(
    redis_server: RedisServer,
) -> None:
    async with wired(redis_server, "cut") as (bench, wire):
        await bench.settle(await bench.call("first"), 0)
        burst = bench.burst("burst", 3 * LIMIT)
        await asyncio.wait(burst, return_when=asyncio.FIRST_COMPLETED)
        wire.cut()
        outcomes = await asyncio.gather(*burst)
        assert isinstance(await bench.call("cut"), StoreError)
        assert bench.slowest < IN_TIME
        wire.mend()
        last = await bench.back("back")
        known = [*outcomes, last]
        await bench.comes_to(admitted(known))  # what was charged without an answer is given back
        again = await bench.calls("again", 2 * LIMIT)
        assert admitted([*known, *again]) == LIMIT, f"found {failures(again)}"


async def test_a_call_whose_answer_was_lost_is_sent_again_and_charged_once(
    redis_server: RedisServer,
) -> None:
    async with wired(redis_server, "lost") as (bench, wire):
        await bench.settle(await bench.call("first"), 0)
        wire.answers = False
        call = asyncio.create_task(bench.call("lost"))
        await wire.swallowed.wait()
        wire.cut()
        wire.mend()
        outcome = await call
        assert isinstance(outcome, Decision), f"expected it to be asked again, found {outcome}"
        assert outcome.admitted
        assert await bench.used() == 1, "expected the call to be charged once"
        assert await bench.settle(outcome, 0) is Settled.DONE
        assert await bench.used() == 0


async def test_an_unanswered_call_is_given_back_when_the_network_is_restored(
    redis_server: RedisServer,
) -> None:
    async with (
        guarded(redis_server.url, prefix="unanswered") as other,
        wired(redis_server, "unanswered") as (bench, wire),
    ):
        await bench.settle(await bench.call("first"), 0)
        wire.answers = False
        call = asyncio.create_task(bench.call("unanswered"))
        await wire.swallowed.wait()
        wire.cut()
        assert isinstance(await call, StoreError)
        assert await other.used() == 1, "expected it to have been charged unheard"
        wire.mend()
        assert (await bench.back("back")).admitted
        await other.comes_to(1)


async def test_a_settle_whose_answer_was_lost_counts_once(redis_server: RedisServer) -> None:
    async with wired(redis_server, "settle") as (bench, wire):
        call = await bench.call("call")
        wire.answers = False
        settle = asyncio.create_task(bench.settle(call, 7_000_000))
        await wire.swallowed.wait()
        wire.cut()
        wire.mend()
        assert await settle in {Settled.DONE, Settled.REPEATED}
        assert await bench.used() == 7


async def test_calls_on_a_stalled_network_fail_in_time_and_stay_uncharged(
    redis_server: RedisServer,
) -> None:
    async with (
        guarded(redis_server.url, prefix="stalled") as other,
        wired(redis_server, "stalled", SECOND // 5) as (bench, wire),
    ):
        await bench.settle(await bench.back("first"), 0)
        wire.answers = False
        stalled = await bench.calls("stalled", LIMIT)
        assert len(failures(stalled)) == LIMIT
        assert bench.slowest < IN_TIME
        assert await other.used() == LIMIT, "expected the server to have charged unheard"
        wire.cut()
        wire.mend()
        last = await bench.back("back")
        await bench.comes_to(int(last.admitted))


async def test_a_caller_that_disconnects_while_the_store_is_asked_is_charged_nothing(
    redis_server: RedisServer,
) -> None:
    async with wired(redis_server, "hangs-up") as (bench, wire):
        await bench.settle(await bench.call("first"), 0)
        wire.answers = False
        call = asyncio.create_task(bench.call("hangs up"))
        await wire.swallowed.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        wire.cut()
        wire.mend()
        for _ in range(TRIES):
            if not bench.guard.busy:
                break
            await bench.used()
        await bench.comes_to(0)
