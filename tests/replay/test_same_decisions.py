"""A log that the middleware has written is decided by a replay as it was decided then."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.coverage import CallerProfile, Group
from querybudget.coverage.fitted import TAIL_SHARES
from querybudget.events import DecisionEvent
from querybudget.ledger import Charge, Decision
from querybudget.limiter import Limiter
from querybudget.policy.load import load_text
from querybudget.policy.model import Policy
from querybudget.replay.ground import has_ground
from querybudget.replay.replaying import Replay
from querybudget.stores import MemoryStore
from querybudget.testing import (
    Decisions,
    FakeAnalyzer,
    FakeModel,
    ManualClock,
    Reply,
    drive,
    http_scope,
    memory_limiter,
    request,
)
from querybudget.traffic import TrafficRecord, record_of

POLICY = """\
version: 1
secret: 0123456789abcdef0123456789abcdef
identity: [user, api_key]
tiers: {member: {when: {source: user}, scale: {pace: 2}}}
partitions: {org: {claim: org}}
budgets:
  - {name: pace, limit: 4 requests/minute}
  - {name: steady, limit: 6 requests/minute, window: gcra, burst: 3, per: org}
  - {name: tokens, limit: 1500 tokens/hour, mode: shadow}
  - {name: output, limit: 300 output_tokens/day, match: {model: large}, window: calendar}
  - {name: spend, limit: 0.02 usd/hour}
  - {name: parallel, limit: 1 concurrent}
  - {name: together, limit: 20 requests/hour, per: everyone}
models: {"*": {input: 2, output: 10}}
"""

CALLS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "user c"]),
        st.sampled_from(["small", "large"]),
        st.integers(0, 40),  # seconds since the call before
        st.sampled_from([200, 200, 200, 404, 401, 500]),
        st.integers(1, 200),  # output tokens
        st.integers(1, 2_000),  # characters asked
        st.booleans(),  # whether a bound is asked for
    ),
    max_size=40,
)


def scope_of(caller: str) -> dict[str, Any]:
    state = {"claims": {"org": "acme"}} if caller != "a" else {}
    scope = http_scope(key=caller, state=state)
    if caller.startswith("user"):
        scope["user"] = caller
    return dict(scope)


async def log_of(policy: Policy, calls: list[Any]) -> list[DecisionEvent]:
    """Make calls of a fake model behind the middleware, and return their events."""
    clock, events, model = ManualClock(), Decisions(), FakeModel()
    limiter = memory_limiter(policy, clock=clock, hooks=[events])
    application = QueryBudgetMiddleware(model, limiter=limiter)
    for caller, name, pause, status, output, size, bounded in calls:
        clock.advance(pause, us=1)  # of calls of one moment, a log does not say which came first
        model.reply = Reply(usage=Usage(size // 4, 0, 0, output), status=status)
        body = {"model": name, "messages": [{"role": "user", "content": "x" * size}]}
        if bounded:
            body["max_tokens"] = output
        await drive(application, scope_of(caller), request(body))
    await limiter.aclose()
    return events.events


def decided(events: list[DecisionEvent]) -> list[Any]:
    return [(event.violated, event.shadowed) for event in events]


def replayed(
    policy: Policy, records: list[TrafficRecord], *, agrees: bool = True
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    found: list[Any] = []

    def watch(_record: TrafficRecord, admission: Any) -> None:
        found.append((admission.decision.violated, admission.decision.shadowed))

    result = Replay(records, [policy], watch=watch).run()
    assert not agrees or result.policy.differed == 0
    return found


def logged(event: DecisionEvent) -> TrafficRecord:
    """A record as it is read again."""
    return msgspec.json.decode(msgspec.json.encode(record_of(event)), type=TrafficRecord)


@settings(max_examples=25, deadline=None)
@given(CALLS)
def test_every_call_is_decided_as_it_was_budget_by_budget(calls: list[Any]) -> None:
    policy = load_text(POLICY)
    events = asyncio.run(log_of(policy, calls))
    assert replayed(policy, [logged(event) for event in events]) == decided(events)


def overlapping(starts: list[tuple[int, int]], policy: Policy) -> list[DecisionEvent]:
    """Admit calls at some seconds that last for some seconds, and return their events."""

    async def run() -> list[DecisionEvent]:
        clock, events = ManualClock(), Decisions()
        limiter = memory_limiter(policy, clock=clock, hooks=[events])
        begun = clock.now
        route = limiter.route_for("POST", "/v1/chat/completions")
        assert route is not None
        caller = limiter.caller_for(http_scope(key="a"))
        ends: list[tuple[int, int, Any]] = []
        for number, (start, lasts) in enumerate(sorted(starts)):
            await end_until(limiter, clock, ends, begun + start * 1_000_000)
            call = Call(Dialect.OPENAI, "chat", "m", input_bytes=40)
            admission = await limiter.admit_call(
                caller, route, "POST", "/v1/chat/completions", call
            )
            if admission.refusal is None:
                ends.append((begun + (start + lasts) * 1_000_000, number, admission))
        await end_until(limiter, clock, ends, begun + 10**12)
        await limiter.aclose()
        return events.events

    return asyncio.run(run())


async def end_until(limiter: Any, clock: ManualClock, ends: list[Any], until: int) -> None:
    for end in sorted(end for end in ends if end[0] <= until):
        ends.remove(end)
        clock.advance(us=max(0, end[0] - clock.now))
        await limiter.settle_call(end[2], "answered", Usage(10, 0, 0, 30), 200)
    if until < 10**18 and clock.now < until < clock.now + 10**11:
        clock.advance(us=until - clock.now)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.integers(0, 60), st.integers(0, 50), max_size=25))
def test_calls_that_overlap_are_decided_as_they_were(lasting: dict[int, int]) -> None:
    policy = load_text(
        "{version: 1, secret: 0123456789abcdef, budgets: [{name: parallel, limit: 3 concurrent},"
        " {name: tokens, limit: 2000 tokens/minute}]}"
    )
    events = overlapping([*lasting.items()], policy)
    # They were logged as they ended, and no two begin at one time.
    in_order = sorted(events, key=lambda event: event.at)
    assert replayed(policy, [logged(event) for event in events]) == decided(in_order)


@given(st.integers(2, 9))
def test_of_calls_of_one_time_as_many_are_refused_as_then(number: int) -> None:
    policy = load_text("{version: 1, budgets: [{name: parallel, limit: 2 concurrent}]}")
    events = overlapping([(1, 5)] * number, policy)
    found = replayed(policy, [logged(event) for event in events], agrees=False)
    assert sorted(found) == sorted(decided(events))


BUCKETS = """\
version: 1
secret: 0123456789abcdef0123456789abcdef
identity: [api_key]
partitions: {org: {claim: org}}
budgets:
  - name: breadth
    limit: 8 buckets/hour
    price: {free: 0.2, cap: 4}
    then: {slow: 0.5, degrade: 0.7, refuse: 0.9}
    delay: 0.000001s
    mode: enforce
  - {name: together, limit: 12 buckets/day, per: org, mode: enforce}
  - {name: watched, limit: 3 buckets/minute, mode: shadow}
  - name: shared
    limit: 6 buckets/day
    per: everyone
    suspects: {}
    then: {slow: 0.65, degrade: 0.85, refuse: 1}
    delay: 0.000001s
    mode: enforce
  - {name: sums, limit: 2 requests/minute, match: {capability: mathematics}}
  - {name: pace, limit: 30 requests/hour}
"""

GROUND = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 400),  # seconds since the call before
        st.integers(0, 12),  # what it is about
        st.integers(0, 900_000),  # what its caller's score is
    ),
    max_size=40,
)


TOUCHED = 600_000
"""Score from which on callers of `Suspicious` are touched."""


class Suspicious(MemoryStore):
    """Its callers have the score that a test wants, from their second call on.

    From a score of 0.6 on, the population test of all callers touches them.
    """

    score = 0

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.clock = clock

    async def reserve(self, charge: Charge) -> Decision:
        for line in charge.lines:
            account = self._find(line.partition)
            if account is not None and isinstance(account.profile, CallerProfile):
                account.profile.last_score = self.score
                account.profile.scored_at = account.profile.looked_at = self.clock()
                account.profile.tails = [len(TAIL_SHARES) * (self.score >= TOUCHED)]
            elif account is not None and line.partition == "everyone":
                account.profile = account.profile or Group()
                assert isinstance(account.profile, Group)
                account.profile.looks[: len(TAIL_SHARES) + 1] = [100, *[40] * len(TAIL_SHARES)]
        return await super().reserve(charge)


async def log_of_ground(policy: Policy, calls: list[Any]) -> list[DecisionEvent]:
    clock, events = ManualClock(), Decisions()
    store = Suspicious(clock)
    analyzer = FakeAnalyzer(
        {f"topic {topic}": range(topic, topic + 1 + topic % 3) for topic in range(0, 39, 3)},
        {"mathematics": ["topic 3"], "coding": ["topic 6"]},
    )
    limiter = Limiter(policy, store=store, clock=clock, analyzer=analyzer, hooks=[events])
    application = QueryBudgetMiddleware(FakeModel(), limiter=limiter)
    for caller, pause, topic, score in calls:
        clock.advance(pause)
        store.score = score
        body = {"model": "m", "messages": [{"role": "user", "content": f"topic {3 * topic}"}]}
        await drive(application, scope_of(caller), request(body))
    await limiter.aclose()
    return events.events


@settings(max_examples=25, deadline=None)
@given(GROUND)
def test_budgets_in_buckets_are_decided_as_they_were_from_a_log_without_texts(
    calls: list[Any],
) -> None:
    policy = load_text(BUCKETS)
    events = asyncio.run(log_of_ground(policy, calls))
    records = [logged(event) for event in events]
    assert not any(record.texts for record in records)
    if has_ground(records):
        assert replayed(policy, records) == decided(events)


def test_what_they_do_to_calls_is_what_was_done_then() -> None:
    policy = load_text(BUCKETS)
    calls = [("a", 30, n % 13, 100_000 * (n % 10)) for n in range(40)]
    events = asyncio.run(log_of_ground(policy, calls))
    found: list[Any] = []

    def watch(_record: TrafficRecord, admission: Any) -> None:
        one = admission.decision
        found.append((one.price, one.stage.name.lower(), one.shadow_stage.name.lower()))

    Replay([logged(event) for event in events], [policy], watch=watch).run()
    assert found == [(one.price, one.stage.value, one.shadow_stage.value) for one in events]
    assert {stage for _, stage, _ in found} == {"none", "slow", "degrade", "refuse"}
    assert any(event.touched for event in events)
    assert not all(event.touched for event in events)
