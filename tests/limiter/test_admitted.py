"""`Limiter.admit` and `Limiter.admitted`: from a scope to a settlement, without HTTP."""

from __future__ import annotations

import asyncio
import json
import pickle
import secrets
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Call, Channel, Dialect, Segment, Usage
from querybudget.asgi.responder import refusal_of
from querybudget.coverage import Stage
from querybudget.errors import QueryBudgetError, RefusedError
from querybudget.limiter import (
    Admission,
    AdmissionView,
    Limiter,
    Outcome,
    Refusal,
    request_scope,
)
from querybudget.policy.model import Policy
from querybudget.stores import MemoryStore
from querybudget.testing import Decisions, FakeAnalyzer, ManualClock
from querybudget.units import MICRO
from tests.servers.redis import RedisServer
from tests.stores.scripted import Scripted, hurried, turns

CHAT = "/v1/chat/completions"
RPM = {"name": "rpm", "limit": "2/minute"}
TOKENS = {"name": "tokens", "limit": "1000 tokens/day"}
PARALLEL = {"name": "parallel", "limit": "1 concurrent"}


async def turn() -> None:
    """Let everything else run once."""
    await asyncio.sleep(0)


class Bench:
    """A limiter, and what it has charged."""

    def __init__(self, *budgets: dict[str, Any], suspends: bool = False, **settings: Any) -> None:
        self.clock, self.seen = ManualClock(), Decisions()
        self.policy = Policy.load({"identity": ["api_key"], "budgets": list(budgets), **settings})
        self.store = Scripted(self.clock, suspends=suspends)
        self.slept: list[float] = []
        self.pause: Callable[[], Awaitable[None]] = turn
        self.limiter = Limiter(
            self.policy,
            store=self.store,
            clock=self.clock,
            sleep=self.sleep,
            wait=hurried,
            hooks=[self.seen],
            analyzer=FakeAnalyzer() if self.policy.counts_buckets else None,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.pause()

    @property
    def accounts(self) -> dict[str, Any]:
        memory: MemoryStore = self.store.inner
        return {**memory._newcomers, **memory._known}

    @property
    def held(self) -> int:
        return sum(len(account.open) for account in self.accounts.values())

    async def used(self, name: str) -> int:
        """Whole units used of a budget."""
        quota = next(budget.quota for budget in self.policy.budgets if budget.name == name)
        used = 0
        for partition in self.accounts:
            ((remaining, _),) = await self.store.inner.peek(partition, (quota,))
            used += quota.capacity - remaining
        return used // MICRO

    async def quiet(self) -> None:
        while self.limiter.busy:
            await turns(1)


def scope(path: str = CHAT, key: str = "a", **more: Any) -> dict[str, Any]:
    return request_scope(path, headers={"Authorization": f"Bearer {key}"}, **more)


def chat(said: str = "", **values: Any) -> Call:
    values = {"segments": (Segment(Channel.SAID, said),) if said else (), **values}
    return Call(
        Dialect.OPENAI,
        "chat",
        model="m",
        input_bytes=40,
        max_output=50,
        **values,
    )


async def test_a_scope_is_enough_to_find_caller_and_route() -> None:
    bench = Bench({**RPM, "match": {"path": "/v1/*", "method": "POST"}})
    for expected in (None, None, Refusal.QUOTA):
        assert (await bench.limiter.admit(scope(), chat())).refusal is expected
    assert (await bench.limiter.admit(scope(key="b"), chat())).refusal is None
    admission = await bench.limiter.admit(scope(root_path="/api", path="/api/v1/x"), None)
    assert (admission.path, admission.method, admission.call.operation) == (
        "/v1/x",
        "POST",
        "other",
    )


async def test_a_websocket_scope_meets_the_budgets_of_websockets() -> None:
    bench = Bench({**RPM, "match": {"method": "WEBSOCKET"}})
    admission = await bench.limiter.admit({**scope("/ws"), "type": "websocket"})
    assert (admission.method, len(admission.plan.budgets)) == ("WEBSOCKET", 1)
    assert (await bench.limiter.admit(scope("/ws"))).plan.budgets == ()


async def test_a_scope_that_no_budget_applies_to_is_admitted_and_holds_nothing() -> None:
    bench = Bench({**RPM, "match": {"path": "/v1/*"}})
    admission = await bench.limiter.admit(scope("/other"), chat())
    assert (admission.refusal, admission.decision, admission.lines) == (None, None, ())
    async with bench.limiter.admitted(scope("/other")) as admission:
        admission.used(Usage(1, output=1))
    await bench.limiter.settle(admission, Outcome.ANSWERED)
    assert (bench.store.asked, len(bench.seen)) == ([], 0)


@pytest.mark.parametrize("suspends", [False, True], ids=["direct", "guarded"])
async def test_a_body_is_charged_what_it_reports(suspends: bool) -> None:
    bench = Bench(RPM, TOKENS, PARALLEL, suspends=suspends)
    async with bench.limiter.admitted(scope(), chat()) as admission:
        assert bench.held == 1
        admission.used(Usage(10, output=5))
        admission.used(Usage(2, output=1, estimated=True))
    await bench.quiet()
    assert (await bench.used("tokens"), await bench.used("rpm"), bench.held) == (18, 1, 0)
    assert bench.seen.last.usage == Usage(12, output=6, estimated=True)
    assert bench.seen.last.settlement == "done"


@pytest.mark.parametrize("figure", ["input", "cached_input", "cache_write", "output", "reasoning"])
async def test_a_negative_report_is_an_error_and_changes_nothing(figure: str) -> None:
    bench = Bench(TOKENS)
    async with bench.limiter.admitted(scope(), chat()) as admission:
        admission.used(Usage(10, output=5))
        for report in (admission.used, AdmissionView(admission).used):
            with pytest.raises(ValueError, match="usage cannot be negative"):
                report(msgspec.structs.replace(Usage(), **{figure: -1}))
    assert await bench.used("tokens") == 15


async def test_a_body_that_reports_nothing_is_charged_at_its_estimate() -> None:
    bench = Bench(TOKENS)
    async with bench.limiter.admitted(scope(), chat()) as admission:
        pass
    expected = admission.estimate.usage
    assert await bench.used("tokens") == expected.input + expected.output


async def test_what_a_body_reports_teaches_the_estimate_of_the_next_call() -> None:
    bench = Bench(TOKENS)
    for _ in range(3):
        async with bench.limiter.admitted(scope(), chat()) as admission:
            admission.used(Usage(10, output=4))
    assert (await bench.limiter.admit(scope(), chat())).estimate.usage.output < 50


@pytest.mark.parametrize("key", ["a", "b"], ids=["the same caller", "another caller"])
async def test_a_greeting_makes_nobodys_document_one_that_never_fits(key: str) -> None:
    """A report of 51 tokens for two bytes is about the template, not about the text."""
    bench = Bench({"name": "tokens", "limit": "10000 tokens/day"})
    greeting = Call(Dialect.OPENAI, "chat", model="m", input_bytes=2)
    async with bench.limiter.admitted(scope(key="a"), greeting) as admission:
        admission.used(Usage(51, output=9))
    document = Call(Dialect.OPENAI, "chat", model="m", input_bytes=27_000)
    admission = await bench.limiter.admit(scope(key=key), document)
    assert admission.refusal is None
    assert 6_750 <= admission.estimate.usage.input <= 6_801


REPORTS = pytest.mark.parametrize("usage", [None, Usage(3, output=4)], ids=["silent", "reported"])


@REPORTS
async def test_a_body_that_fails_is_charged_nothing_unless_it_has_reported(
    usage: Usage | None,
) -> None:
    bench = Bench(RPM, TOKENS)

    async def fail() -> None:
        async with bench.limiter.admitted(scope(), chat()) as admission:
            if usage is not None:
                admission.used(usage)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    charged = (await bench.used("rpm"), await bench.used("tokens"))
    assert (charged, bench.held) == ((1, 7) if usage else (0, 0), 0)


@REPORTS
async def test_a_body_that_is_cancelled_is_charged_its_input_or_what_it_reported(
    usage: Usage | None,
) -> None:
    bench, began = Bench(TOKENS), asyncio.Event()

    async def run() -> None:
        async with bench.limiter.admitted(scope(), chat()) as admission:
            if usage is not None:
                admission.used(usage)
            began.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(run())
    await began.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert bench.held == 0
    assert await bench.used("tokens") == (7 if usage else bench.seen.last.expected.input)


async def test_a_refused_call_raises_and_its_body_never_runs() -> None:
    bench = Bench({"name": "rpm", "limit": "1/minute"})
    async with bench.limiter.admitted(scope(), chat()):
        pass
    with pytest.raises(RefusedError, match="rpm") as caught:
        async with bench.limiter.admitted(scope(), chat()):
            raise AssertionError("reached")
    error = caught.value
    assert isinstance(error, QueryBudgetError)
    assert (error.admission.refusal, error.wait) == (Refusal.QUOTA, 60 * MICRO)
    assert "60" in str(error) or "1m" in str(error)
    bench.seen.assert_refused(1, by="rpm")


@pytest.mark.parametrize(
    ("settings", "refusal", "message", "wait"),
    [
        ({"models": {"x": {"input": 1, "output": 1}}}, Refusal.UNPRICED, "'m' has no price", 0),
        (
            {"models": {"*": {"input": 1, "output": 1}}},
            Refusal.STORE,
            "temporarily unavailable.*again in 5s",
            5 * MICRO,
        ),
    ],
)
async def test_a_refusal_of_no_budget_says_why(
    settings: dict[str, Any], refusal: Refusal, message: str, wait: int
) -> None:
    budget = {"name": "spend", "limit": "1 usd/day", "on_store_error": "deny"}
    bench = Bench(budget, **settings)
    bench.store.ever = "fails"
    with pytest.raises(RefusedError, match=message) as caught:
        async with bench.limiter.admitted(scope(), chat()):
            raise AssertionError("reached")
    assert (caught.value.admission.refusal, caught.value.wait) == (refusal, wait)


async def test_a_refusal_by_budgets_of_buckets_names_none_of_them() -> None:
    breadth = {"name": "secret-breadth", "limit": "2 buckets/day", "mode": "enforce"}
    bench = Bench(breadth)

    async def sweep() -> None:
        for number in range(5):
            async with bench.limiter.admitted(scope(), chat(f"question {number}")):
                pass

    with pytest.raises(RefusedError) as caught:
        await sweep()
    assert caught.value.admission.refusal is Refusal.ABNORMAL
    assert "breadth" not in str(caught.value)


async def refused(bench: Bench, **call: Any) -> RefusedError:
    """The error of the first call that is refused."""
    for number in range(20):
        try:
            async with bench.limiter.admitted(scope(), chat(**{"said": f"{number}", **call})):
                pass
        except RefusedError as error:
            return error
    raise AssertionError("no call was refused")


@pytest.mark.parametrize(
    "budget",
    [
        RPM,
        {**RPM, "per": "everyone"},
        {**RPM, "limit": "2/day"},
        {**TOKENS, "limit": "9 tokens/day"},
    ],
)
async def test_a_refusal_has_the_sentence_and_the_wait_of_its_http_answer(
    budget: dict[str, Any],
) -> None:
    bench = Bench(budget)
    error = await refused(bench)
    answer = refusal_of(bench.limiter, error.admission, Dialect.PROBLEM)
    headers = dict(answer.headers)
    assert json.loads(answer.body)["detail"] == str(error)
    seconds = -(-error.wait // MICRO)
    assert int(headers.get(b"retry-after", 0)) == seconds


async def test_a_refusal_does_not_reveal_how_long_a_budget_of_buckets_refuses() -> None:
    breadth = {
        "name": "breadth",
        "limit": "3 buckets/30 days",
        "mode": "enforce",
        "price": "none",
        "then": ["refuse"],
    }
    bench = Bench(breadth, {"name": "rpm", "limit": "3/minute"})
    error = await refused(bench)
    decision = error.admission.decision
    assert decision is not None
    assert set(decision.violated) == {"breadth", "rpm"}
    assert error.wait <= 60 * MICRO < decision.wait
    assert "breadth" not in str(error)


async def test_a_refusal_for_a_place_says_that_another_call_has_to_finish() -> None:
    bench = Bench(PARALLEL)
    async with bench.limiter.admitted(scope(), chat()):
        with pytest.raises(RefusedError, match="Wait for one of your requests to finish") as caught:
            async with bench.limiter.admitted(scope(), chat()):
                raise AssertionError("reached")
    assert caught.value.wait > 0


@pytest.mark.parametrize(
    "budget",
    [
        {**RPM, "limit": "2/day", "window": "calendar", "timezone": "Europe/Berlin"},
        {"name": "spend", "limit": "0.0001 usd/day"},
        {"name": "breadth", "limit": "2 buckets/day", "mode": "enforce"},
    ],
    ids=["requests", "money", "buckets"],
)
async def test_a_refusal_that_is_pickled_keeps_all_but_what_the_caller_sent(
    budget: dict[str, Any],
) -> None:
    error = await refused(Bench(budget, models={"*": {"input": 1, "output": 1}}), template="t")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled one line above
    assert isinstance(copy, RefusedError)
    assert (str(copy), copy.wait) == (str(error), error.wait)
    assert copy.admission.refusal is error.admission.refusal
    assert copy.admission.decision == error.admission.decision
    assert copy.admission.call.template == ""


STAGED = {
    "name": "breadth",
    "limit": "10 buckets/30 days",
    "mode": "enforce",
    "then": ["slow", "degrade", "refuse"],
}


async def test_a_call_that_is_to_be_slowed_is_delayed_before_its_body_runs() -> None:
    bench = Bench(STAGED)
    stages: list[Stage] = []
    for number in range(9):
        async with bench.limiter.admitted(scope(), chat(f"question {number}")) as admission:
            stages.append(admission.stage)
            assert len(bench.slept) == sum(stage >= Stage.SLOW for stage in stages)
    assert Stage.SLOW in stages
    assert all(seconds > 0 for seconds in bench.slept)


async def test_a_call_cancelled_while_it_is_delayed_gives_everything_back() -> None:
    bench = Bench(STAGED, TOKENS)
    for number in range(8):
        async with bench.limiter.admitted(scope(), chat(f"question {number}")):
            pass
    used, delayed = await bench.used("tokens"), asyncio.Event()

    async def pause() -> None:
        delayed.set()
        await asyncio.Event().wait()

    bench.pause = pause

    async def run() -> None:
        async with bench.limiter.admitted(scope(), chat("another")):
            raise AssertionError("reached")

    task = asyncio.ensure_future(run())
    await delayed.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert (bench.held, await bench.used("tokens")) == (0, used)


# -- exactly once


WORDS = st.sampled_from(["works", "works", "fails", "breaks", "late", "lost"])


async def cut(turn: int, words: Collection[str], *, suspends: bool) -> None:
    """Cancel a call in one turn of the loop, whatever the store does; nothing stays held."""
    bench = Bench(
        {**RPM, "limit": "9/minute", "on_store_error": "local"}, PARALLEL, suspends=suspends
    )
    if suspends:
        bench.store.script.extend(words)
    reached: list[Admission] = []

    async def run() -> None:
        async with bench.limiter.admitted(scope(), chat()) as admission:
            reached.append(admission)
            await turns(3)
            admission.used(Usage(1, output=1))
            await turns(3)

    task = asyncio.ensure_future(run())
    await turns(turn)
    task.cancel()
    await asyncio.wait((task,))
    bench.store.gate.set()
    bench.store.script.clear()
    await turns()
    bench.clock.advance(1)
    await bench.limiter.check()
    await bench.limiter.aclose()
    assert not bench.limiter.busy
    assert bench.held == 0
    assert len(bench.seen) == len(reached)
    assert await bench.used("rpm") == len([one for one in reached if one.settled])
    assert await bench.used("parallel") == 0


@given(st.integers(0, 40), st.lists(WORDS, max_size=3), st.booleans())
def test_a_call_cancelled_in_any_turn_is_settled_once_or_never_began(
    turn: int,
    words: list[str],
    suspends: bool,
) -> None:
    asyncio.run(cut(turn, words, suspends=suspends))


async def test_settling_inside_the_body_is_final() -> None:
    bench = Bench(TOKENS)
    async with bench.limiter.admitted(scope(), chat()) as admission:
        await bench.limiter.settle(admission, Outcome.ANSWERED, Usage(1, output=1))
        admission.used(Usage(100))
    assert (await bench.used("tokens"), len(bench.seen)) == (2, 1)


# -- figures that a program passes

FIGURES = [name for name in Usage.__struct_fields__ if name != "estimated"]
WRONG_USAGE: list[Any] = [
    *(msgspec.structs.replace(Usage(9, output=9), **{figure: -1}) for figure in FIGURES),
    *(msgspec.structs.replace(Usage(9, output=9), **{figure: None}) for figure in FIGURES),
    Usage(1.5),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Usage(cached_input=1),
    Usage(3, cached_input=2, cache_write=2),
    Usage(output=1, reasoning=2),
    Usage(5, cache_write=2, cache_write_1h=3),
    Usage(3, audio_input=2, image_input=2),
    Usage(output=3, audio_output=2, image_output=2),
    Usage(searches=10**30),
    Usage(10**30),
    12,
    {"input": 1},
    None,
]
WRONG_CALLS: list[dict[str, Any]] = [
    {name: wrong}
    for name in ("max_output", "items", "choices", "input_bytes", "input_tokens", "images")
    for wrong in (-1, 10**30, 1.5, "1")
] + [
    {"items": 0},
    {"choices": 0},
    {"input_bytes": None},
    {"logprobs": -1},
    {"prompt_logprobs": -1},
    {"model": None},
    {"model": "\ud800"},
    {"segments": ("a",)},
    {"segments": (Segment(Channel.SAID, "\udfff"),)},
    {"segments": [Segment(Channel.SAID, "a list")]},
]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/accounts.db"
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    return "memory://"


async def left(limiter: Limiter, admission: Admission) -> list[int]:
    """Whole units left of each budget that an admission was charged to."""
    quotas = [line.quota for line in admission.lines]
    left = await limiter.store.peek(admission.lines[0].partition, quotas)
    return [remaining // MICRO for remaining, _ in left]


def sound(limiter: Limiter) -> bool:
    health = limiter.health()
    return (health.status, health.failures, health.outbox) == ("ok", 0, 0)


async def settled(limiter: Limiter) -> None:
    while limiter.busy:
        await turn()


def limiter_at(url: str, seen: Decisions | None = None) -> Limiter:
    policy = {
        "secret": secrets.token_hex(16),
        "identity": ["api_key"],
        "store": {"url": url, "prefix": secrets.token_hex(4), "timeout": "60s"},
        "budgets": [TOKENS, {"name": "parallel", "limit": "2 concurrent"}],
    }
    return Limiter(Policy.load(policy), hooks=[seen] if seen is not None else [])


async def test_no_reported_figure_refunds_another_call_or_harms_the_store(store_url: str) -> None:
    async with limiter_at(store_url) as limiter:
        async with limiter.admitted(scope(), chat()) as admission:
            admission.used(Usage(100, output=100))
            for wrong in WRONG_USAGE:
                for report in (admission.used, AdmissionView(admission).used):
                    with pytest.raises((TypeError, ValueError)):
                        report(wrong)
        await settled(limiter)
        assert await left(limiter, admission) == [800, 2]
        assert sound(limiter)


async def test_a_settlement_with_a_wrong_figure_charges_the_estimate_and_says_so(
    store_url: str,
) -> None:
    async with limiter_at(store_url) as limiter:
        for number, wrong in enumerate(WRONG_USAGE[:-1]):
            admission = await limiter.admit(scope(key=f"k{number}"), chat())
            with pytest.raises((TypeError, ValueError)):
                await limiter.settle(admission, Outcome.ANSWERED, wrong)
            await settled(limiter)
            expected = admission.estimate.usage
            assert await left(limiter, admission) == [1000 - expected.input - expected.output, 2]
        assert sound(limiter)


async def test_no_figure_of_a_call_grants_budget_or_harms_the_store(store_url: str) -> None:
    async with limiter_at(store_url) as limiter:
        for wrong in WRONG_CALLS:
            call = msgspec.structs.replace(chat(), **wrong)
            with pytest.raises((TypeError, ValueError)):
                await limiter.admit(scope(), call)
            with pytest.raises((TypeError, ValueError)):
                async with limiter.admitted(scope(), call):
                    raise AssertionError("reached")
        admission = await limiter.admit(scope(), chat())
        expected = admission.estimate.usage
        assert await left(limiter, admission) == [1000 - expected.input - expected.output, 1]
        await limiter.settle(admission, Outcome.FAILED)
        await settled(limiter)
        assert sound(limiter)


async def test_what_is_no_call_is_rejected() -> None:
    bench = Bench(RPM)
    wrong: Any = {"model": "m"}
    with pytest.raises(TypeError, match="must be of type Call, found dict"):
        await bench.limiter.admit(scope(), wrong)


async def test_reports_that_are_too_large_together_are_rejected() -> None:
    bench = Bench(TOKENS)
    async with bench.limiter.admitted(scope(), chat()) as admission:
        admission.used(Usage(2**41))
        admission.used(Usage(2**41))
        with pytest.raises(ValueError, match="at most"):
            admission.used(Usage(1))
    assert bench.seen.last.usage == Usage(2**42)


async def test_an_outcome_may_be_given_by_its_word_and_no_other_word_passes() -> None:
    bench = Bench(TOKENS)
    admission = await bench.limiter.admit(scope(), chat())
    wrong: Any = "ok"
    with pytest.raises(ValueError, match="'ok' is not a valid Outcome"):
        await bench.limiter.settle(admission, wrong, Usage(1, output=2))
    word: Any = "answered"
    await bench.limiter.settle(admission, word, Usage(1, output=2))
    assert (await bench.used("tokens"), bench.seen.last.usage) == (3, Usage(1, output=2))


async def test_settling_a_refused_call_publishes_no_second_event() -> None:
    bench = Bench({"name": "rpm", "limit": "1/minute"})
    await bench.limiter.admit(scope(), chat())
    refused = await bench.limiter.admit(scope(), chat())
    assert (refused.refusal, refused.settled) == (Refusal.QUOTA, True)
    await bench.limiter.settle(refused, Outcome.ANSWERED, Usage(1))
    assert len(bench.seen) == 1


# -- what an application may see


async def test_a_view_shows_price_stage_and_what_is_left_of_the_callers_own_budgets() -> None:
    bench = Bench(
        {"name": "own", "limit": "9/minute"},
        {"name": "all", "limit": "9/minute", "per": "everyone"},
        {"name": "watched", "limit": "9/minute", "mode": "shadow"},
        {"name": "breadth", "limit": "9 buckets/day", "mode": "enforce"},
    )
    async with bench.limiter.admitted(scope(), chat("hello")) as admission:
        view = AdmissionView(admission)
        assert view.remaining == {"own": 8 * MICRO}
        assert (view.price, view.stage) == (MICRO, Stage.NONE)
        view.used(Usage(7))
    assert bench.seen.last.usage == Usage(7)


async def test_a_view_of_a_call_that_nothing_decided_shows_nothing() -> None:
    bench = Bench({**RPM, "match": {"path": "/v1/*"}})
    view = AdmissionView(await bench.limiter.admit(scope("/other")))
    assert (view.price, view.stage, view.remaining) == (MICRO, Stage.NONE, {})


async def test_usage_that_is_reported_adds_to_what_was_read_from_the_answer() -> None:
    bench = Bench(TOKENS)
    admission = await bench.limiter.admit(scope(), chat())
    admission.used(Usage(100))
    await bench.limiter.settle(admission, Outcome.ANSWERED, Usage(10, output=5), 200)
    assert await bench.used("tokens") == 115


async def test_a_limiter_is_started_and_closed_by_a_with_statement() -> None:
    policy = Policy.load({"budgets": [RPM]})
    async with Limiter(policy) as limiter, limiter.admitted(scope()) as admission:
        assert admission.refusal is None
    assert not limiter.busy
