"""An answer counts as what it is, whatever dialect its path is of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Dialect, Usage, settled_usage
from querybudget.units import MICRO

CALL = Call(Dialect.OPENAI, "chat", stream=True, input_bytes=40)
TEXT = "x" * 400
USED = Usage(70, output=300)

CHAT: list[dict[str, Any]] = [
    {"choices": [{"delta": {"content": TEXT}}]},
    {"choices": [], "usage": {"prompt_tokens": 70, "completion_tokens": 300}},
]
MESSAGES: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 70, "output_tokens": 1}}},
    {"type": "ping"},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": TEXT}},
    {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 300}},
    {"type": "message_stop"},
]
RESPONSES: list[dict[str, Any]] = [
    {"type": "response.output_text.delta", "delta": TEXT},
    {
        "type": "response.completed",
        "response": {"usage": {"input_tokens": 70, "output_tokens": 300}},
    },
]
GEMINI: list[dict[str, Any]] = [
    {"candidates": [{"content": {"parts": [{"text": TEXT}]}}]},
    {"usageMetadata": {"promptTokenCount": 70, "candidatesTokenCount": 300}},
]
ANSWERS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES, "gemini": GEMINI}
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"]


def charged(path: str, kind: str, pieces: list[bytes], *, ended: bool = True) -> Usage:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    meter = adapter.meter(CALL, kind)
    for piece in pieces:
        meter.feed(piece)
    if ended:
        meter.end()
    return settled_usage(CALL, meter, 10, 4 * MICRO)


def events_of(events: list[dict[str, Any]]) -> list[bytes]:
    return [b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dialect", ANSWERS)
def test_a_stream_of_another_dialect_is_charged_what_it_reports(path: str, dialect: str) -> None:
    assert charged(path, "text/event-stream", events_of(ANSWERS[dialect])) == USED


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dialect", ANSWERS)
def test_a_stream_of_another_dialect_that_is_cut_short_is_not_free(path: str, dialect: str) -> None:
    pieces = events_of(ANSWERS[dialect][:-1])
    assert charged(path, "text/event-stream", pieces, ended=False).output >= len(TEXT) // 4


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        {"content": [{"text": TEXT}], "usage": {"input_tokens": 70, "output_tokens": 300}},
        {"candidates": [{"content": {"parts": [{"text": TEXT}]}}], **GEMINI[-1]},
        {"choices": [{"message": {"content": TEXT}}], "usage": CHAT[-1]["usage"]},
        {"message": {"content": TEXT}, "prompt_eval_count": 70, "eval_count": 300},
    ],
    ids=["messages", "gemini", "chat", "ollama"],
)
def test_a_body_of_another_dialect_is_charged_what_it_reports(
    path: str, body: dict[str, Any]
) -> None:
    assert charged(path, "application/json", [msgspec.json.encode(body)]) == USED


@pytest.mark.parametrize("path", PATHS)
def test_an_error_within_a_stream_is_no_text(path: str) -> None:
    pieces = events_of([{"error": {"message": TEXT, "code": 500}}])
    assert charged(path, "text/event-stream", pieces).output == 0


IDS = [4] * 9


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/inference/v1/generate"])
@pytest.mark.parametrize("streamed", [True, False])
def test_tokens_that_an_answer_gives_as_ids_are_counted(path: str, streamed: bool) -> None:
    """vLLM answers so where it is asked for tokens: without text, or without usage."""
    adapter = adapter_for(path, "POST", (), ("vllm",))
    assert adapter is not None
    meter = adapter.meter(CALL, "text/event-stream" if streamed else "application/json")
    one = {"choices": [{"index": 0, "token_ids": IDS, "finish_reason": None}]}
    for piece in events_of([one, one]) if streamed else [msgspec.json.encode(one)]:
        meter.feed(piece)
    meter.end()
    usage = settled_usage(CALL, meter, 10, 4 * MICRO)
    assert (usage.input, usage.output) == (10, 18 if streamed else 9)


def test_tokens_in_a_tensor_are_counted() -> None:
    """As Triton answers: the ids are data."""
    tensor = {"name": "output_ids", "datatype": "INT32", "shape": [1, 50], "data": [7] * 50}
    answer = msgspec.json.encode({"outputs": [tensor]})
    assert charged("/v2/models/m/infer", "application/json", [answer]).output == 50


@pytest.mark.parametrize("streamed", [True, False])
def test_usage_that_is_reported_replaces_tokens_given_as_ids(streamed: bool) -> None:
    report = {"prompt_tokens": 70, "completion_tokens": 300}
    choice = {"text": "x", "token_ids": IDS, "finish_reason": "stop"}
    pieces = events_of([{"choices": [choice]}, {"choices": [], "usage": report}])
    if not streamed:
        pieces = [msgspec.json.encode({"choices": [choice], "usage": report})]
    kind = "text/event-stream" if streamed else "application/json"
    assert charged("/v1/completions", kind, pieces) == USED


CALLS = [
    {"type": "web_search_call", "action": {"type": "search", "query": "sky"}},
    {"type": "web_search_call", "action": {"type": "open_page", "url": "https://sky.test"}},
    {"type": "web_search_call"},
    {"type": "message", "content": [{"type": "output_text", "text": TEXT}]},
]


@pytest.mark.parametrize("streamed", [True, False])
def test_web_searches_that_a_response_lists_are_counted(streamed: bool) -> None:
    usage = {"input_tokens": 70, "output_tokens": 300}
    response = {"status": "completed", "output": CALLS, "usage": usage}
    event = {"type": "response.completed", "response": response}
    pieces = events_of([event]) if streamed else [msgspec.json.encode(response)]
    kind = "text/event-stream" if streamed else "application/json"
    assert charged("/v1/responses", kind, pieces) == Usage(70, output=300, searches=2)
