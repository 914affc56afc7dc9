"""One call in a traffic log."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from querybudget.adapters.base import Channel, Usage
from querybudget.coverage import Reason, Touched
from querybudget.events import DecisionEvent
from querybudget.units import MICRO

SHORTEST_ID = 12
"""Characters of an id's beginning that name a call, at least: as many as the console shows."""

_SAMPLES = 3

MOST_TEXT = 1 << 20
"""Characters of texts that one record holds; what comes after is left out."""


class TrafficText(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text that the model read.

    Attributes:
        text: The text.
        fed: Whether it is `Channel.FED`: instructions, tools, documents, answers. Otherwise it is
            `Channel.SAID`.
    """

    text: str
    fed: bool = False


class TrafficRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call: who asked for what, what was decided, and what it used.

    The members that are times or amounts have their unit in `querybudget.events.DecisionEvent`.
    What a foreign log does not say has its default.

    Attributes:
        at: When it was decided, µs since the epoch.
        identity: Key of the identity, a keyed hash. Readers of foreign logs hash what they find.
        source: How the caller was identified.
        tier: The caller's tier.
        partitions: Partitions of the policy to the key of the caller's pool.
        request_id: Our id of the request, unique.
        sent_id: The id that the request came with.
        answer_id: The id that the application answered with.
        policy: Hash of the policy that decided.
        method: HTTP method, or ``WEBSOCKET``.
        path: Path asked for.
        operation: `Call.operation`; empty if it is not known.
        model: The model asked for.
        stream: Whether a stream was asked for.
        items: `Call.items`.
        choices: `Call.choices`.
        max_output: `Call.max_output`.
        input_bytes: `Call.input_bytes`.
        input_tokens: `Call.input_tokens`.
        images: `Call.images`.
        verdict: What was decided; empty if nothing was.
        violated: Enforced budgets that refused.
        shadowed: Shadow budgets that would have refused.
        wait: µs until the call would have fitted.
        price: The factor charged, in millionths.
        stage: What was done to it.
        delay: µs it was to be delayed.
        shadow_price: The factor that shadow budgets would have charged.
        shadow_stage: What shadow budgets would have done.
        strain: The highest strain, in millionths.
        novelty: Buckets that were new ground, or of a refused call would have been.
        scores: Accounts of budgets of buckets to their sweep scores, in millionths, those above 0.
        touched: Budgets whose population test touched the caller, to what it said.
        reasons: What contributed to the sweep score.
        capabilities: Names of the capabilities asked for.
        opaque: Kinds of what cannot be read.
        expected: Tokens held.
        usage: Tokens used; None for a refused call, or if nobody said.
        charged: Budgets to the µ-units that the call took in the end.
        status: HTTP status of the answer; 0 without one.
        duration: µs from decision to settlement.
        settlement: How its reservation ended.
        store: Where it was decided.
        texts: What the model read. Only there if the operator asked for prompts.
    """

    at: int
    identity: str = ""
    source: str = "log"
    tier: str = "default"
    partitions: dict[str, str] = {}
    request_id: str = ""
    sent_id: str = ""
    answer_id: str = ""
    policy: str = ""
    method: str = "POST"
    path: str = ""
    operation: str = ""
    model: str = ""
    stream: bool = False
    items: int = 1
    choices: int = 1
    max_output: int | None = None
    input_bytes: int = 0
    input_tokens: int = 0
    images: int = 0
    verdict: str = ""
    violated: tuple[str, ...] = ()
    shadowed: tuple[str, ...] = ()
    wait: int = 0
    price: int = MICRO
    stage: str = "none"
    delay: int = 0
    shadow_price: int = MICRO
    shadow_stage: str = "none"
    strain: int = 0
    novelty: int = 0
    scores: dict[str, int] = {}
    touched: dict[str, Touched] = {}
    reasons: tuple[Reason, ...] = ()
    capabilities: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    expected: Usage = Usage()
    usage: Usage | None = None
    charged: dict[str, int] = {}
    status: int = 0
    duration: int = 0
    settlement: str = ""
    store: str = "shared"
    texts: tuple[TrafficText, ...] = ()


def record_of(event: DecisionEvent, *, prompts: bool = False) -> TrafficRecord:
    """Return the record of an event.

    Args:
        event: The event.
        prompts: Whether it has the event's texts, at most `MOST_TEXT` characters of them.
    """
    return TrafficRecord(
        at=event.at,
        identity=event.identity.key,
        source=event.identity.source,
        tier=event.tier,
        partitions=dict(event.partitions),
        request_id=event.request_id,
        sent_id=event.sent_id,
        answer_id=event.answer_id,
        policy=event.policy,
        method=event.method,
        path=event.path,
        operation=event.operation,
        model=event.model,
        stream=event.stream,
        items=event.items,
        choices=event.choices,
        max_output=event.max_output,
        input_bytes=event.input_bytes,
        input_tokens=event.input_tokens,
        images=event.images,
        verdict=event.verdict.value,
        violated=event.violated,
        shadowed=event.shadowed,
        wait=event.wait,
        price=event.price,
        stage=event.stage.value,
        delay=event.delay,
        shadow_price=event.shadow_price,
        shadow_stage=event.shadow_stage.value,
        strain=event.strain,
        novelty=event.novelty,
        scores=dict(event.scores),
        touched=dict(event.touched),
        reasons=event.reasons,
        capabilities=event.capabilities,
        opaque=event.opaque,
        expected=event.expected,
        usage=event.usage,
        charged=dict(event.charged),
        status=event.status,
        duration=event.duration,
        settlement=event.settlement.value,
        store=event.store.value,
        texts=_texts(event) if prompts else (),
    )


def shown_id(request_id: str) -> str:
    """Return an id, or its beginning, without the ellipsis of one that the console cut."""
    return request_id.strip().rstrip("…")


def best_match(request_id: str, records: Iterable[TrafficRecord]) -> TrafficRecord | None:
    """Return the call of an id: by ours, else by the application's answer, else as it was sent.

    The beginning of ours is enough: at least `SHORTEST_ID` characters, as the console shows them.
    Of several with the same id it is the first. None if no call has it.

    Raises:
        LookupError: Several calls have an id that begins so.
    """
    answered = sent = None
    beginning = shown_id(request_id)
    begun = dict[str, TrafficRecord]()
    for record in records:
        if record.request_id == request_id:
            return record
        if record.request_id.startswith(beginning) and len(beginning) >= SHORTEST_ID:
            begun.setdefault(record.request_id, record)
        if answered is None and record.answer_id == request_id:
            answered = record
        elif sent is None and record.sent_id == request_id:
            sent = record
    if not begun:
        return answered or sent
    if len(begun) > 1:
        shown = ", ".join([*begun][:_SAMPLES])
        raise LookupError(f"more than one call has an id that begins with {beginning!r}: {shown}")
    return next(iter(begun.values()))


def _texts(event: DecisionEvent) -> tuple[TrafficText, ...]:
    texts, left = list[TrafficText](), MOST_TEXT
    for segment in event.texts:
        if left <= 0:
            break
        texts.append(TrafficText(segment.text[:left], fed=segment.channel is Channel.FED))
        left -= len(segment.text)
    return tuple(texts)
