"""What a server reports is found, under whatever name and wherever it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Dialect, Usage, settled_usage
from querybudget.adapters.usage_shapes import usage_in
from querybudget.adapters.usage_sums import larger
from querybudget.limiter.checks import check_usage
from querybudget.units import MICRO

CHAT = Call(Dialect.OPENAI, "chat", stream=True, input_bytes=10)

REPORTS: dict[str, tuple[Mapping[str, Any], Usage]] = {
    "openai": (
        {
            "usage": {
                "prompt_tokens": 90,
                "completion_tokens": 20,
                "total_tokens": 110,
                "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 12, "audio_tokens": 3},
            }
        },
        Usage(90, 64, 0, 20, 12, audio_input=5, audio_output=3),
    ),
    "openai responses": (
        {
            "response": {
                "usage": {
                    "input_tokens": 90,
                    "output_tokens": 20,
                    "input_tokens_details": {"cached_tokens": 64},
                    "output_tokens_details": {"reasoning_tokens": 12},
                    "total_tokens": 110,
                }
            }
        },
        Usage(90, 64, 0, 20, 12),
    ),
    "openai images": (
        {
            "usage": {
                "input_tokens": 50,
                "output_tokens": 1056,
                "total_tokens": 1106,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            }
        },
        Usage(50, output=1056, image_input=40),
    ),
    "openai audio": (
        {
            "usage": {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
                "output_tokens": 45,
                "total_tokens": 59,
            }
        },
        Usage(14, output=45, audio_input=14),
    ),
    "a line of openai's batches": (
        {"custom_id": "a", "response": {"body": {"usage": {"prompt_tokens": 9}}}},
        Usage(9),
    ),
    "reasoning only in the total (xAI)": (
        {"usage": {"prompt_tokens": 90, "completion_tokens": 5, "total_tokens": 115}},
        Usage(90, output=25),
    ),
    "groq": (
        {"choices": [{"finish_reason": "stop"}], "x_groq": {"usage": {"prompt_tokens": 90}}},
        Usage(90),
    ),
    "bedrock's metrics": (
        {
            "amazon-bedrock-invocationMetrics": {
                "inputTokenCount": 20,
                "outputTokenCount": 7,
                "cacheReadInputTokenCount": 60,
                "cacheWriteInputTokenCount": 10,
            }
        },
        Usage(90, 60, 10, 7),
    ),
    "bedrock's converse": (
        {
            "metadata": {
                "usage": {
                    "inputTokens": 20,
                    "outputTokens": 7,
                    "totalTokens": 97,
                    "cacheReadInputTokens": 60,
                    "cacheWriteInputTokens": 10,
                }
            }
        },
        Usage(90, 60, 10, 7),
    ),
    "llama.cpp's timings": (
        {"timings": {"cache_n": 236, "prompt_n": 1, "predicted_n": 35, "predicted_ms": 661.06}},
        Usage(237, 236, output=35),
    ),
    "llama.cpp's completion": (
        {"content": "", "stop": True, "tokens_evaluated": 30, "tokens_predicted": 8},
        Usage(30, output=8),
    ),
    "sglang": (
        {"text": "x", "meta_info": {"prompt_tokens": 30, "completion_tokens": 8}},
        Usage(30, output=8),
    ),
    "tgi": (
        {"details": {"generated_tokens": 8, "prefill": [{"id": 1}, {"id": 2}]}},
        Usage(2, output=8),
    ),
    "tgi's last event": (
        {"token": {"id": 2}, "details": {"generated_tokens": 8, "input_length": 30}},
        Usage(30, output=8),
    ),
    "ollama": ({"done": True, "prompt_eval_count": 30, "eval_count": 8}, Usage(30, output=8)),
    "gemini": (
        {
            "usageMetadata": {
                "promptTokenCount": 90,
                "cachedContentTokenCount": 64,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 1000,
                "toolUsePromptTokenCount": 5,
                "totalTokenCount": 1115,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 50},
                    {"modality": "IMAGE", "tokenCount": 40},
                ],
            }
        },
        Usage(95, 64, 0, 1020, 1000, image_input=40),
    ),
    "cohere 1": (
        {
            "meta": {
                "billed_units": {"input_tokens": 3, "output_tokens": 8},
                "tokens": {"input_tokens": 70, "output_tokens": 8},
            }
        },
        Usage(70, output=8),
    ),
    "cohere 2": (
        {
            "type": "message-end",
            "delta": {"usage": {"tokens": {"input_tokens": 70.0, "output_tokens": 8.0}}},
        },
        Usage(70, output=8),
    ),
    "anthropic": (
        {
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 20,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 5,
                    "ephemeral_1h_input_tokens": 15,
                },
                "output_tokens": 8,
                "server_tool_use": {"web_search_requests": 2},
            }
        },
        Usage(90, 60, 20, 8, cache_write_1h=15, searches=2),
    ),
    "a line of anthropic's batches": (
        {"custom_id": "a", "result": {"message": {"usage": {"input_tokens": 9}}}},
        Usage(9),
    ),
    "deepseek": (
        {
            "usage": {
                "prompt_tokens": 90,
                "completion_tokens": 8,
                "total_tokens": 98,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 26,
            }
        },
        Usage(90, 64, output=8),
    ),
    "moonshot": (
        {"usage": {"prompt_tokens": 90, "completion_tokens": 8, "cached_tokens": 64}},
        Usage(90, 64, output=8),
    ),
    "litellm, whose prompt includes what the cache did": (
        {
            "usage": {
                "prompt_tokens": 90,
                "completion_tokens": 8,
                "total_tokens": 98,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 20,
                "prompt_tokens_details": {
                    "cached_tokens": 60,
                    "cache_creation_tokens": 20,
                    "cache_creation_token_details": {"ephemeral_1h_input_tokens": 20},
                },
            }
        },
        Usage(90, 60, 20, 8, cache_write_1h=20),
    ),
    "two choices that report apart": (
        {
            "choices": [
                {"index": 0, "usage": {"prompt_tokens": 90, "completion_tokens": 8}},
                {
                    "index": 1,
                    "finish_reason": "stop",
                    "usage": {"prompt_tokens": 90, "completion_tokens": 9},
                },
            ]
        },
        Usage(90, output=17),
    ),
    "watsonx": (
        {"results": [{"generated_token_count": 8, "input_token_count": 30}]},
        Usage(30, output=8),
    ),
    "reasoning and sources apart (Perplexity)": (
        {
            "usage": {
                "prompt_tokens": 19,
                "completion_tokens": 47,
                "total_tokens": 66,
                "citation_tokens": 200,
                "num_search_queries": 4,
                "reasoning_tokens": 739,
            }
        },
        Usage(219, output=786, reasoning=739, searches=4),
    ),
    "reasoning apart, without a total": (
        {
            "usage": {
                "prompt_tokens": 19,
                "completion_tokens": 7,
                "completion_tokens_details": {"reasoning_tokens": 90},
            }
        },
        Usage(19, output=97, reasoning=90),
    ),
    "sources of a search (xAI)": (
        {"usage": {"prompt_tokens": 9, "completion_tokens": 5, "num_sources_used": 3}},
        Usage(9, output=5, searches=3),
    ),
    "usage and timings (llama.cpp)": (
        {
            "usage": {"prompt_tokens": 237, "completion_tokens": 35, "total_tokens": 272},
            "timings": {"cache_n": 236, "prompt_n": 1, "predicted_n": 35},
        },
        Usage(237, 236, output=35),
    ),
    "embeddings of Vertex AI": (
        {
            "predictions": [
                {"embeddings": {"statistics": {"token_count": 6}, "values": [0.1]}},
                {"embeddings": {"statistics": {"token_count": 2}, "values": [0.2]}},
            ]
        },
        Usage(8),
    ),
    "figures in quotes": (
        {"usage": {"prompt_tokens": "90", "completion_tokens": "8.0"}},
        Usage(90, output=8),
    ),
}


@pytest.mark.parametrize("server", REPORTS)
def test_usage_is_found_where_servers_put_it(server: str) -> None:
    document, usage = REPORTS[server]
    assert usage_in(document) == usage


def chat_meter(content_type: str, *pieces: bytes) -> tuple[Usage, bool]:
    adapter = adapter_for("/v1/chat/completions", "POST", ())
    assert adapter is not None
    meter = adapter.meter(CHAT, content_type)
    for piece in pieces:
        meter.feed(piece)
    meter.end()
    return settled_usage(CHAT, meter, 2, 4 * MICRO), meter.complete


# What OpenAI-compatible servers report beside, or in place of, `usage`.
OF_CHAT = [
    server
    for server, (document, _) in REPORTS.items()
    if {"usage", "x_groq", "timings", "choices", "meta"} & set(document) and server != "watsonx"
] + ["bedrock's metrics", "gemini"]


@pytest.mark.parametrize("server", OF_CHAT)
@pytest.mark.parametrize("place", ["before the text", "after the text", "in the body"])
def test_a_chat_is_charged_what_any_server_reports(server: str, place: str) -> None:
    document, usage = REPORTS[server]
    report = {"choices": [], **document}
    text: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": "Hi."}}]}
    last: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if place == "in the body":
        report["choices"] = [
            {**choice, "message": {"content": "Hi."}} for choice in report["choices"] or [{}]
        ]
        charged, complete = chat_meter("application/json", json.dumps(report).encode())
    else:
        events = [report, text, last] if place == "before the text" else [text, last, report]
        stream = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
        charged, complete = chat_meter("text/event-stream", *stream, b"data: [DONE]\n\n")
    assert charged == usage if usage.output else charged.input == usage.input
    assert complete or place == "before the text"


@pytest.mark.parametrize(
    "figure", [-1, 10**400, 1e308, 2.5, "7", "", "-3", "x" * 40, "1e400", "nan", True, None, [], {}]
)
@pytest.mark.parametrize("server", REPORTS)
def test_any_figure_in_any_report_is_safe(server: str, figure: object) -> None:
    document, _ = REPORTS[server]
    for wrong in spoilt(document, figure):
        usage = usage_in(wrong) if isinstance(wrong, dict) else None
        if usage is not None:
            check_usage(usage)


def spoilt(document: Any, figure: object) -> list[Any]:
    if isinstance(document, dict):
        return [figure] + [
            {**document, name: wrong}
            for name, value in document.items()
            for wrong in spoilt(value, figure)
        ]
    if isinstance(document, list):
        return [figure] + [
            [*document[:at], wrong, *document[at + 1 :]]
            for at, value in enumerate(document)
            for wrong in spoilt(value, figure)
        ]
    return [figure]


COUNTS = st.integers(0, 10**6)


@given(prompt=COUNTS, output=COUNTS, cached=COUNTS, extra=COUNTS)
def test_no_report_is_read_as_less_than_it_says(
    prompt: int, output: int, cached: int, extra: int
) -> None:
    usage = usage_in(
        {
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": output,
                "total_tokens": prompt + output + extra,
                "prompt_tokens_details": {"cached_tokens": cached},
            }
        }
    )
    assert usage is not None
    assert (usage.input >= prompt, usage.output >= output) == (True, True)
    assert usage.input + usage.output >= prompt + output + extra
    check_usage(usage)


USAGES = st.builds(Usage, input=COUNTS, output=COUNTS, cached_input=st.just(0))


@given(one=USAGES, other=USAGES)
def test_the_larger_of_two_reports_is_neither_less_and_is_another_object(
    one: Usage, other: Usage
) -> None:
    both = larger(one, other)
    assert both is not one
    assert (both.input, both.output) == (
        max(one.input, other.input),
        max(one.output, other.output),
    )


def test_compaction_on_the_way_is_charged() -> None:
    """Anthropic bills the iterations, and its other figures leave out what was compacted."""
    adapter = adapter_for("/v1/messages", "POST", ())
    assert adapter is not None
    iterations = [
        {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
        {"type": "message", "input_tokens": 23_000, "output_tokens": 1000},
    ]
    usage = {"input_tokens": 23_000, "output_tokens": 1000, "iterations": iterations}
    meter = adapter.meter(Call(Dialect.ANTHROPIC, "messages"), "application/json")
    meter.feed(json.dumps({"content": [], "usage": usage}).encode())
    assert meter.usage() == Usage(203_000, output=4500)
