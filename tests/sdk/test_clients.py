from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import anthropic
import anyio
import openai
import pytest

from querybudget.adapters.base import Usage
from querybudget.testing import Reply

Serve = Callable[..., Any]
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
RPM = {"name": "rpm", "limit": "2 requests/30 seconds"}
GCRA = {"name": "rpm", "limit": "60 requests/minute", "window": "gcra", "burst": 2}
DAY = {"name": "rpd", "limit": "2 requests/day"}
TOKENS = {"name": "tokens", "limit": "100_000 tokens/day"}


class Never:
    """A gate that stays shut."""

    async def wait(self) -> None:
        await anyio.sleep_forever()


def chat(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="m", messages=HELLO, **more)


def message(client: anthropic.Anthropic, **more: Any) -> Any:
    return client.messages.create(**{"model": "m", "max_tokens": 50, "messages": HELLO, **more})


def test_openai_calls_go_through_and_are_charged_what_they_used(serve: Serve) -> None:
    service = serve(TOKENS)
    with service.openai() as client:
        assert chat(client).choices[0].message.content == service.model.reply.text
        assert client.responses.create(model="m", input="hello").output_text.startswith("Hello")
        assert client.completions.create(model="m", prompt="x").choices[0].text.startswith("Hello")
        assert [m.id for m in client.models.list()] == ["fake-model"]
    service.decisions.assert_admitted(4)
    assert [e.usage.input + e.usage.output for e in service.decisions.events] == [15, 15, 15, 0]
    assert service.remaining("tokens") == 100_000 - 45


def test_openai_streams_go_through_piece_by_piece(serve: Serve) -> None:
    service = serve(TOKENS)
    with service.openai() as client:
        events = list(chat(client, stream=True, stream_options={"include_usage": True}))
        text = "".join(e.choices[0].delta.content or "" for e in events if e.choices)
        assert text == service.model.reply.text
        assert events[-1].usage.total_tokens == 15
        with client.responses.stream(model="m", input="hello") as stream:
            assert stream.until_done().get_final_response().output_text == text
    assert service.remaining("tokens") == 100_000 - 30


def test_anthropic_calls_and_streams_go_through(serve: Serve) -> None:
    service = serve(TOKENS)
    with service.anthropic() as client:
        assert message(client).content[0].text == service.model.reply.text
        with client.messages.stream(model="m", max_tokens=50, messages=HELLO) as stream:
            assert stream.get_final_text() == service.model.reply.text
    assert service.remaining("tokens") == 100_000 - 30


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_go_through(serve: Serve, stream: bool) -> None:
    service = serve(TOKENS)
    service.model.reply = Reply(tools=(("weather", '{"city": "Paris"}'),))
    tools: list[Any] = [{"type": "function", "function": {"name": "weather"}}]
    with service.openai() as client:
        if stream:
            deltas = [
                delta.function.arguments
                for event in chat(client, tools=tools, stream=True)
                for choice in event.choices
                for delta in choice.delta.tool_calls or ()
            ]
            assert json.loads("".join(deltas)) == {"city": "Paris"}
        else:
            (call,) = chat(client, tools=tools).choices[0].message.tool_calls
            assert call.function.name == "weather"
    with service.anthropic() as client:
        schema: list[Any] = [{"name": "weather", "input_schema": {"type": "object"}}]
        with client.messages.stream(
            model="m", max_tokens=50, messages=HELLO, tools=schema
        ) as answer:
            assert answer.get_final_message().content[0].input == {"city": "Paris"}
    service.decisions.assert_admitted(2)


def test_a_batch_of_embeddings_counts_as_many(serve: Serve) -> None:
    service = serve({"name": "rpm", "limit": "10 requests/minute"})
    with service.openai() as client:
        data = client.embeddings.create(model="e", input=["a"] * 7).data
        assert [len(row.embedding) for row in data] == [4] * 7
        assert service.remaining("rpm") == 3
        with pytest.raises(openai.RateLimitError):
            client.embeddings.create(model="e", input=["a"] * 4)


def test_each_client_understands_a_refusal(serve: Serve) -> None:
    service = serve(RPM)
    with service.openai() as client:
        chat(client)
        chat(client)
        with pytest.raises(openai.RateLimitError) as refused:
            chat(client)
    assert refused.value.code == "rate_limit_exceeded"
    assert "rpm" in refused.value.message
    assert refused.value.response.headers["retry-after"] == "30"
    with service.anthropic(key="bob") as client:
        message(client)
        message(client)
        with pytest.raises(anthropic.RateLimitError) as rejected:
            message(client)
    body: Any = rejected.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "rate_limit_error"
    assert rejected.value.response.headers["retry-after"] == "30"
    assert rejected.value.request_id
    service.decisions.assert_refused(2, by="rpm")


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_client_that_waits_as_told_succeeds_at_its_first_retry(
    serve: Serve, dialect: str
) -> None:
    service = serve(GCRA)
    call: Any = chat if dialect == "openai" else message
    with getattr(service, dialect)(retries=2) as client:
        for _ in range(3):
            call(client)
    assert service.sleeps == [1.0]
    service.decisions.assert_refused(1)
    service.decisions.assert_admitted(3)
    (refused,) = service.decisions.refused
    assert refused.wait == 1_000_000


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_spent_daily_budget_is_asked_once_and_not_again(serve: Serve, dialect: str) -> None:
    service = serve(DAY)
    call: Any = chat if dialect == "openai" else message
    with getattr(service, dialect)(retries=5) as client:
        call(client)
        call(client)
        with pytest.raises((openai.RateLimitError, anthropic.RateLimitError)):
            call(client)
    assert service.sleeps == []
    service.decisions.assert_refused(1, by="rpd")


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_call_that_can_never_fit_is_not_retried(serve: Serve, dialect: str) -> None:
    service = serve({"name": "tokens", "limit": "40 tokens/minute"})
    call: Any = chat if dialect == "openai" else message
    refusals = (openai.APIStatusError, anthropic.APIStatusError)
    with getattr(service, dialect)(retries=5) as client, pytest.raises(refusals):
        call(client, max_tokens=50)
    assert service.sleeps == []
    assert [event.verdict for event in service.decisions.events] == ["never"]


def test_a_body_too_large_is_refused_in_each_dialect(serve: Serve) -> None:
    service = serve(TOKENS, body={"limit": "1 KiB"})
    long: list[Any] = [{"role": "user", "content": "x" * 2000}]
    with service.openai(retries=3) as client, pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model="m", messages=long)
    assert refused.value.status_code == 413
    assert "1024" in refused.value.message
    with (
        service.anthropic(retries=3) as client,
        pytest.raises(anthropic.APIStatusError) as rejected,
    ):
        client.messages.create(model="m", max_tokens=5, messages=long)
    assert rejected.value.status_code == 413
    assert service.sleeps == []


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_stream_cut_by_the_client_is_settled_to_what_was_sent(serve: Serve, dialect: str) -> None:
    service = serve(TOKENS, {"name": "parallel", "limit": "1 concurrent"})
    text = "0123456789abcdefghij"
    whole = Reply(text=text, chunks=5, usage=Usage(input=2, output=5000))
    service.model.then(dataclasses.replace(whole, gate=Never(), stall_after=2))
    with getattr(service, dialect)() as client:
        stream: Any = (chat if dialect == "openai" else message)(client, stream=True)
        seen = ""
        for event in stream:
            seen += _text(event)
            if seen == text[:8]:
                break
        stream.close()
        assert service.settled.acquire(timeout=300)
        usage = service.decisions.last.usage
        assert usage.output == 2  # Two pieces of four bytes.
        assert service.held == 0
        assert service.remaining("tokens") == 100_000 - usage.input - 2


def _text(event: Any) -> str:
    if event.__class__.__name__ == "ChatCompletionChunk":
        return event.choices[0].delta.content or ""
    return getattr(getattr(event, "delta", None), "text", "") or ""


def test_asynchronous_clients_share_one_budget(serve: Serve) -> None:
    service = serve({"name": "rpm", "limit": "5 requests/minute"})

    async def ten() -> list[bool]:
        served: list[bool] = []

        async def one(client: openai.AsyncOpenAI) -> None:
            try:
                await client.chat.completions.create(model="m", messages=HELLO)
            except openai.RateLimitError:
                served.append(False)
            else:
                served.append(True)

        url = f"{service.url}/v1"
        async with (
            openai.AsyncOpenAI(api_key="alice", base_url=url, max_retries=0) as client,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(10):
                tasks.start_soon(one, client)
        return served

    assert sorted(anyio.run(ten)) == [False] * 5 + [True] * 5
    assert len(service.model.requests) == 5


def test_text_completions_stream(serve: Serve) -> None:
    service = serve(TOKENS)
    options: Any = {"stream": True, "stream_options": {"include_usage": True}}
    with service.openai() as client:
        events = list(client.completions.create(model="m", prompt="hello", **options))
    text = "".join(choice.text for event in events for choice in event.choices)
    assert text == service.model.reply.text
    assert service.remaining("tokens") == 100_000 - 15


def test_responses_stream_tool_calls(serve: Serve) -> None:
    service = serve(TOKENS)
    service.model.reply = Reply(tools=(("weather", '{"city": "Paris"}'),))
    with service.openai() as client, client.responses.stream(model="m", input="hello") as stream:
        (call,) = stream.until_done().get_final_response().output
    assert call.type == "function_call"
    assert call.arguments == '{"city": "Paris"}'
    assert service.remaining("tokens") == 100_000 - 15
