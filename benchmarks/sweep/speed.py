"""Processor time that coverage adds to a call: memory store, one process, analyzer as deployed.

The reference is the same policy with an ample request limit in place of each budget that looks
into calls. Three calls are timed: a prompt of 1 KB that nobody sent before, of any corpus; the same
of the made-up English that benchmarks/overhead sends, so that its figures can be compared; and a
conversation of 100 KB that its caller has sent before, of which the last 1 KB is new.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import msgspec

from benchmarks.overhead.bodies import prose
from benchmarks.sweep.analysis import fresh_analyzer
from benchmarks.sweep.bodies import CHAT, Message, asked, assistant, chat, said
from benchmarks.sweep.context import Context
from benchmarks.sweep.policies import counting_requests, scope
from querybudget.adapters.base import Target
from querybudget.adapters.reading import read_call
from querybudget.embedding.analyzer import EmbeddingAnalyzer
from querybudget.limiter import Limiter, Outcome
from querybudget.policy.model import Policy
from querybudget.stores.memory import MemoryStore
from querybudget.testing.clock import ManualClock

__all__ = ["added_time"]

ROUNDS, CALLS, CALLERS = 15, 200, 20
KB = 1_000
LENGTH = 100
"""Turns of 1 KB of a long conversation."""

GROWN, REPEATED = 10, 6
"""Turns by which it grows until then, and how often it is sent again. Of many new turns at once,
a call looks only at some chunks, and the next calls at the rest."""

Known = Sequence[Sequence[str]]
"""Honest prompts, by corpus."""

Bodies = Callable[[random.Random, Known], list[bytes]]


def added_time(context: Context) -> dict[str, Any]:
    """Return the median µs of a call with and without coverage, and the difference."""
    known = [cover.texts for cover in context.settings.cover if any(cover.texts)] or [("word",)]
    rounds = 2 if context.quick else ROUNDS
    found = _difference(context, known, _prompts, rounds, CALLS)
    made_up = _difference(context, known, _made_up, rounds, CALLS)
    long = _difference(
        context, known, _conversations, -(-rounds // 3), CALLERS * (LENGTH // GROWN + REPEATED)
    )
    state = asyncio.run(_state(context.policy, _prompts(random.Random("state"), known)))
    return {
        **found,
        **{f"{name}_made_up": v for name, v in made_up.items()},
        **{f"{name}_conversation": v for name, v in long.items()},
        "state_bytes": state,
    }


def _difference(
    context: Context, known: Known, bodies: Bodies, rounds: int, warm: int
) -> dict[str, float]:
    policy, plain = context.policy, counting_requests(context.policy)
    analyzer = fresh_analyzer(policy) if policy.counts_buckets else None
    runs: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(rounds):
        sent = bodies(random.Random(f"speed {number}"), known)
        runs["with"].append(_us(_limiter(policy, analyzer), sent, warm))
        runs["without"].append(_us(_limiter(plain), sent, warm))
    both = [a - b for a, b in zip(runs["with"], runs["without"], strict=True)]
    return {
        "with_us": round(median(runs["with"]), 1),
        "without_us": round(median(runs["without"]), 1),
        "added_us": round(median(both), 1),
    }


def _prompts(draw: random.Random, known: Known) -> list[bytes]:
    return [asked(_text(draw, known)) for _ in range(2 * CALLS)]


def _made_up(draw: random.Random, _: Known) -> list[bytes]:
    return [asked(prose(draw.getrandbits(32), KB)) for _ in range(2 * CALLS)]


def _conversations(draw: random.Random, known: Known) -> list[bytes]:
    """Return the conversation of each caller as it grows, then the same with another turn, and so
    on.
    """
    shared = [_text(draw, known) for _ in range(LENGTH)]
    turns: list[list[Message]] = [
        [(said, assistant)[n % 2](f"{caller} {text}") for n, text in enumerate(shared)]
        for caller in range(CALLERS)
    ]
    sent = [chat(own[:size]) for size in range(GROWN, LENGTH + 1, GROWN) for own in turns]
    sent += [chat(own) for own in turns] * REPEATED
    for _ in range(4):
        for own in turns:
            own.append(said(_text(draw, known)))
            sent.append(chat(own))
    return sent


def _text(draw: random.Random, known: Known) -> str:
    """Return prompts of one corpus joined at random and cut at 1 KB: usual words in a new order."""
    text, corpus = "", draw.choice(known)
    while len(text) < KB:
        text += draw.choice(corpus)[:300] + "\n"
    return text[:KB]


def _us(limiter: Limiter, bodies: Sequence[bytes], warm: int) -> float:
    return asyncio.run(_timed(limiter, bodies, warm))


def _limiter(policy: Policy, analyzer: EmbeddingAnalyzer | None = None) -> Limiter:
    clock = ManualClock()
    store = MemoryStore(clock, max_identities=policy.max_identities)
    return Limiter(policy, store=store, clock=clock, analyzer=analyzer)


async def _timed(limiter: Limiter, bodies: Sequence[bytes], warm: int) -> float:
    """Return the processor time of a call in µs; the first calls only warm up."""
    begun = time.thread_time_ns()
    for number, body in enumerate(bodies):
        if number == warm:
            begun = time.thread_time_ns()
        await _call(limiter, f"caller {number % CALLERS}", body)
    return (time.thread_time_ns() - begun) / 1_000 / (len(bodies) - warm)


async def _call(limiter: Limiter, account: str, body: bytes) -> None:
    route = limiter.route_for("POST", CHAT)
    if route is None or route.adapter is None:
        return
    call = read_call(route.adapter, Target(CHAT, texts=route.examined), body)
    caller = limiter.caller_for(scope(account))
    admission = await limiter.admit_call(caller, route, "POST", CHAT, call)
    if admission.refusal is None:
        await limiter.settle(admission, Outcome.ANSWERED, None, 200)


async def _state(policy: Policy, bodies: Sequence[bytes]) -> int | None:
    """Return the bytes of the largest account, packed, after many new prompts of one caller."""
    limiter = _limiter(policy)
    for body in bodies:
        await _call(limiter, "caller", body)
    if not isinstance(limiter.store, MemoryStore):
        return None
    accounts = limiter.store._known.values()  # noqa: SLF001 - only the table holds whole accounts
    return max((len(msgspec.msgpack.encode(account)) for account in accounts), default=None)
