"""What callers see of their budgets shows no price, neither in one answer nor in several."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.limiter.figures import WithheldFigures
from querybudget.testing import Driven, FakeAnalyzer, FakeModel, drive, http_scope, request
from querybudget.units import MICRO, SECOND
from tests.asgi.conftest import Edge, MakeEdge

BREADTH = {
    "name": "breadth",
    "limit": "20 buckets/30 days",
    "mode": "enforce",
    "match": {"operation": ["chat", "messages"]},
}
RPM = {"name": "rpm", "limit": "40 requests/minute"}
TOKENS = {"name": "tokens", "limit": "1_000_000 tokens/hour"}
PARALLEL = {"name": "parallel", "limit": "5 concurrent"}
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


def covered(make_edge: MakeEdge, *budgets: dict[str, Any]) -> Edge:
    policy = {"budgets": [BREADTH, *budgets], "refusals": {"ietf": "draft-11"}}
    return make_edge(FakeModel(), policy, analyzer=FakeAnalyzer())


async def ask(edge: Edge, text: str, path: str = PATHS["openai"]) -> Driven:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    return await drive(edge.app, http_scope(path, key="a"), request(body))


async def embed(edge: Edge) -> Driven:
    """A call to which no budget of buckets applies."""
    body = {"model": "m", "input": "x"}
    return await drive(edge.app, http_scope("/v1/embeddings", key="a"), request(body))


def figures(driven: Driven) -> list[str]:
    return [f"{name}: {value}" for name, value in driven.headers.items() if "ratelimit" in name]


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", PATHS)
async def test_no_answer_has_figures_from_which_its_price_could_be_read(
    make_edge: MakeEdge, dialect: str
) -> None:
    edge = covered(make_edge, RPM, TOKENS)
    priced = 0
    for number in range(19):
        answer = await ask(edge, str(number), PATHS[dialect])
        price = edge.decisions.last.price
        assert bool(figures(answer)) == (price == MICRO), (number, price, figures(answer))
        priced += price != MICRO
    assert priced > 5


@pytest.mark.anyio
async def test_figures_come_back_when_nothing_counts_any_more_that_a_price_was_put_on(
    make_edge: MakeEdge,
) -> None:
    """Otherwise what is left then would show by how much it had fallen."""
    edge = covered(make_edge, RPM)
    for number in range(13):
        await ask(edge, str(number))
    assert edge.decisions.last.price > MICRO
    edge.clock.advance(59)
    other = await embed(edge)
    assert not figures(other), "a call without a price shows what those with one have left"
    edge.clock.advance(2)
    other = await embed(edge)
    assert "x-ratelimit-remaining-requests: 38" in figures(other), figures(other)


@pytest.mark.anyio
async def test_a_refusal_at_a_price_has_no_figures(make_edge: MakeEdge) -> None:
    edge = covered(make_edge, {**RPM, "limit": "30 requests/minute"})
    refused = Driven()
    for number in range(19):
        refused = await ask(edge, str(number))
        if refused.status == 429:
            break
    assert refused.status == 429
    assert edge.decisions.last.price > MICRO
    assert not figures(refused)
    message = refused.json["error"]["message"]
    assert "'rpm'" in message
    assert "requested" not in message
    assert "used" not in message
    assert int(refused.headers["retry-after"]) > 0


@pytest.mark.anyio
async def test_an_application_sees_only_what_its_caller_may(make_edge: MakeEdge) -> None:
    edge = covered(make_edge, RPM, PARALLEL)
    seen: list[dict[str, int]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["state"]["querybudget"].remaining))
        await FakeModel()(scope, receive, send)

    edge.app.app = app
    for number in range(14):
        await ask(edge, str(number))
    assert edge.decisions.last.price > MICRO
    assert seen[0] == {"rpm": 39 * MICRO, "parallel": 4 * MICRO}
    assert seen[-1] == {"parallel": 4 * MICRO}


@pytest.mark.anyio
async def test_a_price_in_shadow_withholds_nothing(make_edge: MakeEdge) -> None:
    policy = {"budgets": [{**BREADTH, "mode": "shadow"}, RPM]}
    edge = make_edge(FakeModel(), policy, analyzer=FakeAnalyzer())
    for number in range(19):
        assert figures(await ask(edge, str(number)))


@pytest.mark.anyio
async def test_the_number_of_callers_that_are_remembered_is_bounded(make_edge: MakeEdge) -> None:
    edge = covered(make_edge, RPM)
    withheld = edge.limiter.rules.withheld = WithheldFigures(2)
    for key in ("a", "b", "c"):
        for number in range(13):
            body = {"model": "m", "messages": [{"role": "user", "content": str(number)}]}
            await drive(edge.app, http_scope(key=key), request(body))
    assert len(withheld._until) == 2
    assert all(until <= edge.clock.now + 61 * SECOND for until in withheld._until.values())
