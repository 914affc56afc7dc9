"""One stream through the real limiter and the memory store, on a virtual clock.

Decisions take effect: after a delayed call the account's next one waits for its answer, a degraded
answer is shorter, and prices are charged. Answers themselves take no time. Refused calls are not
retried; `campaign.py` does that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.figures import NEVER
from benchmarks.sweep.policies import scope
from benchmarks.sweep.workloads import Stream
from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.coverage.response import Stage
from querybudget.embedding.analyzer import EmbeddingAnalyzer
from querybudget.limiter import Limiter, Outcome
from querybudget.policy.model import Policy
from querybudget.stores.memory import MemoryStore
from querybudget.testing.clock import ManualClock
from querybudget.units import MICRO

__all__ = ["EXPENSIVE", "Answer", "Simulation", "StreamResult", "replay", "replay_together"]

EXPENSIVE = 2 * MICRO
"""A price above this disturbs a caller."""

_PATH, _MODEL = "/v1/chat/completions", "bench-1"
_DEGRADED_OUTPUT = 512
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of one call."""

    refused: bool
    stage: Stage
    price: int
    delay: int
    tokens: int

    @property
    def disturbed(self) -> bool:
        return self.refused or self.stage > Stage.NONE or self.price > EXPENSIVE

    @property
    def full(self) -> bool:
        """Whether it was answered, late or not, at full quality and a price of at most 2."""
        return not self.refused and self.stage < Stage.DEGRADE and self.price <= EXPENSIVE


@dataclass(frozen=True, slots=True)
class StreamResult:
    """Result of one account over its whole stream.

    Attributes:
        first: Own queries (of an honest identity: all queries) sent when it was first disturbed.
        refused: Whether a call was ever refused.
        expensive: Whether a price was ever above 2.
        prices: Prices of all answered calls, as factors.
    """

    first: float
    refused: bool
    expensive: bool
    prices: NDArray[np.float32]

    @property
    def disturbed(self) -> bool:
        return self.first != NEVER


class Simulation:
    """A limiter in memory with its own virtual clock."""

    def __init__(self, policy: Policy, analyzer: EmbeddingAnalyzer, begin: int) -> None:
        self.clock = ManualClock(begin)
        store = MemoryStore(self.clock, max_identities=policy.max_identities)
        self._limiter = Limiter(policy, store=store, clock=self.clock, analyzer=analyzer)
        self._route = self._limiter.route_for("POST", _PATH) if policy.budgets else None

    async def ask(self, account: str, text: str, template: str, *, pool: str = "") -> Answer:
        """Send one call now, and settle it as answered."""
        used = usage(text, template)
        tokens = used.input + used.output
        if self._route is None:
            return Answer(False, Stage.NONE, MICRO, 0, tokens)  # noqa: FBT003 - not refused
        limiter = self._limiter
        caller = limiter.caller_for(scope(account, template, pool=pool))
        call = Call(
            Dialect.OPENAI,
            "chat",
            model=_MODEL,
            input_bytes=len(text.encode()) + len(template.encode()),
            template=template,
            ask=text,
        )
        admission = await limiter.admit_call(caller, self._route, "POST", _PATH, call)
        price = admission.decision.price if admission.decision else MICRO
        if admission.refusal is not None:
            return Answer(True, admission.stage, price, 0, 0)  # noqa: FBT003 - refused
        if admission.stage >= Stage.DEGRADE:
            used = Usage(used.input, output=min(used.output, _DEGRADED_OUTPUT))
            tokens = used.input + used.output
        await limiter.settle(admission, Outcome.ANSWERED, used, 200)
        return Answer(False, admission.stage, price, admission.delay, tokens)  # noqa: FBT003 - the same


async def replay(
    policy: Policy, analyzer: EmbeddingAnalyzer, stream: Stream, *, stop: bool = False
) -> StreamResult:
    """Send a stream to its own limiter.

    Args:
        policy: The policy.
        analyzer: Analyses the calls.
        stream: The calls.
        stop: Whether to end when the account is first disturbed.
    """
    simulation, met = Simulation(policy, analyzer, int(stream.times[0])), _Recorder(stream)
    free = 0
    for place, at in enumerate(stream.times.tolist()):
        simulation.clock.now = max(free, at)
        answer = await met.send(simulation, place)
        free = simulation.clock.now + answer.delay
        if stop and met.first != NEVER:
            break
    return met.seen()


async def replay_together(
    policy: Policy, analyzer: EmbeddingAnalyzer, streams: Sequence[Stream]
) -> list[StreamResult]:
    """Send streams to one limiter, merged by time, so that pooled budgets include them all."""
    lengths = [len(stream) for stream in streams]
    times = np.concatenate([stream.times for stream in streams])
    whose = np.repeat(np.arange(len(streams)), lengths)
    where = np.concatenate([np.arange(length) for length in lengths])
    order = np.argsort(times, kind="stable")
    simulation, met = (
        Simulation(policy, analyzer, int(times[order[0]])),
        [_Recorder(stream) for stream in streams],
    )
    for at, number, place in zip(
        times[order].tolist(), whose[order].tolist(), where[order].tolist(), strict=True
    ):
        simulation.clock.now = at
        await met[number].send(simulation, place)
    return [one.seen() for one in met]


class _Recorder:
    """Collects the result of one stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._counts_all = not stream.own.any()
        self._own = 0
        self._refused = self._expensive = False
        self._prices = list[float]()
        self.first = NEVER

    async def send(self, simulation: Simulation, place: int) -> Answer:
        """Send the call at this index of the stream."""
        stream = self._stream
        self._own += bool(stream.own[place]) or self._counts_all
        text, system_prompt = stream.prompts[place].text, stream.templates[place]
        answer = await simulation.ask(stream.account, text, system_prompt)
        self._refused = self._refused or answer.refused
        self._expensive = self._expensive or answer.price > EXPENSIVE
        if not answer.refused:
            self._prices.append(answer.price / MICRO)
        if answer.disturbed and self.first == NEVER:
            self.first = self._own
        return answer

    def seen(self) -> StreamResult:
        prices = np.array(self._prices, np.float32)
        return StreamResult(self.first, self._refused, self._expensive, prices)


@lru_cache(maxsize=1 << 17)
def usage(text: str, template: str) -> Usage:
    """Return the tokens of a call: one per four bytes of prompt, and an answer by the text's hash.

    Answers are log-normal with a median of 180 tokens, the same for every corpus.
    """
    drawn = (crc32(text.encode()) + 0.5) / 2**32
    output = math.exp(math.log(180) + 0.8 * _NORMAL.inv_cdf(drawn))
    prompt = -(-(len(text.encode()) + len(template.encode())) // 4)
    return Usage(input=max(1, prompt), output=round(min(max(output, 5), 2_000)))
