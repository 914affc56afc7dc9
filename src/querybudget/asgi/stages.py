"""Slow and degrade an admitted call before the application sees it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from querybudget.adapters.base import Adapter
from querybudget.adapters.reading import degrade_call, read_call
from querybudget.asgi.body import Received, decoded, is_long, rewritten
from querybudget.asgi.open_calls import OpenCalls
from querybudget.asgi.types import Scope
from querybudget.coverage.response import Stage
from querybudget.limiter import Admission, Limiter, Outcome, Refusal
from querybudget.limiter.scopes import target_of
from querybudget.units import SECOND

LEAST_SHARE = 4
"""Calls of one identity that may be delayed at once, however few may be delayed in all."""


class DelayQueue:
    """The delayed calls of one middleware.

    A delayed call keeps its reservation but no worker and no store connection. The delay ends early
    if the client disconnects or the call is cancelled. At most `limit` calls are delayed at once,
    and of one identity a tenth of that, so that no caller takes the places of all others.

    Args:
        limit: Calls that are delayed at once.
        calls: Notes them, so that a server that stops waits for them too.

    Attributes:
        calls: As given.
        held: Number of calls being delayed now.
    """

    __slots__ = ("_held_by", "_limit", "_share", "calls", "held")

    def __init__(self, limit: int = 1_000, calls: OpenCalls | None = None) -> None:
        self.calls = OpenCalls() if calls is None else calls
        self._limit = limit
        self._share = max(LEAST_SHARE, limit // 10)
        self._held_by = Counter[str]()
        self.held = 0

    def full(self, identity: str) -> bool:
        """Return True if no other call of this identity can be delayed now."""
        return self.held >= self._limit or self._held_by[identity] >= self._share

    async def hold(
        self,
        delay: int,
        identity: str,
        received: Received,
        sleep: Callable[[float], Awaitable[None]],
    ) -> bool:
        """Delay a call for `delay` µs, and return True if the client is still connected.

        What the client sends meanwhile is added to `received`.
        """
        self.held += 1
        self._held_by[identity] += 1
        try:
            return await _connected_after(sleep(delay / SECOND), received)
        finally:
            self.held -= 1
            self._held_by[identity] -= 1
            if not self._held_by[identity]:
                del self._held_by[identity]


class _Delayed:
    """A delayed call, as an open call: if its server stops meanwhile, all is given back."""

    def __init__(self, limiter: Limiter, admission: Admission) -> None:
        self._limiter = limiter
        self._admission = admission

    async def end(self) -> None:
        await self._limiter.settle_call(self._admission, Outcome.FAILED)


async def apply_stage(
    limiter: Limiter,
    admission: Admission,
    adapter: Adapter,
    received: Received,
    scope: Scope,
    delays: DelayQueue,
) -> Scope | None:
    """Delay an admitted call and rewrite its body, as its admission says.

    If the call does not go ahead, its reservation is given back. The `scope` is not changed.

    Returns:
        The scope for the application. None if the call does not go ahead: `Admission.refusal` is
        set if too many calls are delayed, otherwise the client has disconnected.
    """
    staged: Scope | None = None
    delay, identity = admission.delay, admission.identity.key
    delayed = _Delayed(limiter, admission)
    delays.calls.add(delayed)
    try:
        if delay and delays.full(identity):
            admission.refusal = Refusal.TOO_MANY_DELAYED
        elif not delay or await delays.hold(delay, identity, received, limiter.sleep):
            if admission.stage >= Stage.DEGRADE:
                asked = (admission, adapter, received, scope, limiter.policy.body.limit)
                if is_long(scope, received.body):
                    staged = await asyncio.to_thread(_degrade, *asked)
                else:
                    staged = _degrade(*asked)
            else:
                staged = scope
    finally:
        delays.calls.discard(delayed)
        if staged is None:
            await limiter.settle_call(admission, Outcome.FAILED)
    return staged


def _degrade(
    admission: Admission, adapter: Adapter, received: Received, scope: Scope, limit: int
) -> Scope:
    """Rewrite the body to ask for less; return the scope for the new body."""
    body = decoded(scope, received.body, limit)
    target = target_of(scope, admission.path, texts=False)  # it was analyzed before
    degraded = None if body is None else degrade_call(adapter, target, body)
    if degraded is None:
        return scope
    received.replace(degraded)
    # The charge is for the rewritten request: not for answers and figures that were removed.
    asked, admission.call = admission.call, read_call(adapter, target, degraded)
    admission.call.segments = asked.segments  # for hooks that want them
    return rewritten(scope, len(degraded))


async def _connected_after(sleep: Awaitable[None], received: Received) -> bool:
    """Wait for the end of `sleep` or for a disconnect; return True unless it was a disconnect."""
    sleeping = asyncio.ensure_future(sleep)
    listening = asyncio.ensure_future(received.listen())
    try:
        await asyncio.wait((sleeping, listening), return_when=asyncio.FIRST_COMPLETED)
        if listening.done() and not listening.result():
            await asyncio.wait((sleeping,))  # It sent something else, so it is connected.
        elif sleeping.done():
            listening.cancel()  # Only one may receive at a time, and the application is next.
            await asyncio.wait((listening,))
    finally:
        sleeping.cancel()
        listening.cancel()
    if not listening.cancelled() and listening.result():
        return False
    sleeping.result()
    return True
