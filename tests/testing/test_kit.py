from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from querybudget import Call, Dialect, QueryBudgetMiddleware, Usage
from querybudget.adapters.base import Channel, Segment
from querybudget.asgi.types import Receive, Scope, Send
from querybudget.coverage.observation import FINE
from querybudget.errors import PolicyError
from querybudget.testing import (
    Decisions,
    FakeAnalyzer,
    FakeModel,
    ManualClock,
    Reply,
    drive,
    establish,
    http_scope,
    memory_limiter,
    request,
    unlimited,
)

POLICY: dict[str, Any] = {
    "version": 1,
    "identity": ["api_key"],
    "store": "redis://nowhere.invalid:1",
    "secret": "0123456789abcdef0123456789abcdef",
    "budgets": [{"name": "rpm", "limit": "1 requests/minute"}],
}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


async def ask(app: Any, **more: Any) -> int:
    return (await drive(app, http_scope(key="a", **more), request(CHAT))).status


@pytest.mark.anyio
async def test_a_memory_limiter_needs_no_store_and_stands_still() -> None:
    limiter = memory_limiter(POLICY)
    app = QueryBudgetMiddleware(FakeModel(), limiter=limiter)
    assert [await ask(app) for _ in range(3)] == [200, 429, 429]
    assert isinstance(limiter.clock, ManualClock)
    limiter.clock.advance(60)
    assert await ask(app) == 200


def test_a_memory_limiter_names_every_mistake() -> None:
    with pytest.raises(PolicyError) as wrong:
        memory_limiter({"version": 1, "budgts": [], "mod": "shadow"})
    assert len(wrong.value.problems) >= 2


@pytest.mark.anyio
async def test_unlimited_lets_everything_through_uncounted_nests_and_ends() -> None:
    decisions = Decisions()
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(POLICY, hooks=[decisions]))
    with unlimited():
        with unlimited():
            assert [await ask(app) for _ in range(3)] == [200] * 3
        assert await ask(app) == 200
    assert decisions.events == []
    assert [await ask(app) for _ in range(2)] == [200, 429]


@pytest.mark.anyio
async def test_unlimited_ends_with_an_exception_too() -> None:
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(POLICY))
    with pytest.raises(LookupError), unlimited():
        raise LookupError
    assert [await ask(app) for _ in range(2)] == [200, 429]


@pytest.mark.anyio
async def test_decisions_say_what_they_saw() -> None:
    decisions = Decisions()
    with pytest.raises(AssertionError, match="found none"):
        _ = decisions.last
    with pytest.raises(AssertionError, match="no calls at all"):
        decisions.assert_refused()
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(POLICY, hooks=[decisions]))
    await ask(app)
    await ask(app)
    decisions.assert_admitted(1)
    decisions.assert_refused(by="rpm")
    decisions.assert_refused(1)
    assert decisions.last.violated == ("rpm",)
    assert len(decisions) == 2
    with pytest.raises(
        AssertionError, match="expected 2 calls admitted, found 1:\n  a: 1 POST /v1/chat"
    ):
        decisions.assert_admitted(2)
    with pytest.raises(AssertionError, match=r"refused for 5s, found 0:\n.* refused .* by rpm"):
        decisions.assert_refused(wait=5)
    with pytest.raises(AssertionError, match="expected 2 calls refused, found 1"):
        decisions.assert_refused(2)
    decisions.clear()
    decisions.assert_admitted(0)
    decisions.assert_refused(0)


@pytest.mark.anyio
async def test_a_fake_model_answers_in_turn_and_remembers() -> None:
    model = FakeModel(lambda asked: Reply(text=asked.json["model"]))
    model.then(Reply(status=503))
    assert await ask(model) == 503
    driven = await drive(model, http_scope(headers={"X-Own": "1"}), request(CHAT))
    assert driven.json["choices"][0]["message"]["content"] == "m"
    assert model.requests[1].json == CHAT
    assert model.requests[1].headers["x-own"] == "1"
    assert [request.finished for request in model.requests] == [False, True]


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"{", b"[" * 100_000 + b"]" * 100_000])
async def test_a_fake_model_refuses_a_body_that_it_cannot_read(body: bytes) -> None:
    driven = await drive(FakeModel(), http_scope(), request(body))
    assert driven.error is None
    assert driven.status == 400


@pytest.mark.anyio
async def test_a_fake_model_reports_no_usage_where_none_is_set() -> None:
    model = FakeModel(Reply(usage=None))
    assert "usage" not in (await drive(model, http_scope(), request(CHAT))).json
    stream = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    assert b"usage" not in (await drive(model, http_scope(), request(stream))).body
    model.reply = Reply(usage=Usage(input=7, cached_input=2, output=3))
    answer = (await drive(model, http_scope("/v1/messages"), request(CHAT))).json
    assert answer["usage"]["input_tokens"] + answer["usage"]["cache_read_input_tokens"] == 7


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
async def test_a_gate_holds_an_answer_until_the_test_opens_it(stream: bool) -> None:
    gate = anyio.Event()
    model = FakeModel(Reply(gate=gate, stall_after=2 if stream else 0, chunks=5))

    done: list[int] = []

    async with anyio.create_task_group() as tasks:

        async def one() -> None:
            body = request(CHAT | {"stream": stream})
            done.append((await drive(model, http_scope(), body)).status)

        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        assert done == []
        assert model.requests[0].sent == (2 if stream else 0)
        gate.set()
    assert done == [200]
    assert model.requests[0].finished


START = {"type": "http.response.start", "status": 200}
FAULTS: dict[str, list[dict[str, Any]]] = {
    "sent before http.response.start": [{"type": "http.response.body"}],
    "sent twice": [START, START],
    "after the last one": [START, {"type": "http.response.body"}, {"type": "http.response.body"}],
    "before its answer was complete": [START],
    "is not bytes": [{**START, "headers": [("a", "b")]}, {"type": "http.response.body"}],
    "3 bytes declared, 1 sent": [
        {**START, "headers": [(b"Content-Length", b"3")]},
        {"type": "http.response.body", "body": b"x"},
    ],
}


@pytest.mark.anyio
@pytest.mark.parametrize(("words", "messages"), FAULTS.items(), ids=FAULTS.keys())
async def test_the_driver_holds_an_application_to_the_protocol(
    words: str, messages: list[dict[str, Any]]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    with pytest.raises(AssertionError, match=words):
        await drive(app, http_scope(), request())


@pytest.mark.anyio
async def test_the_driver_cancels_where_it_is_told() -> None:
    reached: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for at in range(5):
            await anyio.lowlevel.checkpoint()
            reached.append(at)

    for cut in range(5):
        reached.clear()
        driven = await drive(app, {"type": "other"}, cancel_at=cut)
        assert reached == list(range(cut))
        assert isinstance(driven.error, anyio.get_cancelled_exc_class())


@pytest.mark.anyio
@pytest.mark.parametrize("level", [False, True])
async def test_only_a_cancelled_scope_cancels_what_is_awaited_on_the_way_out(level: bool) -> None:
    cleaned: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
        finally:
            await anyio.lowlevel.checkpoint()
            cleaned.append(True)

    await drive(app, http_scope(), request(), cancel_at=0, level=level)
    assert cleaned == ([] if level else [True])


@pytest.mark.anyio
async def test_a_client_that_hung_up_gets_nothing_more() -> None:
    model = FakeModel(Reply(chunks=5))
    driven = await drive(model, http_scope(), request(CHAT | {"stream": True}), disconnect_after=3)
    assert len(driven.sent) == 3
    assert driven.status == 200
    assert driven.error is None


def test_the_plugin_costs_those_who_do_not_use_it_next_to_nothing() -> None:
    code = "import sys, querybudget.testing.plugin; print('\\n'.join(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.home()
    ).stdout.split()
    loaded = {name.partition(".")[0] for name in found}
    assert not loaded & {"starlette", "msgspec", "numpy", "httpx", "httpx2", "yaml", "limits"}
    ours = {name for name in found if name.startswith("querybudget")}
    assert ours == {"querybudget", "querybudget.testing", "querybudget.testing.plugin"}


def test_every_public_name_is_there() -> None:
    import querybudget.testing as kit  # noqa: PLC0415 - to look at it as a whole

    assert sorted(kit.__all__) == kit.__all__
    assert [name for name in kit.__all__ if not hasattr(kit, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'FakeModle'"):
        _ = kit.FakeModle


# -- what is asked

BREADTH: dict[str, Any] = {
    "version": 1,
    "identity": ["api_key"],
    "secret": "0123456789abcdef0123456789abcdef",
    "budgets": [
        {
            "name": "breadth",
            "limit": "4 buckets/day",
            "mode": "enforce",
            "then": ["slow", "degrade", "refuse"],
        },
        {"name": "rpm", "limit": "100 requests/minute"},
    ],
}


def call(*asks: str) -> Call:
    segments = tuple(Segment(Channel.SAID, ask) for ask in asks)
    return Call(Dialect.OPENAI, "chat", segments=segments)


async def cells(analyzer: FakeAnalyzer, *asks: str) -> tuple[int, ...]:
    """The buckets that a test named: neighbouring cells are one piece of new ground."""
    found = (await analyzer.analyze(call(*asks))).cells
    return tuple(sorted(cell // 2 + cell % 2 * (FINE // 2) for cell in found))


@pytest.mark.anyio
async def test_a_fake_analyzer_puts_prompts_where_the_test_says() -> None:
    analyzer = FakeAnalyzer({"a": 7, "b": (9, 8), "c": 7})
    assert await cells(analyzer, "a") == (7,)
    assert await cells(analyzer, "b") == (8, 9)
    assert await cells(analyzer, "a", "b", "c") == (7, 8, 9)
    assert analyzer.prompts == ["a", "b", "a", "b", "c"]


@pytest.mark.anyio
async def test_a_prompt_that_is_not_named_has_a_bucket_of_its_own() -> None:
    analyzer = FakeAnalyzer({"a": 4095, "b": 4093})
    found = [await cells(analyzer, text) for text in ("x", "y", "x", "z")]
    assert found == [(4094,), (4092,), (4094,), (4091,)]


@pytest.mark.anyio
async def test_more_prompts_than_buckets_share_them_and_no_text_has_none() -> None:
    analyzer = FakeAnalyzer(dict(enumerate_texts(4096)))
    (cell,) = await cells(analyzer, "one more")
    assert 0 <= cell < 4096
    assert await cells(analyzer, "") == ()


def enumerate_texts(count: int) -> list[tuple[str, int]]:
    return [(str(number), number) for number in range(count)]


@pytest.mark.anyio
async def test_a_fake_analyzer_knows_the_capabilities_it_was_told() -> None:
    analyzer = FakeAnalyzer({}, {"coding": ["sort", "both"], "mathematics": ["both"]})
    assert analyzer.names == ("coding", "mathematics")
    found = [(await analyzer.analyze(call(text))).capabilities for text in ("sort", "both", "x")]
    assert found == [0b01, 0b11, 0]


@pytest.mark.anyio
async def test_a_fake_analyzer_that_is_down_finds_nothing_and_moves_no_score() -> None:
    analyzer = FakeAnalyzer({"a": 7}, {"coding": ["a"]})
    assert (await analyzer.analyze(call("a"))).said
    analyzer.down = True
    observation = await analyzer.analyze(call("a"))
    assert (observation.cells, observation.capabilities) == ((), 0)
    await analyzer.aclose()


@pytest.mark.parametrize("bucket", [-1, 4096])
def test_a_bucket_that_is_none_is_a_mistake(bucket: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 4095"):
        FakeAnalyzer({"a": bucket})


async def no_pause(seconds: float) -> None:
    await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_decisions_tell_what_was_slowed_degraded_and_priced() -> None:
    decisions = Decisions()
    limiter = memory_limiter(BREADTH, hooks=[decisions], analyzer=FakeAnalyzer(), sleep=no_pause)
    app = QueryBudgetMiddleware(FakeModel(), limiter=limiter)
    for number in range(5):
        messages = [{"role": "user", "content": str(number)}]
        await drive(app, http_scope(key="a"), request({"model": "m", "messages": messages}))
    decisions.assert_slowed(1)
    decisions.assert_slowed()
    decisions.assert_degraded(0)
    decisions.assert_priced(1, over=2.5)
    decisions.assert_priced()
    decisions.assert_refused(1, by="breadth")
    with pytest.raises(
        AssertionError, match=r"expected 2 calls slowed, found 1:\n.* \(slow\), .*at price"
    ):
        decisions.assert_slowed(2)
    with pytest.raises(AssertionError, match="expected at least one call degraded, found 0"):
        decisions.assert_degraded()
    with pytest.raises(AssertionError, match=r"expected at least one call priced over 9\.5"):
        decisions.assert_priced(over=9.5)


@pytest.mark.anyio
async def test_a_caller_may_be_established() -> None:
    limiter = memory_limiter(
        {
            "identity": ["user", "api_key"],
            "models": {"*": {"input": 1, "output": 1}},
            "tiers": {
                "good": {
                    "when": {"age": "30 days", "calls": 100, "spent": "$5", "clean": "3 days"},
                    "scale": {"requests": 2},
                }
            },
            "budgets": [{"name": "rpm", "limit": "9 requests/minute"}],
        }
    )
    establish(limiter, age="30 days", calls=100, spent="$5", user="ada")
    establish(limiter, age="30 days", calls=100, spent="$5", clean="1 day", caller="sk-1")
    senders = http_scope(user="ada"), http_scope(key="sk-1"), http_scope(user="bob")
    tiers = [(await limiter.admit(sender)).tier for sender in senders]
    assert tiers == ["good", "default", "default"]
