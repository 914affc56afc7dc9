"""The server, the traffic and the screen together."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Generator

import httpx
import uvicorn

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.types import ASGIApp
from querybudget.demo.callers import CALLERS, Caller, Traffic, answer_of
from querybudget.demo.screen import Board, Row, printer, screen, summary
from querybudget.limiter import Limiter
from querybudget.policy.history import History
from querybudget.policy.model import Policy
from querybudget.stores import MemoryStore, system_clock
from querybudget.testing import FakeModel
from querybudget.units import SECOND

KNOWN = 90 * 24 * 3_600 * SECOND
"""µs for which the store is taken to know callers who are not new."""

FRAMES = 8
"""Frames a second."""

KEPT_ALIVE = 600
"""Seconds for which idle connections are kept: a call fails if its connection ends as it begins."""


def _nothing(*_: object) -> None:
    """Do nothing."""


async def show(policy: Policy, seconds: float, *, plain: bool) -> None:
    """Run the demo on a terminal: a live table or, if `plain`, line by line."""
    if plain:
        board = await play(policy, seconds, note=printer())
    else:
        board = await _live(policy, seconds)
    print(summary(board))


async def _live(policy: Policy, seconds: float) -> Board:
    from rich.live import Live  # noqa: PLC0415 - an extra

    with Live(refresh_per_second=FRAMES) as live:
        return await play(policy, seconds, frame=lambda board, url: live.update(screen(board, url)))


async def play(
    policy: Policy,
    seconds: float,
    *,
    note: Callable[[str, str], None] = _nothing,
    frame: Callable[[Board, str], None] = _nothing,
) -> Board:
    """Serve, call, and report what happens.

    Args:
        policy: The budgets. Its store is not used: the demo keeps accounts in memory.
        seconds: How long the traffic takes.
        note: Called with a caller's name and what happened to it.
        frame: Called several times a second with the board and the server's address.

    Returns:
        The board at the end.
    """
    clock = system_clock()
    store = MemoryStore(clock)
    board = Board(policy.budgets, note)
    beat, burst_is_answered = seconds / 12, asyncio.Event()

    async def sleep(delay: float) -> None:
        """Delay a slowed call in the demo's own time."""
        await asyncio.sleep(delay * beat)

    limiter = Limiter(policy, store=store, clock=clock, sleep=sleep, hooks=[board.on_event])
    for caller in CALLERS:
        accounts = _accounts(limiter, caller)
        board.add(Row(caller.name, caller.asks, accounts))
        if not caller.new and limiter.rules.histories is not None:
            for key in accounts:
                limiter.rules.histories.assume(key, History.at(clock(), age=KNOWN))
    app = QueryBudgetMiddleware(FakeModel(answer_of(beat, burst_is_answered)), limiter=limiter)
    async with _serving(app) as url, _client(url) as client:
        framing = asyncio.create_task(_frames(board, store, frame, url))
        try:
            await Traffic(client, board, beat, burst_is_answered).run()
            _pass_on_an_interrupt()
        finally:
            framing.cancel()
    await board.refresh(store)
    frame(board, url)
    return board


def _accounts(limiter: Limiter, caller: Caller) -> tuple[str, ...]:
    """Return the keys of a caller's accounts."""
    client = ("127.0.0.1", 0)
    headers = [[(b"authorization", f"Bearer {key}".encode())] for key in caller.keys]
    scopes = [{"type": "http", "headers": each, "client": client} for each in headers]
    return tuple(limiter.caller_for(scope).identity.key for scope in scopes)


def _pass_on_an_interrupt() -> None:
    """Cancel this task if an interrupt was swallowed by a caller that was hanging up."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _frames(
    board: Board, store: MemoryStore, frame: Callable[[Board, str], None], url: str
) -> None:
    while True:
        await board.refresh(store)
        frame(board, url)
        await asyncio.sleep(1 / FRAMES)


def _client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)


class _Server(uvicorn.Server):
    """Does not handle Ctrl-C, so that the callers stop before the server does."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def _serving(app: ASGIApp) -> AsyncGenerator[str]:
    """Run a server on a free local port for the length of the block."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    # asyncio sets this only on sockets that name a protocol; without it, answers take 40 ms longer.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="off",
        timeout_keep_alive=KEPT_ALIVE,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        # Connections made before the server is up wait in the socket's backlog.
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()
