"""`serving`: an application on a real socket, for clients that need one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from querybudget.errors import SetupError

if TYPE_CHECKING:
    import uvicorn


@contextmanager
def serving(app: Any, **options: Any) -> Generator[str]:  # noqa: ANN401 - any ASGI application
    """Serve an ASGI application from a thread for the length of the block; return its URL.

    It is for clients that cannot be given an application: a browser, an SDK with its own sockets.
    The port is free, and calls are accepted from the start of the block on.

    Args:
        app: The application. It runs in the event loop of the thread.
        options: Further arguments of `uvicorn.Config`.

    Raises:
        SetupError: uvicorn is not installed, or the application did not start.
    """
    try:
        import uvicorn  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SetupError("serving needs uvicorn: pip install 'querybudget[cli]'") from error
    settings: dict[str, Any] = {"log_level": "warning", "timeout_graceful_shutdown": 1, **options}
    server, ready = uvicorn.Server(uvicorn.Config(app, **settings)), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_run, args=(server, listening, ready))
        thread.start()
        try:
            ready.wait()
            if not server.started:
                raise SetupError("the application did not start: see the log of uvicorn")
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _run(server: uvicorn.Server, listening: socket.socket, ready: threading.Event) -> None:
    with suppress(SystemExit):  # how uvicorn says that the application did not start
        asyncio.run(_serve(server, listening, ready))


async def _serve(server: uvicorn.Server, listening: socket.socket, ready: threading.Event) -> None:
    telling = asyncio.create_task(_tell(server, ready))
    try:
        await server.serve(sockets=[listening])
    finally:
        telling.cancel()
        ready.set()


async def _tell(server: uvicorn.Server, ready: threading.Event) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event
        await asyncio.sleep(0)
    ready.set()
