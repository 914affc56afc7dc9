"""Logs of requests and answers in OpenAI's form: JSON Lines of gateways and of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Adapter, Call, Channel, Dialect, Target, Usage
from querybudget.adapters.reading import read_call
from querybudget.traffic.log_reading import Reading
from querybudget.traffic.log_values import first, mapping, micros_of, text_of, whole
from querybudget.traffic.record import TrafficRecord, TrafficText

_REQUEST = ("request", "body", "request_body", "input_body")
_RESPONSE = ("response", "response_body", "output_body", "answer")
_TIMES = ("timestamp", "created_at", "request_created_at", "start_time", "time", "ts", "created")
_USERS = ("user", "user_id", "request_user_id", "helicone_user", "api_key", "key")
_IDS = ("request_id", "x_request_id", "custom_id", "id")
_ASKS = frozenset({"model", "messages", "prompt", "input", "contents"})
_FAILED = 400


def openai_record(line: bytes, reading: Reading) -> TrafficRecord:
    """Return the record of a line with a request, an answer, or both.

    Raises:
        ValueError: It has neither, or no time.
    """
    row = mapping(msgspec.json.decode(line))
    asked, answered = _request_in(row), _response_in(row)
    if not asked and not answered:
        raise ValueError("neither a request nor an answer")
    at = micros_of(first(row, _TIMES) or first(answered, _TIMES))
    path = text_of(row.get("url") or row.get("path")) or _path_of(asked, answered)
    call = call_of(path, asked)
    who = text_of(first(row, _USERS) or asked.get("user") or asked.get("safety_identifier"))
    status = whole(row.get("status") or row.get("status_code") or _status_in(row))
    return TrafficRecord(
        at=at,
        identity=reading.hashed("user", who) if who else "anonymous",
        request_id=text_of(first(row, _IDS) or answered.get("id"))[:128],
        path=path[:200],
        operation=call.operation,
        model=text_of(asked.get("model") or answered.get("model"))[:200],
        stream=call.stream,
        items=call.items,
        choices=call.choices,
        max_output=call.max_output,
        input_bytes=call.input_bytes,
        input_tokens=call.input_tokens,
        images=call.images,
        usage=usage_in(answered.get("usage") or row.get("usage")) if status < _FAILED else None,
        status=status,
        duration=_duration(row),
        texts=texts_of(call) if reading.prompts else (),
    )


def usage_in(found: object) -> Usage | None:
    """Return the tokens that a usage object of OpenAI or Anthropic has; None without one."""
    usage = mapping(found)
    if not usage:
        return None
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    thought = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    prompt = whole(usage.get("prompt_tokens") or usage.get("input_tokens"))
    answer = whole(usage.get("completion_tokens") or usage.get("output_tokens"))
    cached = whole(mapping(details).get("cached_tokens"))
    reasoning = whole(mapping(thought).get("reasoning_tokens"))
    return Usage(
        input=prompt,
        cached_input=min(cached, prompt),
        output=answer,
        reasoning=min(reasoning, answer),
    )


def _request_in(row: Mapping[str, Any]) -> dict[str, Any]:
    for name in _REQUEST:
        if found := mapping(row.get(name)):
            asked = mapping(found.get("body")) or found
            if not _ASKS.isdisjoint(asked):
                return asked
    asks = "model" in row and any(name in row for name in ("messages", "prompt", "input"))
    return dict(row) if asks else {}


def _response_in(row: Mapping[str, Any]) -> dict[str, Any]:
    for name in _RESPONSE:
        if found := mapping(row.get(name)):
            return mapping(found.get("body")) or found
    return dict(row) if "usage" in row and "object" in row else {}


def _status_in(row: Mapping[str, Any]) -> int:
    return whole(mapping(row.get("response")).get("status_code"))


def _path_of(asked: Mapping[str, Any], answered: Mapping[str, Any]) -> str:
    kind = text_of(answered.get("object"))
    if "messages" in asked or kind.startswith("chat"):
        return "/v1/chat/completions"
    if "prompt" in asked or kind == "text_completion":
        return "/v1/completions"
    return "/v1/responses" if kind == "response" else "/v1/embeddings"


def call_of(path: str, asked: Mapping[str, Any]) -> Call:
    """Return what a request asks; an empty body asks for nothing that is known."""
    adapter: Adapter | None = adapter_for(path, "POST", (), ())
    if adapter is None or not asked:
        return Call(Dialect.OPENAI, "other" if adapter is None else "")
    return read_call(adapter, Target(path), msgspec.json.encode(asked))


def texts_of(call: Call) -> tuple[TrafficText, ...]:
    """Return what the model read."""
    return tuple(TrafficText(one.text, fed=one.channel is Channel.FED) for one in call.segments)


def _duration(row: Mapping[str, Any]) -> int:
    milliseconds = first(row, ("latency_ms", "duration_ms", "delay_ms", "response_ms"))
    return int(float(milliseconds) * 1_000) if isinstance(milliseconds, int | float) else 0
