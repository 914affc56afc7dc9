"""A whole sweep in one call, at the edge: it is not free because it is the first."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.testing import Driven, FakeModel, drive, http_scope, request, sweep
from tests.asgi.conftest import Edge, MakeEdge

BREADTH = {"name": "breadth", "limit": "1000 buckets/30 days", "mode": "enforce"}
TASKS = sweep(64)
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


def covered(make_edge: MakeEdge, model: FakeModel, *budgets: dict[str, Any]) -> Edge:
    """Return an edge that reads prompts with the shipped embedding, always by the same key."""
    return make_edge(model, {"secret": "0123456789abcdef", "budgets": list(budgets)})


async def ask(edge: Edge, *tasks: str, dialect: str = "openai") -> Driven:
    text = "\n\n".join(f"{number}. {task}" for number, task in enumerate(tasks, 1))
    body = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": text}]}
    return await drive(edge.app, http_scope(PATHS[dialect], key="a"), request(body))


@pytest.mark.anyio
async def test_the_first_call_is_slowed_if_it_packs_a_sweep(make_edge: MakeEdge) -> None:
    edge = covered(make_edge, FakeModel(), {**BREADTH, "then": ["slow"], "delay": "1ms"})
    assert (await ask(edge, *TASKS)).status == 200
    first = edge.decisions.last
    assert (first.stage, first.price > 2_000_000) == ("slow", True)
    assert first.reasons
    # What is decided next is what the call was decided by.
    assert (await ask(edge, TASKS[0])).status == 200
    assert edge.decisions.last.strain == first.strain


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", PATHS)
async def test_a_call_that_is_refused_for_what_it_packs_says_to_send_less_at_a_time(
    make_edge: MakeEdge, dialect: str
) -> None:
    model = FakeModel()
    edge = covered(make_edge, model, {**BREADTH, "then": {"refuse": 0.65}})
    refused = await ask(edge, *TASKS, dialect=dialect)
    assert refused.status == 429
    assert "abnormal-usage-detected" in refused.body.decode()
    assert "covers too much at once" in refused.body.decode()
    assert "Split it up and send less at a time." in refused.body.decode()
    assert "retry-after" not in refused.headers
    assert refused.headers["x-should-retry"] == "false"
    # And that is true: the same in parts is answered, as far as it is no sweep yet.
    parts = [TASKS[begin : begin + 4] for begin in range(0, 28, 4)]
    assert [(await ask(edge, *part, dialect=dialect)).status for part in parts] == [200] * 7
    assert len(model.requests) == 7


@pytest.mark.anyio
async def test_in_shadow_a_call_that_packs_a_sweep_is_answered_and_reported(
    make_edge: MakeEdge,
) -> None:
    shadow = {**BREADTH, "then": {"refuse": 0.65}, "mode": "shadow"}
    edge = covered(make_edge, FakeModel(), shadow)
    assert (await ask(edge, *TASKS)).status == 200
    event = edge.decisions.last
    assert (event.stage, event.price, event.shadow_stage) == ("none", 1_000_000, "refuse")
