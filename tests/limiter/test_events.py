"""The words of a `DecisionEvent`: enums that programs may keep reading as strings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.coverage import Stage
from querybudget.errors import SetupError
from querybudget.events import DecidedBy, DecisionEvent, EventStage, EventVerdict, Settlement
from querybudget.ledger import Settled, Verdict
from querybudget.limiter import Refusal, request_scope
from querybudget.testing import (
    Decisions,
    Driven,
    FakeModel,
    drive,
    http_scope,
    memory_limiter,
    request,
)


def test_the_words_are_those_that_programs_know() -> None:
    assert {word.value for word in EventVerdict} == {
        "admit", "wait", "never", "unpriced", "store_error", "too_many_delayed", "blocked"
    }  # fmt: skip
    assert [word.value for word in Settlement] == [
        "", "done", "late", "repeated", "deferred", "failed"
    ]  # fmt: skip
    assert [word.value for word in DecidedBy] == ["shared", "local", "none"]
    assert [word.value for word in EventStage] == ["none", "slow", "degrade", "refuse"]


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_its_word(stage: Stage) -> None:
    assert EventStage[stage.name] == stage.name.lower()


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_its_word(verdict: Verdict) -> None:
    assert EventVerdict[verdict.name] == verdict.name.lower()


@pytest.mark.parametrize("settled", list(Settled))
def test_everything_that_settling_does_has_its_word(settled: Settled) -> None:
    assert Settlement(settled.value) == settled.value


def test_every_refusal_that_no_budget_decides_has_its_word() -> None:
    others = {Refusal.QUOTA, Refusal.ABNORMAL}
    assert {EventVerdict(word.value) for word in Refusal if word not in others}


async def coroutine_function(event: DecisionEvent) -> None:
    raise AssertionError("reached")


async def generator(event: DecisionEvent) -> AsyncIterator[None]:
    yield


class Awaited:
    async def __call__(self, event: DecisionEvent) -> None:
        raise AssertionError("reached")


@pytest.mark.parametrize(
    "hooks",
    [
        [generator],
        [print, None],
        print,
    ],
    ids=[
        "generator",
        "none",
        "no list",
    ],
)
def test_a_hook_that_would_never_run_is_a_setup_error(hooks: Any) -> None:
    policy = {"budgets": [{"name": "rpm", "limit": "1/minute"}]}
    with pytest.raises(SetupError, match="hook"):
        memory_limiter(policy, hooks=hooks)
    with pytest.raises(SetupError, match="hook"):
        QueryBudgetMiddleware(FakeModel(), policy, hooks=hooks)


async def test_an_event_is_encoded_with_strings() -> None:
    seen = Decisions()
    budget = {"name": "rpm", "limit": "1/minute"}
    limiter = memory_limiter({"identity": ["api_key"], "budgets": [budget]}, hooks=[seen])
    scope = request_scope("/x", headers={"authorization": "Bearer a"})
    async with limiter.admitted(scope, Call(Dialect.PROBLEM, "generate")) as admission:
        admission.used(Usage(1))
    event = msgspec.json.decode(msgspec.json.encode(seen.last))
    words = ("verdict", "settlement", "store", "stage", "shadow_stage")
    assert [event[word] for word in words] == ["admit", "done", "shared", "none", "none"]


async def test_a_hook_that_returns_what_nobody_awaits_is_said_once_and_others_still_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = Decisions()
    budget = {"name": "rpm", "limit": "9/minute"}

    def disguised(event: DecisionEvent) -> object:
        return coroutine_function(event)

    hooks: list[Any] = [disguised, seen]
    limiter = memory_limiter({"budgets": [budget]}, hooks=hooks)
    for _ in range(3):
        async with limiter.admitted(request_scope("/x")):
            pass
    assert len(seen.events) == 3
    (record,) = caplog.records
    assert "returned coroutine, which nothing awaits" in record.getMessage()


HOSTILE = "m\r\nset-cookie: a=b\x1b[31m\u202e\u2028" + "x" * 100_000


@pytest.mark.parametrize("limit", ["9/minute", "1 tokens/minute", "$1/day"])
async def test_what_a_caller_sends_reaches_no_event_log_or_answer_as_it_is(
    limit: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Decisions()
    policy = {
        "budgets": [{"name": "b", "limit": limit}],
        "identity": ["api_key"],
        "models": {"known": {"input": 1, "output": 1}},
    }
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(policy, hooks=[seen]))
    body = {"model": HOSTILE, "messages": [{"role": "user", "content": HOSTILE}]}
    answers: list[Driven] = []
    for path in ("/v1/chat/completions", "/v1/messages", f"/v1/{HOSTILE}"):
        for method in ("POST", "GET", f"P{HOSTILE[:300]}"):
            scope = http_scope(path, method=method, key="a")
            answers.append(await drive(app, scope, request(body)))
    assert any(answer.status != 200 for answer in answers) or limit == "9/minute"
    for event in seen.events:
        for text in (event.method, event.path, event.model):
            assert text.isprintable()
            assert len(text) <= 203
    for answer in answers:
        if answer.status in {404, 405}:
            continue  # the application's
        for name, value in answer.headers.items():
            assert f"{name}{value}".isprintable()
        if answer.status >= 400:
            assert len(answer.body) < 2_000
            assert all(part.isprintable() for part in texts(answer.json))
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert all(len(record.getMessage()) < 1_000 for record in caplog.records)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value
