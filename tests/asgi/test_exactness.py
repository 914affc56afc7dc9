from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from querybudget.adapters.base import Usage
from querybudget.testing import Driven, FakeModel, Reply, drive, http_scope, request
from querybudget.units import MICRO
from tests.asgi.conftest import MakeEdge

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
N = 20
ROOMY = [
    {"name": "tokens", "limit": "1_000_000 tokens/day"},
    {"name": "all", "limit": "1000 requests/hour", "per": "everyone"},
    {"name": "month", "limit": "1000 requests/month", "window": "calendar"},
]
TIGHT = {
    "sliding": {"name": "tight", "limit": f"{N} requests/minute"},
    "gcra": {"name": "tight", "limit": f"{N} requests/minute", "window": "gcra"},
    "calendar": {"name": "tight", "limit": f"{N} requests/day", "window": "calendar"},
    "lease": {"name": "tight", "limit": f"{N} concurrent"},
    "everyone": {"name": "tight", "limit": f"{N} requests/minute", "per": "everyone"},
}


async def together(app: Any, calls: int, body: Any) -> list[Driven]:
    """A number of calls at once, all admitted or refused before the first one is answered."""
    found: list[Driven] = []

    async def one() -> None:
        found.append(await drive(app, http_scope(key="a"), request(body)))

    async with anyio.create_task_group() as tasks:
        for _ in range(calls):
            tasks.start_soon(one)
    return found


class Opened:
    """A gate that opens once a number of calls wait at it or were refused."""

    def __init__(self, decided: Callable[[], int], needed: int) -> None:
        self.decided = decided
        self.needed = needed
        self.waiting = 0

    async def wait(self) -> None:
        self.waiting += 1
        while self.waiting + self.decided() < self.needed:
            await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("tight", TIGHT.values(), ids=TIGHT.keys())
async def test_of_2n_concurrent_calls_on_n_exactly_n_are_served(
    make_edge: MakeEdge, tight: dict[str, Any], suspends: bool
) -> None:
    model = FakeModel()
    edge = make_edge(model, {"budgets": [ROOMY[0], tight, *ROOMY[1:]]}, suspends=suspends)
    model.reply = Reply(gate=Opened(lambda: len(edge.decisions.refused), 2 * N))
    answers = await together(edge.app, 2 * N, CHAT)
    await edge.quiet()
    assert sorted(answer.status for answer in answers) == [200] * N + [429] * N
    assert len(model.requests) == N
    edge.decisions.assert_refused(N, by="tight")
    assert await edge.used("all") == N  # No budget is charged for a call that another refused.
    assert await edge.used("month") == N
    assert await edge.used("tokens") == 15 * N
    assert edge.held == 0


@pytest.mark.anyio
async def test_a_refused_call_fits_exactly_when_it_was_promised(make_edge: MakeEdge) -> None:
    for window in ("sliding", "gcra"):
        tight = {**TIGHT[window], "limit": "3 requests/minute"}
        edge = make_edge(FakeModel(), {"budgets": [tight, *ROOMY]})
        for _ in range(3):
            await drive(edge.app, http_scope(key="a"), request(CHAT))
        refused = await drive(edge.app, http_scope(key="a"), request(CHAT))
        assert refused.status == 429
        edge.clock.advance(us=edge.decisions.last.wait - 1)
        assert (await drive(edge.app, http_scope(key="a"), request(CHAT))).status == 429
        edge.clock.advance(us=1)
        assert (await drive(edge.app, http_scope(key="a"), request(CHAT))).status == 200


UNFORESEEN = Reply(usage=Usage(input=10, output=490))


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("window", ["sliding", "gcra"])
async def test_a_small_token_budget_serves_only_the_one_call_it_could_not_estimate(
    make_edge: MakeEdge, window: str, suspends: bool
) -> None:
    model = FakeModel()
    budget = {"name": "tokens", "limit": "100 tokens/minute", "window": window}
    edge = make_edge(model, {"budgets": [budget]}, suspends=suspends)
    gate = Opened(lambda: len(edge.decisions.refused), 30)
    model.reply = dataclasses.replace(UNFORESEEN, gate=gate)
    answers = await together(edge.app, 30, CHAT)
    await edge.quiet()
    assert sorted(answer.status for answer in answers) == [200] + [429] * 29
    assert await edge.used("tokens") == 500


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("window", "period", "served"),
    # In 30 periods that grant 100 each: 3000, and so 6 answers of 500, and the one in flight.
    [("gcra", "minute", 7), ("calendar", "day", 7), ("sliding", "minute", 7)],
)
async def test_usage_beyond_the_estimate_is_carried_as_debt(
    make_edge: MakeEdge, window: str, period: str, served: int
) -> None:
    model = FakeModel(UNFORESEEN)
    budget = {"name": "tokens", "limit": f"100 tokens/{period}", "window": window}
    edge = make_edge(model, {"budgets": [budget]})
    tenth = {"minute": 6, "day": 8640}[period]
    for _ in range(300):
        await drive(edge.app, http_scope(key="a"), request(CHAT))
        edge.clock.advance(tenth)
    assert 2 < len(edge.decisions.admitted) <= served


@pytest.mark.anyio
async def test_an_answer_limited_by_the_caller_is_reserved_at_its_limit(
    make_edge: MakeEdge,
) -> None:
    model = FakeModel(Reply(usage=Usage(input=2, output=8)))
    edge = make_edge(model, {"budgets": [{"name": "tokens", "limit": "100 tokens/minute"}]})
    never = await drive(edge.app, http_scope(key="a"), request({**CHAT, "max_tokens": 99}))
    assert never.status in {400, 429}
    assert edge.decisions.last.verdict == "never"
    fits = await drive(edge.app, http_scope(key="a"), request({**CHAT, "max_tokens": 98}))
    assert fits.status == 200
    assert await edge.used("tokens") == 10


@pytest.mark.anyio
async def test_a_batch_of_inputs_counts_as_many_requests(make_edge: MakeEdge) -> None:
    edge = make_edge(FakeModel(), {"budgets": [{"name": "rpm", "limit": "10 requests/minute"}]})
    batch = {"model": "e", "input": ["a"] * 7}
    driven = await drive(edge.app, http_scope("/v1/embeddings", key="a"), request(batch))
    assert driven.status == 200
    assert await edge.used("rpm") == 7
    driven = await drive(edge.app, http_scope("/v1/embeddings", key="a"), request(batch))
    assert driven.status == 429
    decision = edge.decisions.last.decision
    assert decision
    assert decision.lines[0].line.amount == 7 * MICRO


@pytest.mark.anyio
async def test_each_picture_that_is_asked_for_costs_the_fee_of_a_request(
    make_edge: MakeEdge,
) -> None:
    async def pictures(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"data": [{"url": "x"}]}'})

    models = {"pictures-*": {"input": 0, "output": 0, "request": 0.04}}
    budget = {"name": "spend", "limit": "$0.10/month"}
    edge = make_edge(pictures, {"models": models, "budgets": [budget]})
    statuses: list[int] = []
    for n in (1, 40, 1, 1):
        body = {"model": "pictures-1", "prompt": "a cat", "n": n}
        scope = http_scope("/v1/images/generations", key="a")
        statuses.append((await drive(edge.app, scope, request(body))).status)
    assert statuses == [200, 429, 200, 429]
    assert await edge.micro_used("spend") == 80_000
