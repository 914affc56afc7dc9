"""One event for each call: what was decided, and how the call ended.

The members of an event that name one of a few words are `StrEnum` members: they compare equal to
their value and are encoded as it, ``event.verdict == "admit"``.
"""

from __future__ import annotations

import enum
import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from querybudget.adapters.base import Segment, Usage
from querybudget.coverage import Reason, Touched
from querybudget.errors import SetupError
from querybudget.identity import Identity
from querybudget.ledger import Decision
from querybudget.units import NO_TIME, ORDINARY_PRICE, Micros, Millionths

__all__ = [
    "DecidedBy",
    "DecisionEvent",
    "EventStage",
    "EventVerdict",
    "Hook",
    "Settlement",
    "checked_hooks",
    "encode_event",
    "is_async",
    "publish",
]

logger = logging.getLogger("querybudget")

MOST_SAID = 100
"""Hooks of a process that are named in its log because they return what nobody awaits."""

_said = set[int]()


class EventVerdict(enum.StrEnum):
    """What was decided about a call."""

    ADMIT = "admit"
    WAIT = "wait"
    """A budget refuses it for now: it fits after `DecisionEvent.wait`."""
    NEVER = "never"
    """A budget refuses it for good: it asks for more than the budget ever grants."""
    UNPRICED = "unpriced"
    """Refused: a money budget applies and the model has no price."""
    STORE_ERROR = "store_error"
    """The store did not answer: each budget's ``on_store_error`` decided. The call was refused if
    ``settlement`` is empty."""
    TOO_MANY_DELAYED = "too_many_delayed"
    """Refused: it was to be delayed, and too many calls are being delayed already."""
    BLOCKED = "blocked"
    """Refused: an operator has blocked the caller."""


class Settlement(enum.StrEnum):
    """How the reservation of a call ended."""

    NONE = ""
    """The call was refused, so there is nothing to settle."""
    DONE = "done"
    LATE = "late"
    """The reservation had expired: only use above the estimate was charged."""
    REPEATED = "repeated"
    """It had been settled before, or the store does not know it any more: nothing changed."""
    DEFERRED = "deferred"
    """The store is down; it is settled when the store answers again."""
    FAILED = "failed"
    """Nothing was held, because the store was down when the call was admitted."""


class DecidedBy(enum.StrEnum):
    """Where a call was decided."""

    SHARED = "shared"
    """By the store."""
    LOCAL = "local"
    """By this worker alone, while the store was down."""
    NONE = "none"
    """By no budget."""


class EventStage(enum.StrEnum):
    """What budgets of buckets do to a call; the names of `querybudget.coverage.Stage`."""

    NONE = "none"
    SLOW = "slow"
    DEGRADE = "degrade"
    REFUSE = "refuse"


class DecisionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One call, from decision to settlement.

    Attributes:
        at: When it was decided, µs since the epoch.
        identity: The identity that was charged: a keyed hash and where it came from.
        tier: The caller's tier.
        method: HTTP method; ``WEBSOCKET`` for a handshake or message. It, `path` and `model` are
            what the caller sent, cut at 200 characters and escaped where they are not printable.
        path: The path asked for, without ``root_path``.
        operation: `Call.operation`.
        model: The model asked for.
        stream: Whether a stream was asked for.
        verdict: What was decided.
        violated: Enforced budgets that refused.
        shadowed: Shadow budgets that would have refused.
        wait: µs until the call would fit.
        price: The factor charged, in millionths.
        expected: Tokens held for it.
        usage: Tokens it was settled at; None for a refused call.
        status: HTTP status of the application's answer; 0 without one.
        duration: µs from decision to settlement.
        settlement: How its reservation ended.
        decision: The whole decision; None without one. A ``local`` one covers only the budgets that
            were decided locally.
        store: Where it was decided.
        covered: Whether buckets were found for what it holds. False for a call that no budget of
            buckets applies to, that has no text or cannot be read, and while the embedder is down.
        looked: Chunks of it that were looked at, at most 64.
        opaque: Kinds of what it holds and nobody but the model can read.
        capabilities: Names of the capabilities it asks for.
        novelty: Number of its buckets that were new ground, or of a refused call would have been.
        scores: Accounts of budgets of buckets to their sweep scores, in millionths, those above 0.
        touched: Budgets with `suspects` whose population test touches the caller, to what it says.
        strain: The highest strain of those budgets, in millionths.
        shift: Millionths by which every score was moved, because the deployment's own callers set
            the threshold; 0 where the shipped one holds.
        stage: What was done to it.
        delay: µs it was to be delayed.
        shadow_price: The factor that shadow budgets would have charged, in millionths.
        shadow_stage: What would have been done to it if shadow budgets were enforced.
        reasons: What contributed to the sweep score, strongest first, if the score brought about a
            stage, or would have in shadow.
        request_id: Ours, unique: the one that a refusal shows, and an answer that has no other.
        sent_id: The ``X-Request-Id`` or ``X-Client-Request-Id`` that the request came with; the
            sender chose it, so it need not be unique. Empty unless it is at most 128 plain
            characters, as is `answer_id`.
        trace: The ``traceparent`` that the request came with (W3C Trace Context), or nothing.
        answer_id: The id that the application answered with.
        policy: Hash of the policy that decided: `fingerprint` in `querybudget.limiter.notices`.
        charged: Budgets to the µ-units that the call took in the end, price included. A budget in
            ``concurrent`` takes nothing in the end.
        partitions: Partitions of the policy to the key of the caller's pool, as in the keys of
            accounts.
        items: `Call.items`; the next ones are likewise those of the call.
        texts: What the model read, if a hook wants prompts (`wants_texts`); otherwise empty.
    """

    at: Micros
    identity: Identity
    tier: str
    method: str
    path: str
    operation: str
    model: str
    stream: bool
    verdict: EventVerdict
    violated: tuple[str, ...] = ()
    shadowed: tuple[str, ...] = ()
    wait: Micros = NO_TIME
    price: Millionths
    expected: Usage
    usage: Usage | None = None
    status: int = 0
    duration: Micros = NO_TIME
    settlement: Settlement = Settlement.NONE
    decision: Decision | None = None
    store: DecidedBy = DecidedBy.SHARED
    covered: bool = False
    looked: int = 0
    opaque: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    novelty: int = 0
    scores: Mapping[str, int] = {}
    touched: Mapping[str, Touched] = {}
    strain: Millionths = Millionths(0)
    shift: Millionths = Millionths(0)
    stage: EventStage = EventStage.NONE
    delay: Micros = NO_TIME
    shadow_price: Millionths = ORDINARY_PRICE
    shadow_stage: EventStage = EventStage.NONE
    reasons: tuple[Reason, ...] = ()
    request_id: str = ""
    sent_id: str = ""
    trace: str = ""
    answer_id: str = ""
    policy: str = ""
    charged: Mapping[str, int] = {}
    partitions: Mapping[str, str] = {}
    items: int = 1
    choices: int = 1
    max_output: int | None = None
    input_bytes: int = 0
    input_tokens: int = 0
    images: int = 0
    texts: tuple[Segment, ...] = ()


_ENCODER = msgspec.json.Encoder(enc_hook=str)  # str: of the time zones of calendar windows


def encode_event(event: DecisionEvent) -> bytes:
    """Return an event as JSON on one line, whatever its policy is."""
    return _ENCODER.encode(event)


Hook = Callable[[DecisionEvent], object]
"""Called with every event, on the event loop: it must return at once, or be a coroutine function,
which is awaited off the path of calls. What it raises is logged. If it has a coroutine function
``aclose``, that is awaited when the limiter closes."""


def checked_hooks(hooks: Sequence[Hook]) -> tuple[Hook, ...]:
    """Return hooks that can be called.

    Raises:
        SetupError: They are no sequence of functions, or one is a generator.
    """
    if not isinstance(hooks, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - not every program is type-checked
        raise SetupError(f"`hooks` must be a list of functions, found {hooks!r}")
    for hook in hooks:
        if not callable(hook):
            raise SetupError(f"a hook must be a function of one event, found {hook!r}")
        if any(map(inspect.isasyncgenfunction, _called(hook))):
            raise SetupError(f"a hook must be a function of one event, found a generator {hook!r}")
    return tuple(hooks)


def publish(hooks: Sequence[Hook], event: DecisionEvent) -> None:
    """Give an event to every hook. A hook that fails affects neither the call nor other hooks."""
    for hook in hooks:
        try:
            result = hook(event)
        except Exception:
            logger.exception("a hook failed: %r", hook)
        else:
            if result is not None and inspect.isawaitable(result):
                _drop(result, hook)


def is_async(hook: object) -> bool:
    """Return True if a hook has to be awaited."""
    return any(map(inspect.iscoroutinefunction, _called(hook)))


def _called(hook: object) -> tuple[object, object]:
    """Return what is called, as an object with a method of that name or as it is."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    return hook, getattr(type(hook), "__call__", None)  # noqa: B004 - not whether it has one


def _drop(result: object, hook: Hook) -> None:
    """Say once of each hook that nothing awaits what it returns, which no look at it shows."""
    if inspect.iscoroutine(result):
        result.close()
    if id(hook) not in _said and len(_said) < MOST_SAID:
        _said.add(id(hook))
        logger.error(
            "a hook must return at once, but %r returned %s, which nothing awaits: pass a coroutine"
            " function",
            hook,
            type(result).__name__,
        )
