"""Usage in answers of OpenAI's dialect: JSON bodies and server-sent events.

One pair of functions reads chat completions, completions and embeddings, another reads responses.
Usage is in a last event of its own, in every event (each replaces the one before) or in the body.
"""

from __future__ import annotations

import msgspec

from querybudget.adapters.base import Usage
from querybudget.adapters.metering import AnswerTotals, tokens
from querybudget.adapters.request import utf8_size


class _Details(msgspec.Struct):
    cached_tokens: int | float | None = None
    cache_write_tokens: int | float | None = None
    reasoning_tokens: int | float | None = None


class _Usage(msgspec.Struct):
    """Chat reports prompt and completion tokens, responses input and output tokens."""

    prompt_tokens: int | float | None = None
    completion_tokens: int | float | None = None
    input_tokens: int | float | None = None
    output_tokens: int | float | None = None
    total_tokens: int | float | None = None
    reasoning_tokens: int | float | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None
    custom: _Function | None = None


class _Text(msgspec.Struct):
    text: str | None = None


class _Delta(msgspec.Struct):
    """A message of an answer, or what one event adds to it."""

    content: str | list[_Text] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


class _Item(msgspec.Struct):
    """An item of a response's output: a message, reasoning or a tool call."""

    content: list[_Text] | None = None
    summary: list[_Text] | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    code: str | None = None


class _Response(msgspec.Struct):
    output: list[_Item] | None = None
    usage: _Usage | None = None


class _ResponseUsage(msgspec.Struct):
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    delta: str | _Delta | None = None
    response: _ResponseUsage | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_RESPONSE = msgspec.json.Decoder(_Response)
_EVENT = msgspec.json.Decoder(_Event)

_ENDS = frozenset({"response.completed", "response.failed", "response.incomplete"})
_NOT_TEXT = frozenset({"response.audio.delta"})
_NO_DETAILS = _Details()


def read_chat_event(data: bytes, totals: AnswerTotals) -> None:
    """Read one event of a chat completion or a completion."""
    if data == b"[DONE]":
        totals.complete = True
        return
    chunk = _ANSWER.decode(data)
    for choice in chunk.choices or ():
        totals.output_bytes += _size(choice.delta) + utf8_size(choice.text or "")
    if chunk.usage is not None:
        totals.usage = _usage(chunk.usage)
        # Usage beside choices is a running count; the final usage comes alone.
        totals.complete = totals.complete or not chunk.choices


def read_chat_body(data: bytes, totals: AnswerTotals) -> None:
    """Read a whole chat completion, completion or list of embeddings."""
    answer = _ANSWER.decode(data)
    for choice in answer.choices or ():
        totals.output_bytes += _size(choice.message) + utf8_size(choice.text or "")
    if answer.usage is not None:
        totals.usage = _usage(answer.usage)


def read_responses_event(data: bytes, totals: AnswerTotals) -> None:
    """Read one event of a response."""
    if data == b"[DONE]":
        totals.complete = True
        return
    event = _EVENT.decode(data)
    if isinstance(event.delta, str) and event.type not in _NOT_TEXT:
        totals.output_bytes += utf8_size(event.delta)
    if event.response is not None and event.response.usage is not None:
        totals.usage = _usage(event.response.usage)
    if event.type in _ENDS:
        totals.complete = True


def read_responses_body(data: bytes, totals: AnswerTotals) -> None:
    """Add the text and usage of an unstreamed Responses answer to `totals`."""
    response = _RESPONSE.decode(data)
    for item in response.output or ():
        for text in (item.name, item.arguments, item.input, item.code):
            totals.output_bytes += utf8_size(text or "")
        totals.output_bytes += _texts_size(item.content) + _texts_size(item.summary)
    if response.usage is not None:
        totals.usage = _usage(response.usage)


def _size(message: _Delta | None) -> int:
    """Return the UTF-8 bytes of generated text in a message or a delta."""
    if message is None:
        return 0
    size = 0
    if content := message.content:
        size += utf8_size(content) if isinstance(content, str) else _texts_size(content)
    if message.reasoning_content:
        size += utf8_size(message.reasoning_content)
    elif message.reasoning:  # the same text, as newer servers name it
        size += utf8_size(message.reasoning)
    if message.refusal:
        size += utf8_size(message.refusal)
    if message.function_call is not None:
        size += _call_size(message.function_call)
    if message.tool_calls:
        size += sum(_call_size(call.function or call.custom) for call in message.tool_calls)
    return size


def _call_size(function: _Function | None) -> int:
    if function is None:
        return 0
    return sum(utf8_size(t or "") for t in (function.name, function.arguments, function.input))


def _texts_size(parts: list[_Text] | None) -> int:
    return sum(utf8_size(part.text or "") for part in parts or ())


def _usage(report: _Usage) -> Usage:
    output = tokens(report.completion_tokens) or tokens(report.output_tokens)
    total = tokens(report.total_tokens)
    prompt = tokens(report.prompt_tokens) or tokens(report.input_tokens) or max(0, total - output)
    # Some servers exclude reasoning from the output but include it in the total.
    output = max(output, total - prompt)
    read = report.prompt_tokens_details or report.input_tokens_details or _NO_DETAILS
    made = report.completion_tokens_details or report.output_tokens_details or _NO_DETAILS
    cached = min(tokens(read.cached_tokens), prompt)
    return Usage(
        input=prompt,
        cached_input=cached,
        cache_write=min(tokens(read.cache_write_tokens), prompt - cached),
        output=output,
        reasoning=min(tokens(made.reasoning_tokens) or tokens(report.reasoning_tokens), output),
    )
