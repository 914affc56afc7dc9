"""One event for each call: what was decided, and what it came to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from querybudget.adapters.base import Usage
from querybudget.coverage import Reason
from querybudget.identity import Identity
from querybudget.ledger import Decision
from querybudget.units import MICRO

__all__ = ["DecisionEvent", "Hook", "publish"]

logger = logging.getLogger("querybudget")


class DecisionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one call.

    Attributes:
        at: When it was decided, µs since the epoch.
        identity: Who was charged: a keyed hash and where it came from.
        tier: The caller's tier.
        method: HTTP method; ``WEBSOCKET`` for a handshake or message.
        path: The path asked for, ``root_path`` taken off.
        operation: `Call.operation`.
        model: The model asked for.
        stream: Whether a stream was asked for.
        verdict: ``admit``, ``wait``, ``never``, or why nothing was decided by a budget:
            ``unpriced``, ``store_error``.
        violated: Enforced budgets that refused.
        shadowed: Shadow budgets that would have refused.
        wait: µs until the call would fit.
        price: The factor charged, in millionths.
        expected: Tokens held for it.
        usage: Tokens it was settled at; None for a refused call.
        status: HTTP status of the application's answer, 0 where there was none.
        duration: µs from decision to settlement.
        settlement: ``done``, ``late``, ``repeated``, ``deferred`` (the store is down, and is told
            when it answers) or ``failed`` (nothing was held); empty for a refused call.
        decision: The whole decision; None where there was none. A ``local`` one is only of the
            budgets that were decided locally.
        store: Where it was decided: ``shared`` for the store, ``local`` for this worker alone
            while the store was down, ``none`` where no budget decided it.
        covered: Whether buckets were found for what was asked: not for a call that no budget looks
            at, has no text or cannot be read, nor while the embedder is down.
        capabilities: Names of those that the call is of.
        novelty: How many of its buckets were new, to whom they were newest: the largest number
            over the budgets in buckets.
        strain: The highest of those budgets, in millionths.
        stage: What was done to it: ``none``, ``slow``, ``degrade`` or ``refuse``.
        delay: µs it was to be held back for.
        shadow_price: The factor that shadow budgets would have charged, in millionths.
        shadow_stage: What would have been done to it if they were enforced.
        reasons: What the sweep score is made of, strongest first, where it brought about a stage,
            or would have in shadow.
    """

    at: int
    identity: Identity
    tier: str
    method: str
    path: str
    operation: str
    model: str
    stream: bool
    verdict: str
    violated: tuple[str, ...] = ()
    shadowed: tuple[str, ...] = ()
    wait: int = 0
    price: int
    expected: Usage
    usage: Usage | None = None
    status: int = 0
    duration: int = 0
    settlement: str = ""
    decision: Decision | None = None
    store: str = "shared"
    covered: bool = False
    capabilities: tuple[str, ...] = ()
    novelty: int = 0
    strain: int = 0
    stage: str = "none"
    delay: int = 0
    shadow_price: int = MICRO
    shadow_stage: str = "none"
    reasons: tuple[Reason, ...] = ()


Hook = Callable[[DecisionEvent], object]
"""Called with every event, on the event loop: quick, or handing on. What it raises is logged."""


def publish(hooks: Sequence[Hook], event: DecisionEvent) -> None:
    """Give an event to every hook; a hook that fails harms neither the call nor other hooks."""
    for hook in hooks:
        try:
            hook(event)
        except Exception:
            logger.exception("a hook failed: %r", hook)
