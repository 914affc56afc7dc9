"""Holding calls back for a while, before the application sees them.

Who is held back holds its reservation and nothing else: no worker, no connection of the store. The
client may hang up meanwhile, or the call be cancelled, and so many are held back at once at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from querybudget.asgi.body import Received
from querybudget.units import SECOND

__all__ = ["DelayQueue"]


class DelayQueue:
    """The calls of one middleware that are held back.

    Args:
        most: How many may be at once.

    Attributes:
        held: How many are now.
    """

    __slots__ = ("_most", "held")

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self.held = 0

    @property
    def full(self) -> bool:
        """Whether no other call may be held back now."""
        return self.held >= self._most

    async def hold(
        self, delay: int, received: Received, pause: Callable[[float], Awaitable[None]]
    ) -> bool:
        """Hold a call back.

        Args:
            delay: For so many µs.
            received: Of its client; nothing that it sends meanwhile is lost.
            pause: Waits for so many seconds.

        Returns:
            Whether the client is still there.
        """
        self.held += 1
        try:
            return await _until(pause(delay / SECOND), received)
        finally:
            self.held -= 1


async def _until(pausing: Awaitable[None], received: Received) -> bool:
    paused = asyncio.ensure_future(pausing)
    listening = asyncio.ensure_future(received.listen())
    try:
        await asyncio.wait((paused, listening), return_when=asyncio.FIRST_COMPLETED)
        if listening.done() and not listening.result():
            await asyncio.wait((paused,))  # It has sent something else, and is there.
        elif paused.done():
            listening.cancel()  # Two may not receive at once: the application is next.
            await asyncio.wait((listening,))
    finally:
        paused.cancel()
        listening.cancel()
    if not listening.cancelled() and listening.result():
        return False
    paused.result()
    return True
