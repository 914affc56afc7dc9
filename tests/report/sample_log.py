"""A small traffic log: a person, an application and a sweeper ask a model, under one policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from querybudget.adapters.base import Call, Channel, Dialect, Segment, Usage
from querybudget.demo import prompts
from querybudget.errors import RefusedError
from querybudget.events import DecisionEvent
from querybudget.limiter import Limiter, request_scope
from querybudget.policy.model import Policy
from querybudget.testing import ManualClock, memory_limiter
from querybudget.testing.sweeping import sweep as sweep_prompts
from querybudget.traffic.record import TrafficRecord, TrafficText
from querybudget.units import MICRO, SECOND

SECRET = "0123456789abcdef0123456789abcdef"
POLICY: dict[str, Any] = {
    "secret": SECRET,
    "budgets": [
        {"name": "tokens", "limit": "60_000 tokens/hour"},
        {"name": "rpm", "limit": "5 requests/minute"},
        {"name": "house", "limit": "2M tokens/day", "per": "everyone"},
        {
            "name": "breadth",
            "limit": "400 buckets/30 days",
            "price": {"free": 0.49, "cap": 10},
            "then": {"slow": 0.65, "degrade": 0.85, "refuse": 1},
            "mode": "shadow",
        },
    ],
}
CHAT = "/v1/chat/completions"


def policy(**members: Any) -> Policy:
    return Policy.load({**POLICY, **members})


def _person() -> Iterator[str]:
    for day in range(4):
        for line in prompts.conversation():
            yield f"{line} {day or ''}".strip()


def _documents() -> Iterator[str]:
    for _ in range(5):
        for messages in prompts.documents():
            yield messages[-1]["content"]


async def write_log(path: Path, policy: Policy, *, sweep: int = 120, texts: bool = True) -> Limiter:
    """Write a log of some hundred calls over some hours, and return the limiter that decided."""
    clock = ManualClock()
    found: list[DecisionEvent] = []
    limiter = memory_limiter(policy, clock=clock, hooks=[found.append], sleep=_no_sleep)
    callers = [
        ("sk-person", _person()),
        ("sk-app", _documents()),
        ("sk-sweep", iter(sweep_prompts(sweep))),
    ]
    pauses = {"sk-person": 6, "sk-app": 3, "sk-sweep": 1}
    with path.open("wb") as file:
        for turn in range(sweep + 1):
            for key, asked in callers:
                if turn % pauses[key] == 0 and (text := next(asked, "")):
                    await _ask(limiter, key, text)
                    record = _record(found.pop(), text if texts else "")
                    file.write(msgspec.json.encode(record) + b"\n")
            clock.advance(6 + turn % 7 * 2 if turn % 40 else 1_500)
    return limiter


async def _ask(limiter: Limiter, key: str, text: str) -> None:
    scope = request_scope(CHAT, headers={"authorization": f"Bearer {key}"})
    call = Call(Dialect.OPENAI, "chat", model="small", segments=(Segment(Channel.SAID, text),))
    call.input_bytes = len(text)
    with suppress(RefusedError):
        async with limiter.admitted(scope, call) as admission:
            admission.used(Usage(40 + len(text) // 4, 0, 0, 300 + len(text) * 7 % 400))


async def _no_sleep(_: float) -> None:
    """Slowed calls go on at once."""


def _record(event: DecisionEvent, text: str) -> TrafficRecord:
    lines = (
        event.decision.reservation.lines if event.decision and event.decision.reservation else ()
    )
    usage = event.usage
    charged = {
        line.quota.name: MICRO
        * (1 if line.quota.unit == "requests" else usage.input + usage.output)
        for line in lines
        if usage is not None and line.quota.unit != "buckets"
    }
    return TrafficRecord(
        at=event.at,
        identity=event.identity.key,
        source=event.identity.source,
        tier=event.tier,
        path=event.path,
        operation=event.operation,
        model=event.model,
        verdict=event.verdict,
        violated=event.violated,
        shadowed=event.shadowed,
        wait=event.wait,
        price=event.price,
        stage=event.stage,
        shadow_price=event.shadow_price,
        shadow_stage=event.shadow_stage,
        strain=event.strain,
        novelty=event.novelty,
        reasons=event.reasons,
        capabilities=event.capabilities,
        expected=event.expected,
        usage=usage,
        charged=charged,
        status=event.status,
        duration=event.duration or SECOND,
        settlement=event.settlement,
        policy="3f2a91c0",
        texts=(TrafficText(text),) if text else (),
    )
