"""How a refused call is answered, over HTTP and before a WebSocket is accepted."""

from __future__ import annotations

from uuid import uuid4

from querybudget.adapters.base import Dialect
from querybudget.asgi.types import Send
from querybudget.limiter import Admission, Limiter, Refusal
from querybudget.refusals import Answer, answer, store_down, too_many_delayed, unpriced

__all__ = ["new_request_id", "refusal_of", "send_answer"]


def new_request_id() -> str:
    """A name for a request that the application never saw."""
    return f"req_{uuid4().hex}"


def refusal_of(limiter: Limiter, admission: Admission, dialect: Dialect) -> Answer:
    """The answer to an admission that was refused, in the caller's dialect."""
    name = new_request_id()
    if admission.refusal is Refusal.UNPRICED:
        return unpriced(admission.call.model, dialect, request_id=name)
    if admission.decision is None:
        return store_down(dialect, request_id=name)
    if admission.refusal is Refusal.TOO_MANY_DELAYED:
        return too_many_delayed(dialect, request_id=name, wait=admission.delay)
    settings, private = limiter.policy.refusals, admission.plan.private
    return answer(
        admission.decision, dialect, settings, admission.at, disclosed=private, request_id=name
    )


async def send_answer(given: Answer, send: Send, kind: str = "http.response") -> None:
    """Send an answer of ours; `kind` is the prefix of its messages."""
    await send({"type": f"{kind}.start", "status": given.status, "headers": given.headers})
    await send({"type": f"{kind}.body", "body": given.body})
