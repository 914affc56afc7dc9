"""Requests through the real adapters, limiter and memory store, on a virtual clock.

Decisions take effect: after a delayed call the account's next one waits for its answer, a degraded
answer is shorter, and prices are charged. Answers themselves take no time, except where many calls
are opened before any of them ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from statistics import NormalDist
from zlib import crc32

from benchmarks.sweep.analysis import FittedAnalyzer
from benchmarks.sweep.bodies import Request
from benchmarks.sweep.policies import scope
from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Target, Usage
from querybudget.adapters.reading import read_call
from querybudget.coverage.response import Stage
from querybudget.limiter import Limiter, Outcome
from querybudget.limiter.admission import Admission
from querybudget.limiter.plans import Caller
from querybudget.policy.model import Policy
from querybudget.stores.memory import MemoryStore
from querybudget.testing.clock import ManualClock
from querybudget.units import MICRO

__all__ = ["EXPENSIVE", "Answer", "Simulation", "answer_length"]

EXPENSIVE = 2 * MICRO
"""A price above this disturbs a caller."""

_DEGRADED_OUTPUT = 512
_NORMAL = NormalDist()
_NUMBERS = count()


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


@dataclass(slots=True)
class _Opened:
    """A call that was admitted and has not ended."""

    admission: Admission
    used: Usage


class Simulation:
    """A limiter in memory with its own virtual clock.

    Account names are its own: the analyzer, which is shared, may remember callers.
    """

    def __init__(self, policy: Policy, analyzer: FittedAnalyzer, begin: int) -> None:
        self.clock = ManualClock(begin)
        self._policy, self._analyzer = policy, analyzer
        self._prefix = f"{next(_NUMBERS)}"
        self._callers: dict[tuple[str, str], Caller] = {}
        self._open = list[_Opened]()

    @cached_property
    def _limiter(self) -> Limiter:
        store = MemoryStore(self.clock, max_identities=self._policy.max_identities)
        return Limiter(self._policy, store=store, clock=self.clock, analyzer=self._analyzer)

    async def ask(
        self, account: str, request: Request, *, pool: str = "", end: bool = True
    ) -> Answer:
        """Send one call now.

        Args:
            account: Who sends it.
            request: What is sent.
            pool: Organisation of the account; by default its own.
            end: Whether it is answered at once; otherwise `end_all` ends it.
        """
        limiter = self._limiter
        route = limiter.route_for("POST", request.path)
        adapter = adapter_for(request.path, "POST", ()) if route is None else route.adapter
        if adapter is None:
            return Answer(False, Stage.NONE, MICRO, 0, 0)  # noqa: FBT003 - not refused
        call = read_call(adapter, Target(request.path), request.body)
        used = _usage(call, request.body)
        if route is None:  # no budget applies
            return Answer(False, Stage.NONE, MICRO, 0, used.input + used.output)  # noqa: FBT003 - the same
        caller = self._caller(account, pool)
        admission = await limiter.admit_call(caller, route, "POST", request.path, call)
        price = admission.decision.price if admission.decision else MICRO
        if admission.refusal is not None:
            return Answer(True, admission.stage, price, 0, 0)  # noqa: FBT003 - refused
        if admission.stage >= Stage.DEGRADE:
            used = Usage(used.input, output=min(used.output, _DEGRADED_OUTPUT))
        if end:
            await limiter.settle(admission, Outcome.ANSWERED, used, 200)
        else:
            self._open.append(_Opened(admission, used))
        tokens = used.input + used.output
        return Answer(False, admission.stage, price, admission.delay, tokens)  # noqa: FBT003 - the same

    async def end_all(self) -> None:
        """End every call that is open, as answered."""
        for one in self._open:
            await self._limiter.settle(one.admission, Outcome.ANSWERED, one.used, 200)
        self._open.clear()

    def _caller(self, account: str, pool: str) -> Caller:
        key = account, pool
        caller = self._callers.get(key)
        if caller is None:
            caller = self._callers[key] = self._limiter.caller_for(self._scope(account, pool))
        return caller

    def _scope(self, account: str, pool: str) -> Mapping[str, object]:
        return scope(f"{self._prefix}.{account}", pool=pool and f"{self._prefix}.{pool}")


def _usage(call: Call, body: bytes) -> Usage:
    prompt = -(-call.input_bytes // 4) + call.input_tokens
    return Usage(input=max(1, prompt), output=answer_length(body))


def answer_length(asked: bytes) -> int:
    """Return the tokens of an answer: log-normal with a median of 180, by a hash of what is asked.

    It is the same for every corpus.
    """
    drawn = (crc32(asked) + 0.5) / 2**32
    output = math.exp(math.log(180) + 0.8 * _NORMAL.inv_cdf(drawn))
    return round(min(max(output, 5), 2_000))
