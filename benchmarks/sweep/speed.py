"""Cost of coverage for a call: a new prompt of 1 KB, memory store, one process.

The reference is the same policy with an ample request limit in place of each bucket budget.
"""

from __future__ import annotations

import asyncio
import random
import time
from statistics import median
from typing import Any

from benchmarks.sweep.analysis import caching_analyzer
from benchmarks.sweep.context import Context
from benchmarks.sweep.policies import counting_requests, scope
from querybudget.adapters.base import Call, Dialect
from querybudget.limiter import Limiter, Outcome
from querybudget.policy.model import Policy
from querybudget.stores.memory import MemoryStore
from querybudget.testing.clock import ManualClock

__all__ = ["added_time"]

ROUNDS, CALLS = 15, 200


def added_time(context: Context) -> dict[str, Any]:
    """Return the median µs of a call with and without coverage, and the difference."""
    texts = _texts(context, 2 * ROUNDS * CALLS)
    plain = counting_requests(context.policy)
    runs: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(3 if context.quick else ROUNDS):
        begin = 2 * number * CALLS
        runs["with"].append(_us(context.policy, texts[begin : begin + CALLS]))
        runs["without"].append(_us(plain, texts[begin + CALLS : begin + 2 * CALLS]))
    both = [a - b for a, b in zip(runs["with"], runs["without"], strict=True)]
    return {
        "with_us": round(median(runs["with"]), 1),
        "without_us": round(median(runs["without"]), 1),
        "added_us": round(median(both), 1),
    }


def _texts(context: Context, count: int) -> list[str]:
    """Return honest prompts joined at random and cut at 1 KB: usual words in a new order."""
    draw, texts = random.Random("speed"), list[str]()
    known = [prompt.text for prompts, _ in context.settings.cover for prompt in prompts]
    for _ in range(count):
        text = ""
        while len(text) < 1_000:
            text += draw.choice(known)[:300] + "\n"
        texts.append(text[:1_000])
    return texts


def _us(policy: Policy, texts: list[str]) -> float:
    clock = ManualClock()
    analyzer = caching_analyzer(policy, cached=4_096) if policy.counts_buckets else None
    limiter = Limiter(policy, store=MemoryStore(clock), clock=clock, analyzer=analyzer)
    return asyncio.run(_timed(limiter, texts))


async def _timed(limiter: Limiter, texts: list[str]) -> float:
    """Return the processor time of a call in µs; the first half of the calls only warms up."""
    route = limiter.route_for("POST", "/v1/chat/completions")
    if route is None:
        return 0.0
    calls = [Call(Dialect.OPENAI, "chat", model="m", input_bytes=len(t), ask=t) for t in texts]
    begun, half = time.thread_time_ns(), len(calls) // 2
    for number, call in enumerate(calls):
        if number == half:
            begun = time.thread_time_ns()
        caller = limiter.caller_for(scope(f"caller {number % 20}"))
        admission = await limiter.admit_call(caller, route, "POST", "/v1/chat/completions", call)
        if admission.refusal is None:
            await limiter.settle(admission, Outcome.ANSWERED, None, 200)
    return (time.thread_time_ns() - begun) / 1_000 / (len(calls) - half)
