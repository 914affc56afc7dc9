"""The lifespan of a server: what is opened before it takes calls, and closed before it ends.

A server ends its event loop as soon as it hears that the application has shut down. So everything
is closed before that is passed on: calls that are still open, settlements under way, what a store
that was down has not received, and the store itself. Each takes a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from querybudget.asgi.open_calls import OpenCalls
from querybudget.asgi.reloading import Reloading
from querybudget.asgi.types import ASGIApp, Message, Receive, Scope, Send
from querybudget.asgi.workers import warn_of_workers
from querybudget.errors import QueryBudgetError
from querybudget.limiter import Limiter
from querybudget.limiter.notices import description
from querybudget.linking.linker import Linker
from querybudget.redact import error_type

OPEN_CALLS = 5.0
"""Seconds for which a server that stops waits for calls that are open. Servers have waited for them
already, as long as they are configured to."""

CLOSING = 10.0
"""Seconds that closing the limiter may take. Servers and process managers kill after 30 or more."""

logger = logging.getLogger("querybudget")


async def serve_lifespan(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    limiter: Callable[[], Limiter],
    calls: OpenCalls,
) -> None:
    """Open the limiter, run the application's lifespan, and close the limiter.

    Args:
        app: The application, which may lack a lifespan: then it has ours.
        scope: ASGI's, as are `receive` and `send`.
        receive: Gives the server's messages.
        send: Takes the answers.
        limiter: Returns the limiter, or raises what is wrong with its policy.
        calls: The calls that are open.

    Raises:
        QueryBudgetError: The limiter cannot work; the server was told so before.
    """
    startup = await receive()  # before the application: it must not start if we cannot
    try:
        opened = limiter()
        await opened.start()
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": _message_of(error)})
        raise  # as Starlette does: a test client raises it, and servers have said it already
    _announce(opened)
    warn_of_workers(opened)
    reloading = Reloading(opened)
    reloading.start()
    linker = Linker(opened)
    linker.start()
    try:
        await _Lifespan(app, receive, send, opened, calls, startup).run(scope)
    finally:
        await reloading.stop()
        await linker.stop()


class _Lifespan:
    """One run of an application's lifespan, and the messages that pass."""

    def __init__(
        self,
        app: ASGIApp,
        receive: Receive,
        send: Send,
        limiter: Limiter,
        calls: OpenCalls,
        startup: Message,
    ) -> None:
        self._app = app
        self._receive = receive
        self._send = send
        self._limiter = limiter
        self._calls = calls
        self._unread = [startup]
        self._started = self._ended = self._closed = False

    async def run(self, scope: Scope) -> None:
        try:
            try:
                await self._app(scope, self.receive, self.send)
            except Exception as error:
                if self._started or self._ended:
                    raise
                logger.warning(
                    "the application raised %s before it answered the server's start: it runs"
                    " without a lifespan",
                    error_type(error),
                )
            if not self._ended:
                await self._go_on()
        finally:
            await self._close()

    async def receive(self) -> Message:
        """ASGI's `receive`: the startup message again, then the server's."""
        return self._unread.pop() if self._unread else await self._receive()

    async def send(self, message: Message) -> None:
        """ASGI's `send`: close before the server hears that it may end its event loop."""
        kind: str = message["type"]
        if kind == "lifespan.startup.complete":
            self._started = True
        else:
            self._ended = True
            await self._close()
        await self._send(message)

    async def _go_on(self) -> None:
        """Answer the server for an application that does not: it has no lifespan, or left early."""
        if not self._started:
            await self.send({"type": "lifespan.startup.complete"})
        while (await self._receive())["type"] != "lifespan.shutdown":
            pass
        await self.send({"type": "lifespan.shutdown.complete"})

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        left = await self._calls.end(OPEN_CALLS)
        if left:
            logger.warning(
                "%d calls were still open at the end: they are charged what they had used", left
            )
        try:
            async with asyncio.timeout(CLOSING):
                await self._limiter.aclose()
        except TimeoutError:
            logger.warning("closing took longer than %g s: what was under way is lost", CLOSING)
        except Exception:
            logger.exception("closing failed")


def _announce(limiter: Limiter) -> None:
    """Log what is on. Where logging was not set up, Python shows only warnings: then as one."""
    level = logging.INFO if logger.hasHandlers() else logging.WARNING
    logger.log(level, "%s", description(limiter.policy, limiter.place))


def _message_of(error: Exception) -> str:
    # The message of a foreign error may contain anything.
    known = isinstance(error, QueryBudgetError | OSError)
    return f"querybudget: {error if known else error_type(error)}"
