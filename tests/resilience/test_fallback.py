"""What calls come to while the store is down, and what the store receives when it is up again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Call, Channel, Dialect, Segment, Usage
from querybudget.backends import STORE_RETRY
from querybudget.ledger import Charge, Line, Verdict
from querybudget.limiter import Admission, Limiter, Outcome, Refusal
from querybudget.policy.model import Policy
from querybudget.resilience.fallback import share
from querybudget.resilience.guard import FAILURES
from querybudget.stores import MemoryStore
from querybudget.testing import Decisions, FakeAnalyzer, ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit
from tests.stores.scripted import Scripted, hurried, turns

CHAT = "/v1/chat/completions"
RPM = {"name": "rpm", "limit": "12/minute", "on_store_error": "local"}


class Worker:
    """One of several processes before the same accounts, on a network of its own."""

    def __init__(
        self,
        *budgets: dict[str, Any],
        workers: int = 3,
        memory: MemoryStore | None = None,
        clock: ManualClock | None = None,
        suspends: bool = True,
        **settings: Any,
    ) -> None:
        self.clock = clock or ManualClock()
        rules = {
            "secret": "0123456789abcdef",
            "identity": ["api_key"],
            "store": {"url": "memory://", "workers": workers},
            "budgets": list(budgets),
            **settings,
        }
        self.policy = Policy.load(rules)
        self.store = Scripted(self.clock, suspends=suspends)
        if memory is not None:
            self.store.inner = memory
        self.seen = Decisions()
        self.limiter = Limiter(
            self.policy,
            store=self.store,
            clock=self.clock,
            hooks=[self.seen],
            wait=hurried,
            analyzer=FakeAnalyzer() if self.policy.counts_buckets else None,
        )
        self.resilient = self.limiter._resilient

    async def admit(self, key: str = "a", said: str = "", **asked: Any) -> Admission:
        segments = (Segment(Channel.SAID, said),) if said else ()
        call = Call(Dialect.OPENAI, "chat", model="m", input_bytes=40, segments=segments, **asked)
        route = self.limiter.route_for("POST", CHAT)
        assert route is not None
        headers = [(b"authorization", f"Bearer {key}".encode())]
        caller = self.limiter.caller_for({"type": "http", "headers": headers})
        return await self.limiter.admit_call(caller, route, "POST", CHAT, call)

    async def ask(
        self,
        key: str = "a",
        usage: Usage | None = None,
        outcome: Outcome = Outcome.ANSWERED,
        **asked: Any,
    ) -> Admission:
        """A whole call: admitted, and settled where it was."""
        admission = await self.admit(key, **asked)
        if admission.refusal is None:
            await self.limiter.settle(admission, outcome, usage or Usage(1, output=2), 200)
        return admission

    async def used(self, budget: str = "rpm", key: str = "a") -> int:
        """Whole units that the shared store has charged."""
        quota = next(b.quota for b in self.policy.budgets if b.name == budget)
        partition = self.limiter.caller_for(
            {"type": "http", "headers": [(b"authorization", f"Bearer {key}".encode())]}
        ).identity.key
        ((remaining, _),) = await self.store.inner.peek(partition, (quota,))
        return (quota.capacity - remaining) // MICRO

    async def recover(self) -> None:
        """Let the store be well, and the limiter notice."""
        self.store.script.clear()
        self.store.ever = "works"
        self.store.gate.set()
        self.clock.advance(1)
        await self.limiter.check()
        await self.quiet()

    async def quiet(self) -> None:
        for _ in range(1_000):
            if not self.limiter.busy:
                return
            await turns(1)
        raise AssertionError("still busy after 1000 turns")


# -- the store comes back


async def test_a_server_without_further_calls_sends_what_the_store_has_missed() -> None:
    worker = Worker(RPM)
    rests = asyncio.Queue[float]()
    rested = asyncio.Semaphore(0)

    async def sleep(seconds: float) -> None:
        rests.put_nowait(seconds)
        await rested.acquire()

    worker.resilient._sleep = sleep
    admission = await worker.admit()
    worker.store.ever = "fails"
    await worker.limiter.settle(admission, Outcome.FAILED)
    await worker.quiet()
    for still in (True, True, False):
        await rests.get()
        assert worker.limiter.health().outbox == 1
        worker.store.ever = "fails" if still else "works"
        worker.clock.advance(1)
        rested.release()
    while worker.resilient._watching is not None:
        await turns(1)
    await worker.quiet()
    assert worker.limiter.health().outbox == 0
    assert await worker.used() == 0
    assert rests.empty()


# -- shares


@pytest.mark.parametrize(
    ("unit", "limit", "workers", "part"),
    [
        (Unit.REQUESTS, 30 * MICRO, 3, 10 * MICRO),
        (Unit.REQUESTS, 31 * MICRO, 3, 10 * MICRO),
        (Unit.CONCURRENT, 2 * MICRO, 3, MICRO),
        (Unit.BUCKETS, 5 * MICRO, 2, 2 * MICRO),
        (Unit.TOKENS, 10 * MICRO, 4, 2_500_000),
        (Unit.USD, 2, 3, 1),
    ],
)
def test_a_share_is_a_part_of_the_limit_and_at_least_one_call(
    unit: Unit, limit: int, workers: int, part: int
) -> None:
    found = share(Quota("q", unit, limit, 60 * SECOND, Algorithm.GCRA, limit), workers)
    assert (found.limit, found.burst, found.window) == (part, part, 60 * SECOND)


async def test_a_worker_grants_its_share_while_the_store_is_down() -> None:
    worker = Worker(RPM)
    worker.store.ever = "fails"
    refusals = [(await worker.ask()).refusal for _ in range(6)]
    assert refusals == [None] * 4 + [Refusal.QUOTA] * 2
    assert worker.limiter.health().local == 6
    assert [event.store for event in worker.seen.events] == ["local"] * 6
    assert [event.settlement for event in worker.seen.admitted] == ["done"] * 4
    assert worker.seen.last.wait == 60 * SECOND


async def test_a_store_that_fails_now_and_then_does_not_grant_a_fresh_share() -> None:
    worker = Worker({**RPM, "limit": "60/minute"}, workers=20)
    for _ in range(4):
        worker.store.ever = "fails"
        for _ in range(FAILURES):
            await worker.ask()
        await worker.recover()
    local = [event for event in worker.seen.admitted if event.store == "local"]
    assert len(local) == 3


async def test_a_call_that_exceeds_only_the_share_has_to_wait_and_is_not_refused_for_good() -> None:
    budget = {"name": "tokens", "limit": "90 tokens/minute", "on_store_error": "local"}
    worker = Worker(budget)
    worker.store.ever = "fails"
    admission = await worker.ask(max_output=40)
    assert admission.decision is not None
    assert (admission.decision.verdict, admission.decision.wait) == (Verdict.WAIT, STORE_RETRY)
    assert (await worker.ask(max_output=400)).decision.verdict is Verdict.NEVER  # type: ignore[union-attr] # as above


async def test_only_the_lines_that_say_local_are_decided_locally() -> None:
    worker = Worker(
        {"name": "free", "limit": "1/minute"},
        RPM,
        {"name": "parallel", "limit": "3 concurrent", "on_store_error": "local"},
        {**RPM, "name": "watched", "limit": "3/minute", "mode": "shadow"},
    )
    worker.store.ever = "fails"
    first = await worker.admit()
    assert first.decision is not None
    names = [status.line.quota.name for status in first.decision.lines]
    assert names == ["rpm", "parallel", "watched"]
    second = await worker.admit()
    assert second.decision is not None
    assert second.decision.violated == ("parallel",)
    await worker.limiter.settle(first, Outcome.ANSWERED)
    third = await worker.admit()
    assert third.decision is not None
    assert (third.refusal, third.decision.shadowed) == (None, ("watched",))


async def test_a_lease_of_an_outage_is_free_when_its_call_ends_after_it() -> None:
    worker = Worker({"name": "parallel", "limit": "3 concurrent", "on_store_error": "local"})
    worker.store.ever = "fails"
    admission = await worker.admit()
    await worker.recover()
    await worker.limiter.settle(admission, Outcome.ANSWERED)
    await worker.quiet()
    assert worker.limiter.health().outbox == 0
    worker.store.ever = "fails"
    assert (await worker.ask()).refusal is None


async def test_a_call_with_buckets_has_an_event_whichever_lines_were_decided() -> None:
    breadth = {"name": "breadth", "limit": "9 buckets/day", "mode": "enforce"}
    worker = Worker(RPM, {**breadth, "on_store_error": "allow"})
    worker.store.ever = "fails"
    await worker.ask(said="one")
    assert (worker.seen.last.store, worker.seen.last.novelty) == ("local", 0)
    worker = Worker({**RPM, "limit": "300/minute"}, {**breadth, "on_store_error": "local"})
    worker.store.ever = "fails"
    refusals = [(await worker.ask(said=f"word {n}")).refusal for n in range(4)]
    assert refusals == [None, None, None, Refusal.ABNORMAL]
    assert worker.seen.admitted[0].novelty == 1


# -- what the store receives


async def test_what_was_used_in_an_outage_is_charged_when_it_is_over() -> None:
    tokens = {"name": "tokens", "limit": "9000 tokens/day", "on_store_error": "local"}
    worker = Worker(RPM, tokens, {"name": "free", "limit": "9/minute"})
    worker.store.ever = "fails"
    for used in (10, 20, 40):
        await worker.ask(usage=Usage(used, output=1), max_output=10)
    await worker.ask(outcome=Outcome.REJECTED, max_output=10)
    assert worker.limiter.health().outbox == 4
    await worker.recover()
    assert worker.limiter.health().outbox == 0
    assert [await worker.used(name) for name in ("rpm", "tokens", "free")] == [4, 73, 0]


async def test_what_failed_is_charged_nowhere() -> None:
    worker = Worker(RPM)
    worker.store.ever = "fails"
    await worker.ask(outcome=Outcome.FAILED)
    assert worker.limiter.health().outbox == 0
    await worker.recover()
    assert await worker.used() == 0


async def test_what_does_not_fit_any_more_is_carried_as_debt() -> None:
    worker = Worker({**RPM, "limit": "6/minute"}, workers=1)
    for _ in range(5):
        await worker.ask()
    await worker.quiet()
    worker.store.ever = "fails"
    for _ in range(6):
        await worker.ask()
    await worker.recover()
    assert await worker.used() == 11
    assert (await worker.ask()).refusal is Refusal.QUOTA


async def test_only_lines_in_debt_are_not_charged_and_they_are_counted() -> None:
    worker = Worker(RPM, {**RPM, "name": "day", "limit": "300/day"})
    worker.store.ever = "fails"
    await worker.ask()
    rpm = worker.policy.budgets[0].quota
    admission = worker.seen.last.decision
    assert admission is not None
    line = Line(admission.lines[0].line.partition, rpm, 0, 0)
    other = await worker.store.inner.reserve(Charge("other", (line,), 60 * SECOND))
    assert other.reservation is not None
    await worker.store.inner.settle(other.reservation, [13 * MICRO])
    await worker.recover()
    assert [await worker.used("rpm"), await worker.used("day")] == [13, 1]
    assert worker.limiter.health().refused == 1


async def test_what_was_used_in_a_window_that_is_over_is_not_charged_to_the_next() -> None:
    worker = Worker(
        RPM,
        {**RPM, "name": "hour", "limit": "300/hour"},
        {**RPM, "name": "calendar", "limit": "300/day", "window": "calendar"},
    )
    worker.store.ever = "fails"
    worker.clock.advance(86_390)  # ten seconds before midnight
    await worker.ask()
    worker.clock.advance(65)
    await worker.recover()
    used = [await worker.used(name) for name in ("rpm", "hour", "calendar")]
    assert used == [0, 1, 0]


async def test_buckets_of_an_outage_are_visited_when_it_is_over() -> None:
    breadth = {"name": "breadth", "limit": "300 buckets/day", "mode": "enforce"}
    worker = Worker(RPM, {**breadth, "on_store_error": "local"})
    worker.store.ever = "fails"
    for words in ("one", "two", "one"):
        await worker.ask(said=words)
    await worker.recover()
    assert [await worker.used("rpm"), await worker.used("breadth")] == [3, 2]
    tables = (worker.store.inner._known, worker.store.inner._newcomers)
    (account,) = [a for table in tables for a in table.values()]
    assert account.profile is not None  # It was there when the calls were looked at.


async def test_a_call_that_ends_after_the_outage_is_charged_at_its_end() -> None:
    worker = Worker(RPM)
    worker.store.ever = "fails"
    admission = await worker.admit()
    await worker.recover()
    await worker.limiter.settle(admission, Outcome.ANSWERED, Usage(), 200)
    await worker.quiet()
    assert await worker.used() == 1


async def test_calls_that_end_in_any_turn_of_a_flush_are_sent_too() -> None:
    for turn in range(40):
        worker = Worker(RPM)
        worker.store.ever = "fails"
        first, second = await worker.admit(), await worker.admit()
        await worker.limiter.settle(first, Outcome.ANSWERED, Usage(), 200)
        worker.store.ever = "works"
        worker.clock.advance(1)
        checking = asyncio.ensure_future(worker.limiter.check())
        await turns(turn)
        await worker.limiter.settle(second, Outcome.ANSWERED, Usage(), 200)
        await checking
        await worker.quiet()
        assert await worker.used() == 2


async def test_use_that_a_shadow_budget_did_not_charge_is_not_sent() -> None:
    worker = Worker(RPM, {**RPM, "name": "watched", "limit": "3/minute", "mode": "shadow"})
    worker.store.ever = "fails"
    for _ in range(2):
        await worker.ask()
    await worker.recover()
    assert [await worker.used("rpm"), await worker.used("watched")] == [2, 1]


async def test_a_store_that_never_waits_has_a_guard_only_while_it_fails() -> None:
    worker = Worker(RPM, suspends=False)
    guarded = [worker.resilient.guarded]
    for word in ("breaks", "works"):
        worker.store.ever = word
        await worker.ask()
        await worker.quiet()
        guarded.append(worker.resilient.guarded)
    assert guarded == [False, True, False]
    assert await worker.used() == 2


async def test_a_late_reserve_and_its_local_stand_in_are_charged_once() -> None:
    worker = Worker(RPM)
    worker.store.ever = "late"
    await worker.ask()
    assert await worker.used() == 1  # by what is late
    worker.store.ever = "works"
    worker.store.gate.set()
    await worker.quiet()
    await worker.ask()
    await worker.quiet()
    assert await worker.used() == 2


@pytest.mark.parametrize("word", ["lost", "gone", "late", "fails", "hangs", "nonsense"])
@pytest.mark.parametrize("before", range(4))
async def test_nothing_is_charged_twice_wherever_a_flush_breaks_off(word: str, before: int) -> None:
    worker = Worker(RPM)
    worker.store.ever = "fails"
    for _ in range(2):
        await worker.ask()
    worker.store.ever = "works"
    worker.store.script.extend(["works"] * (1 + before) + [word])
    await worker.ask("b")
    await turns()
    for _ in range(3):
        await worker.recover()
        await worker.ask("b")
        await worker.quiet()
    assert worker.limiter.health().outbox == 0
    assert await worker.used() == 2


# -- the end


async def test_closing_flushes_the_outbox_once_more_and_drops_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for word, left in (("works", 0), ("fails", 3), ("hangs", 3), ("breaks", 3)):
        worker = Worker(RPM)
        worker.store.ever = "fails"
        for _ in range(3):
            await worker.ask()
        worker.store.ever = word
        caplog.clear()
        await worker.limiter.aclose()
        assert not worker.limiter.busy
        assert len(worker.resilient._outbox) == left
        assert ("did not receive 3 calls" in caplog.text) is bool(left)
        assert await worker.used() == 3 - left


# -- for any pattern of failures

WORDS = st.sampled_from(["works", "works", "fails", "breaks", "hangs", "late", "lost", "nonsense"])
PATTERNS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.lists(WORDS, max_size=4)), max_size=25
)


async def play(pattern: Sequence[tuple[int, str, Sequence[str]]], workers: int) -> None:
    """Calls to several workers, each on a network that fails as the pattern says."""
    clock = ManualClock()
    memory = MemoryStore(clock)
    all_of_them = [Worker(RPM, workers=workers, memory=memory, clock=clock) for _ in range(workers)]
    for at, key, words in pattern:
        worker = all_of_them[at % workers]
        worker.store.script.extend(words)
        clock.advance(1)
        await worker.ask(key)
        await turns(5)
    # Each window of the outage is one of the budget's: the pattern is shorter.
    for worker in all_of_them:
        for key in "ab":
            assert len(admitted(worker, key, "local")) <= 12 // workers
    for _ in range(2):
        for worker in all_of_them:
            await worker.recover()
            await worker.ask("c")
            await worker.quiet()
    healths = [worker.limiter.health() for worker in all_of_them]
    assert [(health.outbox, health.dropped) for health in healths] == [(0, 0)] * workers
    used = sum([await all_of_them[0].used(key=key) for key in "ab"])
    calls = [admitted(worker, key) for worker in all_of_them for key in "ab"]
    assert used == sum(map(len, calls)) - sum(health.refused for health in healths)


def admitted(worker: Worker, key: str, store: str = "") -> list[object]:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    identity = worker.limiter.caller_for({"type": "http", "headers": headers}).identity
    events = [event for event in worker.seen.admitted if event.identity == identity]
    return [event for event in events if store in {"", event.store}]


@given(PATTERNS, st.integers(1, 3))
def test_for_any_failures_a_worker_grants_its_share_and_the_store_charges_each_call_once(
    pattern: list[tuple[int, str, list[str]]], workers: int
) -> None:
    asyncio.run(play(pattern, workers))
