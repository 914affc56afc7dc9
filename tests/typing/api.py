"""How the public API is typed: read by mypy and pyright, never run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import assert_type

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.middleware import Middleware

from querybudget import (
    Admission,
    BlockingLimiter,
    Call,
    DecisionEvent,
    Dialect,
    Embedder,
    Limiter,
    MemoryStore,
    Outcome,
    Policy,
    PolicyError,
    PolicyProblem,
    PromptAnalyzer,
    QueryBudgetMiddleware,
    Refusal,
    RefusedError,
    Store,
    Usage,
    __version__,
    load_policy,
    open_store,
    request_scope,
)
from querybudget.coverage import BucketResponse, Chunk, Observation, Stage
from querybudget.embedding.analyzer import open_analyzer
from querybudget.events import DecidedBy, EventStage, EventVerdict, Settlement
from querybudget.ledger import Decision, Reservation, Verdict
from querybudget.limiter import AdmissionView
from querybudget.stores import Clock
from querybudget.testing import FakeAnalyzer
from querybudget.units import Micros, MicroUnits, Millionths


def middleware_is_what_starlette_takes(policy: Policy) -> None:
    app = Starlette(middleware=[Middleware(QueryBudgetMiddleware, policy=policy)])
    app.add_middleware(QueryBudgetMiddleware, policy="policy.yaml")
    app.add_middleware(QueryBudgetMiddleware)


def hooks_take_events(app: Starlette) -> None:
    def hook(event: DecisionEvent) -> None:
        assert_type(event.violated, tuple[str, ...])
        assert_type(event.usage, Usage | None)

    QueryBudgetMiddleware(app, hooks=[hook])


def mistakes_are_typed(error: PolicyError) -> None:
    assert_type(error.problems, tuple[PolicyProblem, ...])


def stores_are_a_protocol(clock: Clock) -> Store:
    return MemoryStore(clock, max_identities=1_000)


def a_store_can_be_opened_by_its_url(clock: Clock) -> None:
    assert_type(open_store("memory://", clock), Store)


async def a_limiter_can_be_used_without_http() -> None:
    policy = load_policy("policy.yaml")
    assert_type(policy, Policy)
    limiter = Limiter(policy)
    scope = request_scope("/v1/chat/completions", headers={"authorization": "Bearer a"})
    call = Call(Dialect.OPENAI, "chat", model="m", input_bytes=400)
    admission = await limiter.admit(scope, call)
    assert_type(admission, Admission)
    assert_type(admission.refusal, Refusal | None)
    assert_type(admission.decision, Decision | None)
    if admission.decision is not None:
        assert_type(admission.decision.verdict, Verdict)
        assert_type(admission.decision.reservation, Reservation | None)
    await limiter.settle(admission, Outcome.ANSWERED, Usage(input=100, output=20))


async def a_body_runs_only_if_it_is_admitted(policy: Policy) -> None:
    async with Limiter(policy) as limiter:
        try:
            async with limiter.admitted(request_scope("/x")) as admission:
                assert_type(admission, Admission)
                admission.used(Usage(input=1))
        except RefusedError as error:
            assert_type(error.admission, Admission)
            assert_type(error.wait, Micros)


def a_limiter_can_be_used_without_an_event_loop(policy: Policy) -> None:
    with BlockingLimiter(Limiter(policy)) as limiter:
        assert_type(limiter, BlockingLimiter)
        with limiter.admitted(request_scope("/x")) as admission:
            assert_type(admission, Admission)


def what_an_application_may_see_is_typed(view: AdmissionView) -> None:
    assert_type(view.price, Millionths)
    assert_type(view.remaining, dict[str, MicroUnits])
    view.used(Usage(output=1))


def a_clock_in_nanoseconds_is_an_error() -> None:
    MemoryStore(time.time_ns)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def times_amounts_and_prices_are_told_apart(
    event: DecisionEvent, decision: Decision, clock: Clock
) -> None:
    assert_type(clock(), Micros)
    assert_type((event.at, event.wait, event.duration), tuple[Micros, Micros, Micros])
    assert_type((event.price, event.strain), tuple[Millionths, Millionths])
    assert_type((decision.wait, decision.delay), tuple[Micros, Micros])
    assert_type((decision.price, decision.lines[0].wait), tuple[Millionths, Micros])


def the_words_of_an_event_are_enums(event: DecisionEvent) -> bool:
    assert_type(event.verdict, EventVerdict)
    assert_type(event.settlement, Settlement)
    assert_type(event.store, DecidedBy)
    assert_type(event.stage, EventStage)
    return event.verdict == "admit" and event.stage == "none"


class Mine:
    """A custom embedder."""

    name = "mine-1"
    dimensions = 3
    suspends = False

    async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        return np.zeros((len(texts), 3), np.float32)

    async def aclose(self) -> None: ...


def an_embedder_is_a_protocol() -> Embedder:
    return Mine()


class Looking:
    """A custom analyzer."""

    names = ("coding",)

    async def analyze(self, call: Call, caller: str, /) -> Observation:
        chunk = Chunk(digest=1, cell=len(call.segments) % 4096)
        return Observation(said=(chunk,), capabilities=1)

    async def aclose(self) -> None: ...


def an_analyzer_is_a_protocol(policy: Policy) -> PromptAnalyzer:
    Limiter(policy, analyzer=Looking())
    Limiter(policy, analyzer=FakeAnalyzer({"Hello": 3}))
    Limiter(policy, analyzer=open_analyzer(policy, b"key"))
    return Looking()


def what_follows_from_spent_buckets_is_typed(admission: Admission, event: DecisionEvent) -> None:
    assert_type(admission.stage, Stage)
    assert_type(admission.observation, Observation | None)
    assert_type(BucketResponse(stages=((Stage.SLOW, 700_000),)).price(0), Millionths)
    assert_type(event.capabilities, tuple[str, ...])
    assert_type(event.covered, bool)


def the_version_is_text() -> None:
    assert_type(__version__, str)
