"""Servers of this process, on real sockets: of ASGI applications, and of scripted bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from querybudget.proxy import Upstream, app

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

POLICY: dict[str, Any] = {
    "secret": "0123456789abcdef",
    "identity": ["api_key"],
    "exempt": ["/free", "/free/*"],
    "budgets": [{"name": "requests", "limit": "1000 requests/minute"}],
}


class Server(uvicorn.Server):
    """Leaves signals to the tests, and ends at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ending.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve(application: Any, **options: Any) -> AsyncIterator[int]:
    """Serve an ASGI application; the port."""
    settings = {"log_config": None, "server_header": False, "date_header": False} | options
    server = Server(uvicorn.Config(application, port=0, proxy_headers=False, **settings))
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done()
        await asyncio.sleep(0)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.ending.set()
        await running


@asynccontextmanager
async def raw_server(talk: Talk) -> AsyncIterator[int]:
    """Serve connections by a function that reads and writes bytes; the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer)
        except (asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def proxied(
    port: int, policy: dict[str, Any] | None = None, prefix: str = "", **settings: Any
) -> AsyncIterator[int]:
    """Serve the proxy of a server of this host; the port."""
    upstream = Upstream(url=f"http://127.0.0.1:{port}{prefix}", **settings)
    async with serve(app(upstream, policy or POLICY)) as own:
        yield own


async def ask(port: int, *lines: str, body: bytes = b"") -> bytes:
    """Send a request of these lines on a connection of its own; all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join([*lines, "host: h", "connection: close", "", ""]).encode())
        writer.write(body)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def head_of(reader: asyncio.StreamReader) -> list[bytes]:
    """Read the lines of a request or an answer up to the empty one."""
    return (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]


def fields(lines: list[bytes], name: str) -> list[bytes]:
    """The values of a header field, in order."""
    pairs = [line.partition(b":") for line in lines[1:]]
    return [value.strip() for key, _, value in pairs if key.lower() == name.encode()]
