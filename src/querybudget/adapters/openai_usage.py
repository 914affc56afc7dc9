"""Usage in answers of OpenAI's dialect: JSON bodies and server-sent events.

One pair of functions reads chat completions, completions and embeddings, another reads responses.
Usage is in a last event of its own, in every event (the largest figures count) or in the body.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import astuple

from querybudget.adapters.answer_text import json_text_size, text_size
from querybudget.adapters.answer_totals import AnswerTotals
from querybudget.adapters.base import Usage
from querybudget.adapters.request import NOTHING, json_size, utf8_size
from querybudget.adapters.usage_shapes import (
    MAX_TOKENS,
    added,
    larger,
    sum_of_parts,
    tokens,
    usage_in,
    usage_of,
    usage_of_parts,
)


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


class _Text(msgspec.Struct):
    text: str | None = None


class _Delta(msgspec.Struct):
    """A message of an answer, or what one event adds to it."""

    role: object = None
    usage: object = None
    content: str | list[_Text] | None = None
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

    @property
    def reports_elsewhere(self) -> bool:
        """Whether usage may be in another member than ``usage``."""
        absent = astuple(self).count(None) - (self.choices is None) - (self.usage is None)
        return absent < _OTHER_PLACES


_OTHER_PLACES = len(_Answer.__struct_fields__) - 2


class _LooseAnswer(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, object] | None = None


class _Item(msgspec.Struct):
    """An item of a response's output: a message, reasoning or a tool call."""

    content: list[_Text] | None = None
    summary: list[_Text] | None = None
    name: str | None = None
    arguments: object = None
    input: object = None
    code: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    status: str | None = None
    output: list[_Item] | None = None
    usage: dict[str, object] | None = None


class _ResponseState(msgspec.Struct):
    id: str | None = None
    status: str | None = None
    output: Raw = NOTHING
    usage: dict[str, object] | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    delta: object = None
    response: _ResponseState | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_LOOSE_ANSWER = msgspec.json.Decoder(_LooseAnswer)
_RESPONSE = msgspec.json.Decoder(_Response)
_EVENT = msgspec.json.Decoder(_Event)
_OUTPUT = msgspec.json.Decoder(list[_Item])
_OBJECT: msgspec.json.Decoder[dict[str, object]] = msgspec.json.Decoder(dict[str, object])

_ENDS = frozenset({"response.completed", "response.failed", "response.incomplete"})
UNFINISHED = frozenset({"queued", "in_progress"})
"""States of a response that is still being made."""
FINISHED = frozenset({"completed", "failed", "cancelled", "incomplete"})
"""States in which a response stays."""
_NOT_TEXT = frozenset({"response.audio.delta", "response.shell_call_output_content.delta"})
_NO_DETAILS = _Details()


def read_chat_event(data: bytes, totals: AnswerTotals) -> None:
    """Read one event of a chat completion or a completion."""
    if data == b"[DONE]":
        totals.complete = True
        return
    choices, usage, elsewhere = _decode(data)
    ended, text = False, 0
    for choice in choices:
        text += _choice_size(choice)
        if choice.finish_reason is not None:
            ended = True
        if choice.usage is not None or (choice.delta and choice.delta.usage is not None):
            elsewhere = True
    if text:
        totals.output_bytes += text
    elif choices and not ended and not _is_empty(choices):
        totals.output_bytes += _any_text(data, "choices")
    if usage is not None:
        _report(totals, usage)
    elif not (elsewhere and _report_elsewhere(data, totals)):
        return
    # Usage beside unfinished choices is a running count.
    totals.complete = totals.complete or ended or not choices


def read_chat_body(data: bytes, totals: AnswerTotals) -> None:
    """Read a whole chat completion, completion or list of embeddings."""
    choices, usage, _ = _decode(data)
    text = 0
    for choice in choices:
        text += _choice_size(choice)
    if choices and not text:
        text = _any_text(data, "choices")
    totals.output_bytes += text
    if usage is not None:
        _report(totals, usage)
    else:
        _report_elsewhere(data, totals)


def read_chat_element(data: bytes, totals: AnswerTotals) -> None:
    """Read an element of an array: an event, or one of several whole answers, which add up.

    A gateway that asks several models answers an array of what they said.
    """
    if any(choice.delta is not None for choice in _decode(data)[0]):
        read_chat_event(data, totals)
        return
    answer = AnswerTotals()
    read_chat_body(data, answer)
    totals.output_bytes += answer.output_bytes
    if answer.usage is not None:
        totals.usage = added(totals.usage, answer.usage)
    totals.complete = True


def _decode(data: bytes) -> tuple[Sequence[_Choice], Usage | None, bool]:
    """Return the choices of an event or a body, its ``usage``, and whether others may report it."""
    try:
        plain = _ANSWER.decode(data)
    except msgspec.ValidationError:
        loose = _LOOSE_ANSWER.decode(data)
        usage = None if loose.usage is None else usage_of(loose.usage)
        return loose.choices or (), usage, True
    if plain.usage is not None:
        return plain.choices or (), _usage(plain.usage), False
    return plain.choices or (), None, plain.reports_elsewhere


def read_responses_event(data: bytes, totals: AnswerTotals) -> None:
    """Read one event of a response."""
    if data == b"[DONE]":
        totals.complete = True
        return
    event = _EVENT.decode(data)
    if event.delta is not None and event.type not in _NOT_TEXT:
        totals.output_bytes += json_text_size(event.delta)
    response = event.response
    ended = event.type in _ENDS
    if response is not None:
        _note_state(response, totals)
        if response.usage is not None and (usage := usage_of(response.usage)) is not None:
            _report(totals, usage)
        elif ended and json_size(response.output):
            # No report: the output that the last event repeats is all there was, streamed or not.
            whole = sum(map(_item_size, _OUTPUT.decode(response.output)))
            totals.output_bytes = max(totals.output_bytes, whole)
    totals.complete = totals.complete or ended


def read_responses_body(data: bytes, totals: AnswerTotals) -> None:
    """Read the text and usage of an unstreamed answer of the Responses API."""
    response = _RESPONSE.decode(data)
    text = sum(map(_item_size, response.output or ()))
    if not text and response.output:
        text = _any_text(data, "output")
    totals.output_bytes += text
    _note_state(response, totals)
    if response.usage is not None and (usage := usage_of(response.usage)) is not None:
        _report(totals, usage)


def _note_state(response: _Response | _ResponseState, totals: AnswerTotals) -> None:
    totals.answer_id = response.id or totals.answer_id
    totals.status = response.status or totals.status


def _report(totals: AnswerTotals, usage: Usage) -> None:
    totals.usage = usage if totals.usage is None else larger(totals.usage, usage)


def _report_elsewhere(data: bytes, totals: AnswerTotals) -> bool:
    """Take usage from wherever else it is in an event; return False if there is none."""
    document = _OBJECT.decode(data)
    usage = usage_in(document)
    if usage is None:
        return False
    for index, part in usage_of_parts(document):
        totals.parts[index] = larger(totals.parts.get(index), part)
    if totals.parts:
        usage = larger(usage, sum_of_parts(totals.parts))
    _report(totals, usage)
    return True


def _is_empty(choices: Iterable[_Choice]) -> bool:
    """Return True if choices say that they have no text, as those of the first event do."""
    for choice in choices:
        delta = choice.delta
        if delta is not None and (delta.role is not None or delta.content is not None):
            return True
    return False


def _any_text(data: bytes, member: str) -> int:
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
        size += utf8_size(content) if isinstance(content, str) else _texts_size(content)
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


def _item_size(item: _Item) -> int:
    size = utf8_size(item.name or "") + utf8_size(item.code or "")
    size += json_text_size(item.arguments) + json_text_size(item.input)
    return size + _texts_size(item.content) + _texts_size(item.summary)


def _texts_size(parts: list[_Text] | None) -> int:
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
    return Usage(
        input=prompt,
        cached_input=min(tokens(read.cached_tokens), prompt),
        output=output,
        reasoning=min(tokens(made.reasoning_tokens), output),
        audio_input=min(tokens(read.audio_tokens), prompt),
        audio_output=min(tokens(made.audio_tokens), output),
    )
