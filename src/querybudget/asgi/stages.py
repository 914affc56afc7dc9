"""What is done to a call that is admitted, and yet slowed or answered with less."""

from __future__ import annotations

from querybudget.adapters.base import Adapter, degrade_call, read_call
from querybudget.asgi.body import Received, header, inflate, rewritten
from querybudget.asgi.delay import DelayQueue
from querybudget.asgi.refuse import refusal_of, send_answer
from querybudget.asgi.types import Scope, Send
from querybudget.coverage.response import Stage
from querybudget.limiter import Admission, Limiter, Outcome, Refusal

__all__ = ["Measures"]


class Measures:
    """Slows a call and rewrites it, as its admission says.

    Args:
        limiter: The admission's.
        admission: Admitted. If the call does not go on, everything it holds is given back.
        adapter: Reads the call.
        received: What was received of it.
    """

    __slots__ = ("_adapter", "_admission", "_limiter", "_received")

    def __init__(
        self, limiter: Limiter, admission: Admission, adapter: Adapter, received: Received
    ) -> None:
        self._limiter = limiter
        self._admission = admission
        self._adapter = adapter
        self._received = received

    async def take(self, scope: Scope, send: Send, delays: DelayQueue) -> Scope | None:
        """Do what the admission says.

        Args:
            scope: Of the request; it is not changed.
            send: ASGI's, for a refusal.
            delays: Where it waits.

        Returns:
            The scope for the application; None where it should not see the call: the client has
            hung up, or too many wait.
        """
        admission, goes_on = self._admission, False
        try:
            if admission.delay and delays.full:
                await self._limiter.withdraw(admission, Refusal.TOO_MANY_DELAYED)
                answer = refusal_of(self._limiter, admission, self._adapter.dialect)
                await send_answer(answer, send)
                return None
            if admission.delay and not await self._held(delays):
                return None
            lessened = scope if admission.stage < Stage.DEGRADE else self._lessen(scope)
            goes_on = True
        finally:
            if not goes_on:
                await self._limiter.settle(admission, Outcome.FAILED)
        return lessened

    async def _held(self, delays: DelayQueue) -> bool:
        return await delays.hold(self._admission.delay, self._received, self._limiter.pause)

    def _lessen(self, scope: Scope) -> Scope:
        """Rewrite the body; one that was compressed goes on as it is."""
        received, limit = self._received, self._limiter.policy.body.limit
        body = inflate(received.body, header(scope, b"content-encoding"), limit)
        less = degrade_call(self._adapter, self._admission.path, body)
        if less is None:
            return scope
        received.replace(less)
        # What is charged is what is now asked: not the answers and figures taken away.
        self._admission.call = read_call(self._adapter, self._admission.path, less)
        return rewritten(scope, len(less))
