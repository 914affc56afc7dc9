"""Usage in answers of OpenAI's Responses API: JSON bodies and server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from querybudget.adapters.answer_text import json_text_size
from querybudget.adapters.answer_totals import AnswerTotals
from querybudget.adapters.any_answer import read_foreign
from querybudget.adapters.base import Usage
from querybudget.adapters.openai_usage import Text, any_text, take_report, texts_size
from querybudget.adapters.request import NOTHING, json_size, utf8_size
from querybudget.adapters.usage_shapes import usage_of


class _Item(msgspec.Struct):
    """An item of a response's output: a message, reasoning or a tool call."""

    type: object = None
    action: object = None
    content: list[Text] | None = None
    summary: list[Text] | None = None
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


_RESPONSE = msgspec.json.Decoder(_Response)
_EVENT = msgspec.json.Decoder(_Event)
_OUTPUT = msgspec.json.Decoder(list[_Item])

_ENDS = frozenset({"response.completed", "response.failed", "response.incomplete"})
_SEARCH = b"web_search_call"
_NOT_TEXT = frozenset({"response.audio.delta", "response.shell_call_output_content.delta"})


def read_responses_event(data: bytes, totals: AnswerTotals) -> None:
    """Read one event of a response."""
    if data == b"[DONE]":
        totals.complete = True
        return
    event = _EVENT.decode(data)
    kind = event.type or ""
    if not kind.startswith("response."):
        if event.response is None and kind != "error":
            read_foreign(data, totals)
    elif event.delta is not None and kind not in _NOT_TEXT:
        totals.output_bytes += json_text_size(event.delta)
    ended = kind in _ENDS
    if event.response is not None:
        _read_state(event.response, totals, ended=ended)
    totals.complete = totals.complete or ended


def read_responses_body(data: bytes, totals: AnswerTotals) -> None:
    """Read the text and usage of an unstreamed answer of the Responses API."""
    response = _RESPONSE.decode(data)
    if response.output is None and response.usage is None and response.status is None:
        read_foreign(data, totals)
        return
    text = sum(map(_item_size, response.output or ()))
    if not text and response.output:
        text = any_text(data, "output")
    totals.output_bytes += text
    _note_state(response, totals)
    if response.usage is not None and (usage := usage_of(response.usage)) is not None:
        take_report(totals, _with_searches(usage, response.output or ()))


def _read_state(response: _ResponseState, totals: AnswerTotals, *, ended: bool) -> None:
    _note_state(response, totals)
    usage = None if response.usage is None else usage_of(response.usage)
    items: Iterable[_Item] = ()
    if (
        ended
        and json_size(response.output)
        and (usage is None or _SEARCH in bytes(response.output))
    ):
        items = _OUTPUT.decode(response.output)
    if usage is not None:
        take_report(totals, _with_searches(usage, items))
    elif items:
        # No report: the output that the last event repeats is all there was, streamed or not.
        totals.output_bytes = max(totals.output_bytes, sum(map(_item_size, items)))


def _with_searches(usage: Usage, items: Iterable[_Item]) -> Usage:
    """Add the web searches that a response lists among its output, and its usage leaves out."""
    searches = sum(map(_searches, items))
    return replace(usage, searches=max(usage.searches, searches)) if searches else usage


def _searches(item: _Item) -> int:
    if item.type != "web_search_call":
        return 0
    action = item.action
    # Opening a page that was found, or finding a text in it, is no search.
    kind = cast("Mapping[str, object]", action).get("type") if isinstance(action, dict) else None
    return kind in {None, "search"}


def _note_state(response: _Response | _ResponseState, totals: AnswerTotals) -> None:
    totals.answer_id = response.id or totals.answer_id
    totals.status = response.status or totals.status


def _item_size(item: _Item) -> int:
    size = utf8_size(item.name or "") + utf8_size(item.code or "")
    size += json_text_size(item.arguments) + json_text_size(item.input)
    return size + texts_size(item.content) + texts_size(item.summary)
