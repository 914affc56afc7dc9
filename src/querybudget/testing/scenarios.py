"""Runs the tests of a policy: its calls go through the middleware, on a clock that they move.

Nothing is random, nothing sleeps, and no network is used. A call that lasts is open until the
test's time has passed its end, so budgets of concurrent calls see it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import msgspec
from msgspec.structs import replace

from querybudget.adapters.base import Usage
from querybudget.asgi.middleware import QueryBudgetMiddleware
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.events import DecisionEvent
from querybudget.limiter import Limiter
from querybudget.policy.history import NEWCOMER
from querybudget.policy.model import Embedding, Mode, Policy
from querybudget.policy.scenario import Scenario, ScenarioCaller, ScenarioCalls
from querybudget.testing.asgi import drive, http_scope
from querybudget.testing.clock import ManualClock
from querybudget.testing.establishing import assume
from querybudget.testing.fake_model.reply import Reply
from querybudget.testing.fake_model.server import PATHS, FakeModel, ModelRequest
from querybudget.testing.limiter import memory_limiter
from querybudget.testing.own_loop import in_own_loop
from querybudget.testing.scenario_callers import unread
from querybudget.testing.scenario_checks import CallResult, ScenarioFailure, failures_of
from querybudget.testing.scenario_requests import NUMBER, body_of, scope_of, sent_by
from querybudget.testing.spending import spend
from querybudget.units import Micros

SECRET = b"the secret of tests of a policy"
"""Replaces a policy's: buckets depend on it, and a test has the same result with any."""

_DEFAULT = Usage(input=10, output=5)


class ScenarioResult(msgspec.Struct, frozen=True):
    """What came of a test of a policy.

    Attributes:
        scenario: The test.
        failures: What was not as expected; empty if the test passed.
        calls: What became of each call, in order.
    """

    scenario: Scenario
    failures: tuple[ScenarioFailure, ...]
    calls: tuple[CallResult, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.failures

    def __str__(self) -> str:
        if self.passed:
            return f"{self.scenario.name}: passed"
        return "\n".join(
            f"{self.scenario.name}, line {failure.line}: {failure}" for failure in self.failures
        )


def run_scenario(policy: Policy, scenario: Scenario) -> ScenarioResult:
    """Run a test of a policy.

    Prompts are embedded by the embedding in the package if the policy asks a server for vectors.

    It runs in an event loop of its own, in a thread, so a test on asyncio or trio may call it too.

    Args:
        policy: The policy, loaded. Its store is not used.
        scenario: One of ``policy.tests``.
    """
    return in_own_loop(_Stage(policy, scenario).play()).result()


@dataclass
class _Running:
    """A call that has begun."""

    calls: ScenarioCalls
    result: CallResult
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Any] | None = None


class _Stage:
    """One run of a test: its clock, its limiter, its server and its open calls."""

    def __init__(self, policy: Policy, scenario: Scenario) -> None:
        self.policy = _as_tested(policy, scenario)
        self.scenario = scenario
        self.clock = ManualClock(scenario.start) if scenario.start else ManualClock()
        self._began = self.clock.now
        self._running: list[_Running] = []
        self._ends: list[tuple[int, int]] = []
        self._model = FakeModel(self._reply)
        self.limiter: Limiter = memory_limiter(
            self.policy, clock=self.clock, hooks=[self._hear], sleep=_at_once
        )
        self._app = QueryBudgetMiddleware(self._serve, limiter=self.limiter)

    async def play(self) -> ScenarioResult:
        failures: list[ScenarioFailure] = []
        parts: list[tuple[ScenarioCalls, Sequence[_Running]]] = []
        try:
            await self.limiter.feed.refresh()  # functions that return overrides
            self._establish()
            for calls in self.scenario.calls:
                first = len(self._running)
                failures += await self._make(calls)
                parts.append((calls, self._running[first:]))
            await self._until(None)
        finally:
            await self.limiter.aclose()
        for calls, made in parts:
            failures += failures_of(calls, [each.result for each in made])
        made_calls = tuple(each.result for each in self._running)
        failures.sort(key=lambda failure: failure.line)
        return ScenarioResult(self.scenario, tuple(failures), made_calls)

    def _establish(self) -> None:
        """Let the store know callers as the test says."""
        for name, caller in self.scenario.callers.items():
            history = caller.history(self._began)
            if history is not NEWCOMER:
                scope = http_scope(**sent_by(self.policy, name, caller))
                assume(self.limiter, scope, history)

    async def _make(self, calls: ScenarioCalls) -> list[ScenarioFailure]:
        """Make some calls; return what could not be spent before."""
        caller = self.scenario.callers.get(calls.caller)
        sent = sent_by(self.policy, calls.caller, caller)
        at = self.clock.now if calls.at is None else self._began + calls.at
        await self._until(at)
        failures = self._unread(calls, caller, sent) if caller else []
        failures += [
            ScenarioFailure(calls.line, f"{amount} of {budget} to be spent", words)
            for budget, amount in calls.spent.items()
            if (words := self._spend(budget, amount, calls, sent))
        ]
        for index in range(calls.times):
            await self._until(at + index * calls.every)
            await self._begin(calls, index, sent)
        return failures

    def _unread(
        self, calls: ScenarioCalls, caller: ScenarioCaller, sent: dict[str, Any]
    ) -> list[ScenarioFailure]:
        """Return what is wrong with a caller whom the policy does not identify."""
        nobody = {**sent_by(self.policy, "", None), "client": sent["client"]}
        nobodys = scope_of(replace(calls, headers={}), 0, nobody)
        scopes = (scope_of(calls, 0, sent), nobodys)
        return unread(self.limiter, calls.line, calls.caller, caller, scopes)

    def _spend(self, budget: str, amount: str, calls: ScenarioCalls, sent: dict[str, Any]) -> str:
        """Use up a part of a budget; return why that cannot be."""
        scope: dict[str, Any] = {**sent, "headers": {**sent["headers"], **calls.headers}}
        path = calls.path.partition("?")[0]
        try:
            spend(self.limiter, amount, of=budget, model=calls.model, path=path, **scope)
        except (LookupError, ValueError) as error:
            return str(error).partition(", found ")[0].replace("expected", "room for")
        return ""

    async def _begin(self, calls: ScenarioCalls, index: int, sent: dict[str, Any]) -> None:
        number = len(self._running)
        result = CallResult(calls.caller, Micros(self.clock.now - self._began))
        running = _Running(calls, result)
        self._running.append(running)
        scope = scope_of(calls, number, sent)
        body = body_of(calls, index, self.policy.estimate.bytes_per_token)
        running.task = asyncio.create_task(self._drive(running, scope, body))
        if not calls.lasts:
            running.gate.set()
            await running.task
            return
        reached = asyncio.create_task(running.reached.wait())
        await asyncio.wait({running.task, reached}, return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        if not running.task.done():
            heappush(self._ends, (self.clock.now + calls.lasts, number))

    async def _drive(self, running: _Running, scope: Scope, body: list[Message]) -> None:
        driven = await drive(self._app, scope, body)
        if driven.error is not None:
            raise driven.error
        running.result.status = driven.status

    async def _until(self, time: int | None) -> None:
        """Move the clock to a time, or to the end of every call, and end calls on the way."""
        while self._ends and (time is None or self._ends[0][0] <= time):
            end, number = heappop(self._ends)
            self.clock.now = max(self.clock.now, end)
            running = self._running[number]
            running.gate.set()
            if running.task is not None:
                await running.task
        if time is not None:
            self.clock.now = max(self.clock.now, time)

    def _hear(self, event: DecisionEvent) -> None:
        self._running[int(event.sent_id)].result.event = event

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        number = next(value for name, value in scope["headers"] if name == NUMBER.encode())
        running = self._running[int(number)]
        running.result.reached = True
        running.reached.set()
        calls = running.calls
        if scope["path"] in PATHS and not calls.answer and calls.method == "POST":
            await self._model(scope, receive, send)
            return
        await running.gate.wait()
        await _answer(calls.fails or 200, calls.answer.encode() or b"{}", receive, send)

    def _reply(self, asked: ModelRequest) -> Reply:
        running = self._running[int(asked.headers[NUMBER])]
        calls = running.calls
        usage = Usage(
            input=_DEFAULT.input if calls.input is None else calls.input,
            output=_DEFAULT.output if calls.output is None else calls.output,
        )
        return Reply(usage=usage, status=calls.fails or 200, gate=running.gate)


def _as_tested(policy: Policy, scenario: Scenario) -> Policy:
    named = [each.who for each in policy.overrides]
    named += [who for tier in policy.tiers for who in tier.when.callers]
    if all(who.kind != "account" for who in named):  # whose keys are hashed with the policy's own
        policy = replace(policy, secret=SECRET)
    if scenario.mode:
        mode = Mode(scenario.mode)
        policy = replace(
            policy, budgets=tuple(replace(budget, mode=mode) for budget in policy.budgets)
        )
    return replace(policy, embedding=Embedding()) if policy.embedding.kind == "remote" else policy


async def _at_once(_: float) -> None:
    """Delay nothing: the test's own times count."""


async def _answer(status: int, body: bytes, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
