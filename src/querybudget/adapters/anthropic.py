"""Anthropic's dialect: messages, and counting their tokens.

Anthropic's ``input_tokens`` exclude what was read from or written to the cache; `Usage.input`
includes it.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from querybudget.adapters.base import Call, Dialect, Meter, Target, Usage
from querybudget.adapters.degrade import Members, bound, lower_effort, put, rewrite, within
from querybudget.adapters.metering import AnswerTotals, answer_meter, tokens
from querybudget.adapters.request import (
    NOTHING,
    Part,
    ask_of,
    joined,
    json_size,
    measure,
    output_bound,
    read_body,
    template_of,
    text_of,
    utf8_size,
)


class _Message(msgspec.Struct):
    role: str | None = None
    content: str | list[Part | str] | Part | None = None


class _Request(msgspec.Struct):
    messages: list[_Message]
    system: str | list[Part | str] | Part | None = None
    model: str | None = None
    stream: bool | None = None
    max_tokens: int | float | None = None
    tools: Raw = NOTHING


class _Details(msgspec.Struct):
    thinking_tokens: int | float | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | float | None = None
    cache_read_input_tokens: int | float | None = None
    cache_creation_input_tokens: int | float | None = None
    output_tokens: int | float | None = None
    output_tokens_details: _Details | None = None


class _Block(msgspec.Struct):
    """A block of an answer, or what one event adds to it."""

    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    name: str | None = None
    input: Raw = NOTHING


class _Answer(msgspec.Struct):
    content: list[_Block] | None = None
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    delta: _Block | None = None
    content_block: _Block | None = None
    message: _Answer | None = None
    usage: _Usage | None = None


_REQUEST = msgspec.json.Decoder(_Request, strict=False)
_ANSWER = msgspec.json.Decoder(_Answer)
_EVENT = msgspec.json.Decoder(_Event)


class Messages:
    """Reads Anthropic's messages: ``POST .../v1/messages``."""

    dialect: Dialect = Dialect.ANTHROPIC

    def parse(self, _target: Target, body: bytes, /) -> Call:
        request = read_body(_REQUEST, body, "a messages request")
        size, images = measure(request.system)
        for message in request.messages:
            message_size, message_images = measure(message.content)
            size += message_size
            images += message_images
        system = (text_of(request.system), template_of(request.messages))
        return Call(
            dialect=Dialect.ANTHROPIC,
            operation="messages",
            model=request.model or "",
            stream=bool(request.stream),
            max_output=output_bound(request.max_tokens),
            input_bytes=size + json_size(request.tools),
            images=images,
            template=joined([text for text in system if text]),
            ask=ask_of(request.messages),
        )

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, _read_event, _read_body)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, _less)


class CountTokens:
    """Reads ``POST .../v1/messages/count_tokens``: no model reads the prompt, so no tokens."""

    dialect: Dialect = Dialect.ANTHROPIC

    def parse(self, _target: Target, body: bytes, /) -> Call:
        request = read_body(_REQUEST, body, "a request to count tokens")
        return Call(
            dialect=Dialect.ANTHROPIC,
            operation="count_tokens",
            model=request.model or "",
            generates=False,
        )

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, _read_count, _read_count)

    def degrade(self, body: bytes, /) -> bytes:
        return body  # no model answers it


def _less(members: Members) -> None:
    bound(members, "max_tokens", otherwise="max_tokens")
    put(members, "thinking", b'{"type":"disabled"}')
    within(members, "output_config", _less_effort)


def _less_effort(settings: Members) -> None:
    lower_effort(settings, "effort")


def _read_event(data: bytes, totals: AnswerTotals) -> None:
    event = _EVENT.decode(data)
    block = event.delta or event.content_block
    if block is not None and (size := _size(block)):
        totals.output_bytes += size
        totals.complete = False
    if event.message is not None and event.message.usage is not None:
        totals.usage = _merged(totals.usage, event.message.usage)
    if event.usage is not None:
        # Only message_delta reports usage itself: all output before it.
        totals.usage = _merged(totals.usage, event.usage)
        totals.complete = True


def _read_body(data: bytes, totals: AnswerTotals) -> None:
    answer = _ANSWER.decode(data)
    for block in answer.content or ():
        totals.output_bytes += _size(block) + json_size(block.input)
    if answer.usage is not None:
        totals.usage = _merged(None, answer.usage)


def _read_count(_data: bytes, totals: AnswerTotals) -> None:
    totals.usage = Usage()


def _size(block: _Block) -> int:
    size = 0
    for text in (block.text, block.thinking, block.partial_json, block.name):
        if text:
            size += utf8_size(text)
    return size


def _merged(before: Usage | None, report: _Usage) -> Usage:
    """Merge a report into earlier usage. Figures are cumulative or missing, so none decreases."""
    before = before or Usage()
    read = max(before.cached_input, tokens(report.cache_read_input_tokens))
    written = max(before.cache_write, tokens(report.cache_creation_input_tokens))
    plain = before.input - before.cached_input - before.cache_write
    output = max(before.output, tokens(report.output_tokens))
    details = report.output_tokens_details
    thinking = tokens(details.thinking_tokens) if details is not None else 0
    return Usage(
        input=max(plain, tokens(report.input_tokens)) + read + written,
        cached_input=read,
        cache_write=written,
        output=output,
        reasoning=min(max(before.reasoning, thinking), output),
    )
