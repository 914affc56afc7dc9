"""Anthropic's dialect: messages, and counting their tokens.

Anthropic's ``input_tokens`` exclude what was read from or written to the cache; `Usage.input`
includes it.
"""

from __future__ import annotations

from typing import cast

import msgspec
from msgspec import Raw

from querybudget.adapters.answer_text import json_text_size
from querybudget.adapters.any_answer import read_foreign
from querybudget.adapters.base import Call, Dialect, Meter, Target, Usage
from querybudget.adapters.combined import copied
from querybudget.adapters.content import converse, measure, text_of
from querybudget.adapters.degrade import Members, bound, lower_effort, put, rewrite, single, within
from querybudget.adapters.metering import AnswerTotals, answer_meter
from querybudget.adapters.model_names import models_in
from querybudget.adapters.request import (
    COUNTS,
    LIMITS,
    NOTHING,
    Request,
    joined,
    json_size,
    read_request,
    utf8_size,
)
from querybudget.adapters.segments import add_texts
from querybudget.adapters.usage_shapes import usage_of
from querybudget.adapters.usage_sums import added, larger


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


_ANSWER = msgspec.json.Decoder(_Answer)
_EVENT = msgspec.json.Decoder(_Event)


class Messages:
    """Reads Anthropic's messages: ``POST .../v1/messages``."""

    dialect: Dialect = Dialect.ANTHROPIC

    def parse(self, target: Target, body: bytes, /) -> Call:
        return messages_call(target, read_request(body, "a messages request"))

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, _read_event, _read_body, _read_event)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, _less)


class CountTokens:
    """Reads ``POST .../v1/messages/count_tokens``: no model reads the prompt, so no tokens."""

    dialect: Dialect = Dialect.ANTHROPIC

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_request(body, "a request to count tokens")
        request.array("messages")
        models = models_in(target, request)
        return Call(
            dialect=Dialect.ANTHROPIC,
            operation="count_tokens",
            model=models.first,
            other_models=models.others,
            generates=False,
        )

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, _read_count, _read_count)

    def degrade(self, body: bytes, /) -> bytes:
        return body  # no model answers it


def messages_call(target: Target, request: Request) -> Call:
    """Return what a request of messages asks, or one of a batch of them.

    Raises:
        BodyError: It has no array of messages, or one that only some servers read.
    """
    said, prompt = request.array("messages"), request.value("system")
    messages = converse(said)
    size, images = measure(prompt)
    models = models_in(target, request)
    call = Call(
        dialect=Dialect.ANTHROPIC,
        operation="messages",
        model=models.first,
        other_models=models.others,
        any_model=not models.first,
        stream=request.flag("stream"),
        ambiguous=request.ambiguous("stream"),
        choices=request.choices(),
        max_output=request.bound(),
        input_bytes=size + messages.size + request.size("tools"),
        images=images + messages.images,
        template=joined([text for text in (text_of(prompt), messages.template) if text]),
    )
    add_texts(call, target, request, messages=said, system=prompt)
    return copied(call, models.copies)


def _less(members: Members) -> None:
    single(members, *COUNTS)
    bound(members, *LIMITS)
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
    elif block is None and event.message is None:
        read_foreign(data, totals)


def _read_body(data: bytes, totals: AnswerTotals) -> None:
    answer = _ANSWER.decode(data)
    for block in answer.content or ():
        totals.output_bytes += _size(block) + json_size(block.input)
    if answer.content is None and answer.usage is None:
        read_foreign(data, totals)
    _report(totals, answer.usage)


def _read_count(_data: bytes, totals: AnswerTotals) -> None:
    totals.usage = Usage()


def _size(block: _Block) -> int:
    size = json_text_size(block.partial_json)
    for text in (block.text, block.thinking, block.name):
        if text:
            size += utf8_size(text)
    return size


def reported(report: dict[str, object]) -> Usage | None:
    """Return the usage of a message in one report; None if it has no figure."""
    usage = usage_of(report)
    iterations = report.get("iterations")
    if usage is not None and isinstance(iterations, list):
        # What was compacted on the way is billed, and missing from the other figures.
        usage = larger(_sum(cast("list[object]", iterations)), usage)
    return usage


def _report(totals: AnswerTotals, report: dict[str, object] | None) -> None:
    """Take a report. Figures are cumulative or missing, so the largest count."""
    usage = None if report is None else reported(report)
    if usage is not None:
        totals.usage = larger(totals.usage, usage)


def _sum(reports: list[object]) -> Usage | None:
    whole = None
    for report in reports:
        if isinstance(report, dict):
            usage = usage_of(cast("dict[str, object]", report))
            whole = whole if usage is None else added(whole, usage)
    return whole
