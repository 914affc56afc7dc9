"""The shapes in which servers report usage: how the figures are named, and where they are.

One table for all servers, because they borrow from each other and gateways mix them. It is read
from decoded JSON, so it takes any types: what is no count of tokens is skipped.

Figures of one answer are cumulative: several reports say the same again, later, or in another
member. So the largest of each figure counts. Only choices that report apart are parts of one
answer, and so are whole answers in an array: their output is added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast

from querybudget.adapters.base import Usage
from querybudget.adapters.usage_sums import bounded, larger, with_part

Object: TypeAlias = "Mapping[str, object]"
"""A decoded JSON object."""

MAX_TOKENS = 2**40
"""The largest figure that is believed: sums of figures stay small integers."""

_INPUT = (
    "prompt_tokens",  # OpenAI chat, SGLang, TGI, Mistral, DeepSeek, Moonshot
    "input_tokens",  # Anthropic, OpenAI responses and images, Cohere
    "promptTokenCount",  # Gemini
    "prompt_eval_count",  # Ollama
    "inputTokens",  # Bedrock's Converse
    "inputTokenCount",  # Bedrock's metrics
    "inputTextTokenCount",  # Titan
    "prompt_n",  # llama.cpp's timings
    "tokens_evaluated",  # llama.cpp's completion
    "prompt_token_count",
    "input_token_count",  # watsonx
    "input_length",  # TGI's last event
    "prefill_tokens",
    "total_input_tokens",  # Gemini's interactions
    "prefill",  # TGI's details: a list of tokens
)
_OUTPUT = (
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "responseTokenCount",  # Gemini's live sessions
    "eval_count",
    "outputTokens",
    "outputTokenCount",
    "predicted_n",
    "tokens_predicted",
    "generated_tokens",  # TGI
    "generated_token_count",
    "generation_token_count",  # Llama on Bedrock
    "candidates_token_count",
    "output_token_count",
    "total_output_tokens",
)
_TOTAL = ("total_tokens", "totalTokenCount", "totalTokens", "total_token_count")
_MORE_INPUT = (
    "toolUsePromptTokenCount",
    "tool_use_prompt_token_count",
    "total_tool_use_tokens",
)
"""Prompt tokens that the prompt's own figure excludes."""
_MORE_OUTPUT = ("thoughtsTokenCount", "thoughts_token_count", "total_thought_tokens")
"""Reasoning that the output's own figure excludes."""
_CACHED = (
    "cached_tokens",  # OpenAI (in details), Moonshot, SGLang
    "cache_read_input_tokens",  # Anthropic, LiteLLM
    "prompt_cache_hit_tokens",  # DeepSeek
    "cachedContentTokenCount",
    "cacheReadInputTokens",
    "cacheReadInputTokenCount",
    "cache_n",
    "cached_content_token_count",
    "total_cached_tokens",
)
_WRITTEN = (
    "cache_write_tokens",
    "cache_creation_input_tokens",
    "cache_creation_tokens",
    "cacheWriteInputTokens",
    "cacheWriteInputTokenCount",
)
_REASONING = ("reasoning_tokens", "thinking_tokens")
_CITED = "citation_tokens"
"""Prompt tokens of documents that a search found, which Perplexity's total excludes too."""
_SEARCHES = ("web_search_requests", "num_search_queries", "num_sources_used")

_INPUT_DETAILS = (
    "prompt_tokens_details",
    "input_tokens_details",
    "input_token_details",
    "promptTokensDetails",
)
_OUTPUT_DETAILS = (
    "completion_tokens_details",
    "output_tokens_details",
    "output_token_details",
    "candidatesTokensDetails",
)
_HOURS = (("cache_creation",), ("prompt_tokens_details", "cache_creation_token_details"))
"""Where cache writes are told apart by how long they last."""
_HOUR, _MINUTES = "ephemeral_1h_input_tokens", "ephemeral_5m_input_tokens"

_WITHOUT_CACHE = frozenset({"inputTokens", "inputTokenCount", "prompt_n"})
"""Prompt figures that leave out what the cache read or wrote. Anthropic's is told by its cache's
members."""

_PLACES = (
    ("usage",),
    ("usageMetadata",),
    ("usage_metadata",),
    ("x_groq", "usage"),
    ("amazon-bedrock-invocationMetrics",),
    ("timings",),  # llama.cpp
    ("meta_info",),  # SGLang
    ("details",),  # TGI
    ("meta", "tokens"),  # Cohere, version 1
    ("meta", "billed_units"),
    ("usage", "tokens"),  # Cohere, version 2
    ("usage", "billed_units"),
    ("delta", "usage"),
    ("delta", "usage", "tokens"),
    ("delta", "usage", "billed_units"),
    ("response", "usage"),  # OpenAI's responses
    ("response", "usageMetadata"),
    ("response", "meta", "tokens"),
    ("response", "body", "usage"),  # a line of OpenAI's batches
    ("message", "usage"),  # Anthropic
    ("result", "message", "usage"),  # a line of Anthropic's batches
    ("metadata", "usage"),  # Bedrock's Converse
    ("result", "usage"),
    ("output", "usage"),
    ("data", "usage"),
    ("meta", "usage"),
    ("interaction", "usage"),
)
"""Where a report is, besides the document itself and its choices."""

_STATISTICS = ("embeddings", "statistics")
_TOKEN_IDS = ("token_ids", "output_ids")
_ELEMENTS = ("choices", "results")
"""Arrays whose elements report their own part."""


def tokens(reported: float | None) -> int:
    """Return a reported number of tokens as an integer; 0 if it is missing or not a count."""
    if not reported or reported < 0:
        return 0
    return int(reported) if reported <= MAX_TOKENS else MAX_TOKENS


def usage_in(document: Object) -> Usage | None:
    """Return the usage that a body or an event reports, wherever it does; None if it does not."""
    found = usage_of(document)
    for place in _PLACES:
        report = _at(document, place)
        if report is not None and (usage := usage_of(report)) is not None:
            found = larger(found, usage)
    parts = _embedded(document)
    for _, usage in usage_of_parts(document):
        parts = usage if parts is None else with_part(parts, usage)
    return found if parts is None else larger(found, parts)


def token_ids_in(document: Object) -> int:
    """Return how many generated tokens a body or an event gives as ids, itself or in its choices.

    vLLM does so where it is asked for tokens, beside the text or instead of it. Triton's tensors of
    tokens have no text.
    """
    choices = document.get("choices")
    holders = [document, *(cast("list[object]", choices) if isinstance(choices, list) else ())]
    given = [
        cast("Object", holder).get(name)
        for holder in holders
        if isinstance(holder, dict)
        for name in _TOKEN_IDS
    ]
    outputs = document.get("outputs")
    for output in cast("list[object]", outputs) if isinstance(outputs, list) else ():
        if isinstance(output, dict):
            tensor = cast("Object", output)
            if tensor.get("name") in _TOKEN_IDS:
                given.append(tensor.get("data"))
    return sum(len(cast("list[object]", ids)) for ids in given if isinstance(ids, list))


def _embedded(document: Object) -> Usage | None:
    """Return the prompts of Vertex AI's embeddings, each of which reports its own."""
    predictions = document.get("predictions")
    total = 0
    for one in cast("list[object]", predictions) if isinstance(predictions, list) else ():
        report = _at(cast("Object", one), _STATISTICS) if isinstance(one, dict) else None
        if report is not None:
            total += _count(report.get("token_count")) or 0
    return Usage(input=total) if total else None


def usage_of_parts(document: Object) -> Iterator[tuple[int, Usage]]:
    """Yield the usage of each choice that reports its own, by the choice's index."""
    for name in _ELEMENTS:
        elements = document.get(name)
        if not isinstance(elements, list):
            continue
        for place, element in enumerate(cast("list[object]", elements)):
            if not isinstance(element, dict):
                continue
            part = cast("Object", element)
            usage = _usage_of_part(part)
            if usage is not None:
                index = part.get("index")
                yield index if type(index) is int else place, usage


def _usage_of_part(part: Object) -> Usage | None:
    usage = usage_of(part)
    for place in (("usage",), ("delta", "usage"), ("message", "usage")):
        report = _at(part, place)
        if report is not None and (reported := usage_of(report)) is not None:
            usage = larger(usage, reported)
    return usage


def usage_of(report: Object) -> Usage | None:
    """Return the usage in one report, under any server's names; None if it has no figure."""
    prompt_name, prompt = _first(report, _INPUT)
    _, output = _first(report, _OUTPUT)
    _, total = _first(report, _TOTAL)
    thoughts = _most(report, _MORE_OUTPUT)
    if prompt is None and output is None and total is None and not thoughts:
        return None
    read = [report, *(_details(report, _INPUT_DETAILS))]
    made = [report, *(_details(report, _OUTPUT_DETAILS))]
    cached = max(_most(one, _CACHED) for one in read)
    hour, lasting = _cache_writes(report)
    written = max(lasting, *(_most(one, _WRITTEN) for one in read))
    generated = (output or 0) + thoughts
    if prompt is None:
        prompt = max(0, (total or 0) - generated)
    elif total is None or total != prompt + generated:
        prompt += _most(report, _MORE_INPUT)
        if prompt_name in _WITHOUT_CACHE or _anthropic(report, prompt_name):
            prompt += cached + written
    prompt += _count(report.get(_CITED)) or 0
    reasoning = max(thoughts, *(_most(one, _REASONING) for one in made))
    # Some servers exclude reasoning from the output: more of it than output tells.
    if output and reasoning > generated and (total or 0) <= prompt + generated:
        generated += reasoning
    # Others include it in the total.
    generated = max(generated, (total or 0) - prompt)
    return bounded(
        Usage(
            input=prompt,
            cached_input=cached,
            cache_write=written,
            output=generated,
            reasoning=reasoning,
            cache_write_1h=hour,
            audio_input=max(_modality(one, "audio") for one in read[1:]) if read[1:] else 0,
            image_input=max(_modality(one, "image") for one in read[1:]) if read[1:] else 0,
            audio_output=max(_modality(one, "audio") for one in made[1:]) if made[1:] else 0,
            image_output=max(_modality(one, "image") for one in made[1:]) if made[1:] else 0,
            searches=_searches(report),
        )
    )


def _at(document: Object, place: tuple[str, ...]) -> Object | None:
    value: object = document
    for name in place:
        if not isinstance(value, dict):
            return None
        value = cast("Object", value).get(name)
    return cast("Object", value) if isinstance(value, dict) else None


def _count(value: object) -> int | None:
    """Return a figure: a number, a number in quotes, or the length of a list of tokens."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return tokens(value)
    if isinstance(value, str):
        digits = value.strip()[:20]
        return tokens(float(digits)) if digits.replace(".", "", 1).isdecimal() else None
    return len(cast("list[object]", value)) if isinstance(value, list) else None


def _first(report: Object, names: tuple[str, ...]) -> tuple[str, int | None]:
    """Return the first figure above zero, and its name; else a figure of zero, else None."""
    found: tuple[str, int | None] = ("", None)
    for name in names:
        if name in report and (count := _count(report[name])) is not None:
            if count:
                return name, count
            found = name, count
    return found


def _most(report: Object, names: tuple[str, ...]) -> int:
    return max([_count(report[name]) or 0 for name in names if name in report], default=0)


def _details(report: Object, names: tuple[str, ...]) -> list[Object]:
    """Return the objects that split a figure; Gemini's lists as objects of their modalities."""
    found: list[Object] = []
    for name in names:
        value = report.get(name)
        if isinstance(value, dict):
            found.append(cast("Object", value))
        elif isinstance(value, list):
            found.append(_modalities(cast("list[object]", value)))
    return found


def _modalities(parts: list[object]) -> Object:
    sizes: dict[str, object] = {}
    for part in parts:
        if isinstance(part, dict):
            one = cast("Object", part)
            sizes[f"{one.get('modality')}".lower() + "_tokens"] = one.get("tokenCount")
    return sizes


def _modality(details: Object, name: str) -> int:
    return _count(details.get(f"{name}_tokens")) or 0


def _cache_writes(report: Object) -> tuple[int, int]:
    """Return the tokens written to a cache for an hour, and for any time."""
    for place in _HOURS:
        writes = _at(report, place)
        if writes is not None:
            hour = _count(writes.get(_HOUR)) or 0
            return hour, hour + (_count(writes.get(_MINUTES)) or 0)
    return 0, 0


def _anthropic(report: Object, prompt_name: str) -> bool:
    return prompt_name in {"input_tokens", ""} and (
        "cache_read_input_tokens" in report or "cache_creation_input_tokens" in report
    )


def _searches(report: Object) -> int:
    tools = _at(report, ("server_tool_use",))
    return max(_most(report, _SEARCHES), _most(tools, _SEARCHES) if tools is not None else 0)
