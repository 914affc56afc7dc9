"""Streams and requests of one account or several through one simulation each.

Refused calls are not retried; `campaign.py` does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.analysis import FittedAnalyzer
from benchmarks.sweep.bodies import Request
from benchmarks.sweep.figures import NEVER
from benchmarks.sweep.scoring import Fit, current, score_with
from benchmarks.sweep.simulation import EXPENSIVE, Answer, Simulation
from benchmarks.sweep.timing import BEGIN, DAY
from benchmarks.sweep.workloads import Stream
from querybudget.policy.model import Policy
from querybudget.units import MICRO

__all__ = ["GIVES_UP", "Obtained", "StreamResult", "obtain", "replay", "replay_together"]

GIVES_UP = 100
"""A sweeper ends when so many calls in a row that ask something obtain nothing."""


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


@dataclass(frozen=True, slots=True)
class Obtained:
    """What a sequence of requests obtained.

    Attributes:
        prompts: Numbers of the prompts that were answered at full quality.
        first: Calls sent when one was first disturbed.
        disturbed: Accounts that were ever disturbed.
        asked: Calls sent.
    """

    prompts: frozenset[int]
    first: float
    disturbed: frozenset[int]
    asked: int


async def replay(
    policy: Policy, analyzer: FittedAnalyzer, stream: Stream, *, stop: bool = False
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
    policy: Policy,
    analyzer: FittedAnalyzer,
    streams: Sequence[Stream],
    *,
    pool: str = "",
    fits: Sequence[Fit] = (),
) -> list[StreamResult]:
    """Send streams to one limiter, merged by time, so that pooled budgets include them all.

    Args:
        policy: The policy.
        analyzer: Analyses the calls.
        streams: The calls.
        pool: Organisation of all of them; by default each has its own.
        fits: The fit that scores each stream; by default the one in place.
    """
    lengths = [len(stream) for stream in streams]
    times = np.concatenate([stream.times for stream in streams])
    whose = np.repeat(np.arange(len(streams)), lengths)
    where = np.concatenate([np.arange(length) for length in lengths])
    order = np.argsort(times, kind="stable")
    simulation = Simulation(policy, analyzer, int(times[order[0]]))
    met, before = [_Recorder(stream, pool) for stream in streams], current()
    for at, number, place in zip(
        times[order].tolist(), whose[order].tolist(), where[order].tolist(), strict=True
    ):
        simulation.clock.now = at
        if fits:
            score_with(fits[number])
        await met[number].send(simulation, place)
    score_with(before)
    return [one.seen() for one in met]


async def obtain(
    policy: Policy,
    analyzer: FittedAnalyzer,
    requests: Iterable[Request],
    *,
    per_day: float,
    together: bool = False,
    gives_up: int = GIVES_UP,
) -> Obtained:
    """Send requests evenly, each account to its own identity, and return what they obtain.

    Args:
        policy: The policy.
        analyzer: Analyses the calls.
        requests: In the order they are sent.
        per_day: Requests a day, of all accounts together.
        together: Whether all are opened before any of them ends.
        gives_up: Calls in a row that ask and obtain nothing, after which nothing more is sent.
    """
    simulation, gap = Simulation(policy, analyzer, BEGIN), DAY / per_day
    got, disturbed, first = set[int](), set[int](), NEVER
    at, in_vain, number = float(BEGIN), 0, 0
    for number, request in enumerate(requests, 1):
        if request.new_day:
            at = BEGIN + DAY * ((at - BEGIN) // DAY + 1)
        simulation.clock.now = max(simulation.clock.now, int(at))
        account = f"account {request.account}"
        answer = await simulation.ask(account, request, end=not together)
        if answer.disturbed:
            first = min(first, number)
            disturbed.add(request.account)
        if request.asks:
            in_vain = 0 if answer.full else in_vain + 1
            if answer.full:
                got.update(request.asks)
        if in_vain >= gives_up:
            break
        at += max(gap, answer.delay)
    await simulation.end_all()
    return Obtained(frozenset(got), first, frozenset(disturbed), number)


class _Recorder:
    """Collects the result of one stream."""

    def __init__(self, stream: Stream, pool: str = "") -> None:
        self._stream, self._pool = stream, pool
        self._counts_all = not stream.own.any()
        self._own = 0
        self._refused = self._expensive = False
        self._prices = list[float]()
        self.first = NEVER

    async def send(self, simulation: Simulation, place: int) -> Answer:
        """Send the call at this index of the stream."""
        stream = self._stream
        self._own += bool(stream.own[place]) or self._counts_all
        answer = await simulation.ask(stream.account, stream.request(place), pool=self._pool)
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
