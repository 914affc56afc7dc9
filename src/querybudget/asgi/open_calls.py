"""Open calls: admitted and not settled yet, so that a server that stops waits for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from querybudget.asgi.background import BackgroundAnswers


class OpenCall(Protocol):
    """A call whose application is running."""

    async def end(self) -> None:
        """Settle the call at what it has used until now. Its application goes on."""
        ...


class OpenCalls:
    """The open calls of one middleware.

    Attributes:
        add: Notes a call whose application begins.
        background: Calls whose answers are still being made. They are not waited for.
    """

    __slots__ = ("_calls", "_none", "add", "background")

    def __init__(self) -> None:
        self._calls = set[OpenCall]()
        self.add = self._calls.add
        self.background = BackgroundAnswers()
        self._none: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def discard(self, call: OpenCall) -> None:
        """Note that a call is settled, or about to be."""
        self._calls.discard(call)
        if self._none is not None and not self._calls:
            self._none.set()

    async def end(self, seconds: float) -> int:
        """Wait until no call is open, at most a time; settle those that are left.

        Returns:
            How many were left.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._calls and loop.time() < end:
            none = self._none = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(none.wait(), end - loop.time())
        self._none = None
        left = list(self._calls)
        await asyncio.gather(*(call.end() for call in left), return_exceptions=True)
        await self.background.end()
        return len(left)
