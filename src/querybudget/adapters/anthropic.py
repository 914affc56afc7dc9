"""Anthropic's dialect: messages, and counting their tokens.

Anthropic's ``input_tokens`` exclude what was read from or written to the cache; `Usage.input`
includes it.
"""

from __future__ import annotations

from typing import cast

import msgspec
from msgspec import Raw

from querybudget.adapters.answer_text import json_text_size
from querybudget.adapters.base import Call, Dialect, Meter, Target, Usage
from querybudget.adapters.degrade import Members, bound, lower_effort, put, rewrite, within
from querybudget.adapters.metering import AnswerTotals, answer_meter
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
from querybudget.adapters.usage_shapes import added, larger, usage_of


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


class _Block(msgspec.Struct):
    """A block of an answer, or what one event adds to it."""

    text: str | None = None
    thinking: str | None = None
    partial_json: object = None
    name: str | None = None
    input: Raw = NOTHING


class _Answer(msgspec.Struct):
    content: list[_Block] | None = None
    usage: dict[str, object] | None = None


class _Event(msgspec.Struct):
    delta: _Block | None = None
    content_block: _Block | None = None
    message: _Answer | None = None
    usage: dict[str, object] | None = None


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
        return answer_meter(call, content_type, _read_event, _read_body, _read_event)

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
    if block is not None:
        totals.output_bytes += _size(block)
    if event.message is not None:
        _report(totals, event.message.usage)
    if event.usage is not None:
        # Only message_delta reports usage itself: all output before it.
        _report(totals, event.usage)
        totals.complete = True


def _read_body(data: bytes, totals: AnswerTotals) -> None:
    answer = _ANSWER.decode(data)
    for block in answer.content or ():
        totals.output_bytes += _size(block) + json_size(block.input)
    _report(totals, answer.usage)


def _read_count(_data: bytes, totals: AnswerTotals) -> None:
    totals.usage = Usage()


def _size(block: _Block) -> int:
    size = json_text_size(block.partial_json)
    for text in (block.text, block.thinking, block.name):
        if text:
            size += utf8_size(text)
    return size


def _report(totals: AnswerTotals, report: dict[str, object] | None) -> None:
    """Take a report. Figures are cumulative or missing, so the largest count."""
    usage = None if report is None else usage_of(report)
    if report is None or usage is None:
        return
    iterations = report.get("iterations")
    if isinstance(iterations, list):
        # What was compacted on the way is billed, and missing from the other figures.
        usage = larger(_sum(cast("list[object]", iterations)), usage)
    totals.usage = larger(totals.usage, usage)


def _sum(reports: list[object]) -> Usage | None:
    whole = None
    for report in reports:
        if isinstance(report, dict):
            usage = usage_of(cast("dict[str, object]", report))
            whole = whole if usage is None else added(whole, usage)
    return whole
