"""Usage in answers of OpenAI's dialect: JSON bodies and server-sent events.

They are those of chat completions, completions and embeddings.
Usage is in a last event of its own, in every event (the largest figures count) or in the body.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import msgspec
from msgspec.structs import astuple

from querybudget.adapters.answer_text import json_text_size, text_size
from querybudget.adapters.answer_totals import AnswerTotals
from querybudget.adapters.any_answer import read_foreign
from querybudget.adapters.base import Usage
from querybudget.adapters.request import utf8_size
from querybudget.adapters.usage_shapes import (
    MAX_TOKENS,
    tokens,
    usage_in,
    usage_of,
    usage_of_parts,
)
from querybudget.adapters.usage_sums import added, larger, sum_of_parts


class _Details(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class _Usage(msgspec.Struct, forbid_unknown_fields=True):
    """The plain report of a chat completion.

    One that has other members, or figures of other types, is read by the table of `usage_shapes`.
    """

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: object = None
    input: object = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None
    custom: _Function | None = None


class Text(msgspec.Struct):
    """A part of an answer that may hold text."""

    text: str | None = None


class _Delta(msgspec.Struct):
    """A message of an answer, or what one event adds to it."""

    role: object = None
    usage: object = None
    content: str | list[Text] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None
    finish_reason: object = None
    usage: object = None
    token_ids: object = None


class _Answer(msgspec.Struct, rename={"bedrock": "amazon-bedrock-invocationMetrics"}):
    """An answer or an event, and the members in which vendors report usage."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    x_groq: object = None
    timings: object = None
    bedrock: object = None
    meta: object = None
    meta_info: object = None
    usageMetadata: object = None  # noqa: N815 - Gemini's name
    usage_metadata: object = None


_NOWHERE_ELSE = (None,) * (len(_Answer.__struct_fields__) - 2)
"""The members beside ``choices`` and ``usage`` that may report usage, if none is there."""


class _LooseAnswer(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, object] | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_LOOSE_ANSWER = msgspec.json.Decoder(_LooseAnswer)
_OBJECT: msgspec.json.Decoder[dict[str, object]] = msgspec.json.Decoder(dict[str, object])

_NO_DETAILS = _Details()


def read_chat_event(data: bytes, totals: AnswerTotals) -> None:
    """Read one event of a chat completion or a completion."""
    if data == b"[DONE]":
        totals.complete = True
        return
    choices, usage, elsewhere = _decode(data)
    if choices is None and usage is None:
        read_foreign(data, totals)
        return
    ended, within = _add_choices(choices or (), data, totals)
    if usage is not None:
        take_report(totals, usage)
    found = (elsewhere or within) and _report_elsewhere(data, totals)
    if usage is not None or found:
        # Usage beside unfinished choices is a running count.
        totals.complete = totals.complete or ended or not choices


def _add_choices(
    choices: Sequence[_Choice], data: bytes, totals: AnswerTotals
) -> tuple[bool, bool]:
    """Add the text of an event; return whether a choice ends, and whether one reports usage."""
    ended, within, text = False, False, 0
    for choice in choices:
        text += _choice_size(choice)
        if choice.finish_reason is not None:
            ended = True
        if choice.usage is not None or (choice.delta and choice.delta.usage is not None):
            within = True
        if choice.token_ids is not None:
            within = _count_ids(choice.token_ids, totals) or within
    if text:
        totals.output_bytes += text
    elif choices and not ended and not _is_empty(choices):
        totals.output_bytes += any_text(data, "choices")
    return ended, within


def read_chat_body(data: bytes, totals: AnswerTotals) -> None:
    """Read a whole chat completion, completion or list of embeddings."""
    choices, usage, elsewhere = _decode(data)
    if choices is None and usage is None:
        read_foreign(data, totals)
        return
    text = 0
    for choice in choices or ():
        text += _choice_size(choice)
        if choice.token_ids is not None:
            _count_ids(choice.token_ids, totals)
    if choices and not text:
        text = any_text(data, "choices")
    totals.output_bytes += text
    if usage is not None:
        take_report(totals, usage)
    if usage is None or elsewhere:
        _report_elsewhere(data, totals)


def read_chat_element(data: bytes, totals: AnswerTotals) -> None:
    """Read an element of an array: an event, or one of several whole answers, which add up.

    A gateway that asks several models answers an array of what they said.
    """
    if any(choice.delta is not None for choice in _decode(data)[0] or ()):
        read_chat_event(data, totals)
        return
    answer = AnswerTotals()
    read_chat_body(data, answer)
    totals.output_bytes += answer.output_bytes
    if answer.usage is not None:
        totals.usage = added(totals.usage, answer.usage)
    totals.complete = True


def _decode(data: bytes) -> tuple[Sequence[_Choice] | None, Usage | None, bool]:
    """Return the choices of an event or a body, its ``usage``, and whether others may report it."""
    try:
        plain = _ANSWER.decode(data)
    except msgspec.ValidationError:
        loose = _LOOSE_ANSWER.decode(data)
        usage = None if loose.usage is None else usage_of(loose.usage)
        return loose.choices, usage, True
    usage = None if plain.usage is None else _usage(plain.usage)
    return plain.choices, usage, astuple(plain)[2:] != _NOWHERE_ELSE


def _count_ids(token_ids: object, totals: AnswerTotals) -> bool:
    """Count generated tokens that a choice gives as ids; return False if it gives none."""
    if not isinstance(token_ids, list):
        return False
    totals.token_ids += len(cast("list[object]", token_ids))
    return totals.token_ids > 0


def take_report(totals: AnswerTotals, usage: Usage) -> None:
    """Add a report to what the same answer has reported: the larger of each figure counts."""
    totals.usage = usage if totals.usage is None else larger(totals.usage, usage)


def _report_elsewhere(data: bytes, totals: AnswerTotals) -> bool:
    """Take usage from wherever else it is in an event; return False if there is none."""
    document = _OBJECT.decode(data)
    usage = usage_in(document)
    if usage is None and totals.token_ids:
        usage = Usage(output=totals.token_ids)
    if usage is None:
        return False
    for index, part in usage_of_parts(document):
        totals.parts[index] = larger(totals.parts.get(index), part)
    if totals.parts:
        usage = larger(usage, sum_of_parts(totals.parts))
    take_report(totals, usage)
    return True


def _is_empty(choices: Iterable[_Choice]) -> bool:
    """Return True if choices say that they have no text, as those of the first event do."""
    for choice in choices:
        delta = choice.delta
        if delta is not None and (delta.role is not None or delta.content is not None):
            return True
    return False


def any_text(data: bytes, member: str) -> int:
    """Return the size of text under names that are not declared."""
    return text_size(_OBJECT.decode(data).get(member))


def _choice_size(choice: _Choice) -> int:
    delta, message = choice.delta, choice.message
    size = 0 if delta is None else _size(delta)
    if message is not None:
        size += _size(message)
    return size + utf8_size(choice.text) if choice.text else size


def _size(message: _Delta) -> int:
    """Return the UTF-8 bytes of generated text in a message or a delta."""
    size = 0
    if content := message.content:
        size += utf8_size(content) if isinstance(content, str) else texts_size(content)
    # The same text, as servers name it.
    if reasoning := message.reasoning_content or message.reasoning or message.thinking:
        size += utf8_size(reasoning)
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
    return (
        utf8_size(function.name or "")
        + json_text_size(function.arguments)
        + json_text_size(function.input)
    )


def texts_size(parts: list[Text] | None) -> int:
    """Return the UTF-8 bytes of the texts in parts."""
    return sum(utf8_size(part.text or "") for part in parts or ())


def _usage(report: _Usage) -> Usage:
    prompt, output, total = report.prompt_tokens, report.completion_tokens, report.total_tokens
    read, made = report.prompt_tokens_details, report.completion_tokens_details
    if (
        read is None
        and made is None
        and prompt > 0 <= output
        and prompt + output == total <= MAX_TOKENS
    ):
        return Usage(prompt, 0, 0, output)  # as most reports are
    output, total = tokens(output), tokens(total)
    prompt = tokens(prompt) or max(0, total - output)
    # Some servers exclude reasoning from the output but include it in the total.
    output = max(output, total - prompt)
    if read is None and made is None:
        return Usage(prompt, 0, 0, output)
    read, made = read or _NO_DETAILS, made or _NO_DETAILS
    if output and tokens(made.reasoning_tokens) > output:  # which excludes it
        output += tokens(made.reasoning_tokens)
    return Usage(
        input=prompt,
        cached_input=min(tokens(read.cached_tokens), prompt),
        output=output,
        reasoning=min(tokens(made.reasoning_tokens), output),
        audio_input=min(tokens(read.audio_tokens), prompt),
        audio_output=min(tokens(made.audio_tokens), output),
    )
