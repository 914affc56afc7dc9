"""How a model server answers, in each dialect: whole bodies, and the events of a stream. Pure.

An event is its bytes and whether it carries a piece of the answer's text: replies count those.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from querybudget.adapters.base import Usage
from querybudget.testing.fake_model.reply import Reply

__all__ = [
    "Event",
    "chat",
    "chat_events",
    "completion",
    "completion_events",
    "embeddings",
    "failure",
    "failure_event",
    "message",
    "message_events",
    "models",
    "pieces",
    "response",
    "response_events",
]

Event = tuple[bytes, bool]

CREATED = 1_700_000_000
DONE = b"data: [DONE]\n\n"


def chat(asked: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """An OpenAI chat completion."""
    content: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tools:
        calls = [_openai_tool(at, *tool) for at, tool in enumerate(reply.tools)]
        content |= {"content": None, "tool_calls": calls}
    choices = [
        {"index": at, "message": content, "logprobs": None, "finish_reason": _finish(reply)}
        for at in range(asked.get("n") or 1)
    ]
    whole = {"id": "chatcmpl-fake", "object": "chat.completion", "created": CREATED}
    return {**whole, "model": _model(asked), "choices": choices, **_openai_usage(reply.usage)}


def chat_events(asked: Mapping[str, Any], reply: Reply) -> Iterator[Event]:
    """The same as server-sent events, with a last one for usage where it was asked for."""
    frame = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": CREATED}
    frame["model"] = _model(asked)
    choices = range(asked.get("n") or 1)

    def event(at: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": at, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data({**frame, "choices": [choice]})

    for at in choices:
        yield event(at, {"role": "assistant", "content": ""}), False
    for delta in _chat_deltas(reply):
        for at in choices:
            yield event(at, delta), True
    for at in choices:
        yield event(at, {}, _finish(reply)), False
    if _wants_usage(asked) and reply.usage:
        yield _data({**frame, "choices": [], **_openai_usage(reply.usage)}), False
    yield DONE, False


def completion(asked: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """An OpenAI text completion: one choice for each prompt and ``n``."""
    count = len(_inputs(asked.get("prompt"))) * (asked.get("n") or 1)
    choices = [
        {"index": at, "text": reply.text, "logprobs": None, "finish_reason": "stop"}
        for at in range(count)
    ]
    whole = {"id": "cmpl-fake", "object": "text_completion", "created": CREATED}
    return {**whole, "model": _model(asked), "choices": choices, **_openai_usage(reply.usage)}


def completion_events(asked: Mapping[str, Any], reply: Reply) -> Iterator[Event]:
    """The same as server-sent events."""
    frame = {"id": "cmpl-fake", "object": "text_completion", "created": CREATED}
    frame["model"] = _model(asked)
    for piece in pieces(reply.text, reply.chunks):
        choice = {"index": 0, "text": piece, "logprobs": None, "finish_reason": None}
        yield _data({**frame, "choices": [choice]}), True
    last = {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}
    yield _data({**frame, "choices": [last]}), False
    if _wants_usage(asked) and reply.usage:
        yield _data({**frame, "choices": [], **_openai_usage(reply.usage)}), False
    yield DONE, False


def embeddings(asked: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """One small vector for each input, in the encoding asked for."""
    vector: Any = [0.5, -0.5, 0.5, -0.5]
    if asked.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<4f", *vector)).decode()
    rows = [
        {"object": "embedding", "index": at, "embedding": vector}
        for at in range(len(_inputs(asked.get("input"))))
    ]
    whole: dict[str, Any] = {"object": "list", "data": rows, "model": _model(asked)}
    if reply.usage:
        whole["usage"] = {"prompt_tokens": reply.usage.input, "total_tokens": reply.usage.input}
    return whole


def models() -> dict[str, Any]:
    """The list of models."""
    model = {"id": "fake-model", "object": "model", "created": CREATED, "owned_by": "querybudget"}
    return {"object": "list", "data": [model]}


def response(asked: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """An OpenAI response."""
    return _response(asked, "completed", _response_items(reply), reply.usage)


def response_events(asked: Mapping[str, Any], reply: Reply) -> Iterator[Event]:
    """The same as server-sent events: its text piece by piece, and usage in the last event."""
    number = 0

    def event(kind: str, **members: Any) -> bytes:  # noqa: ANN401 - whatever JSON holds
        nonlocal number
        number += 1
        return _named({"type": kind, "sequence_number": number - 1, **members})

    yield event("response.created", response=_response(asked, "in_progress", [], None)), False
    for at, item in enumerate(_response_items(reply)):
        place = {"output_index": at, "item_id": item["id"]}
        yield event("response.output_item.added", output_index=at, item=_begun(item)), False
        if item["type"] == "message":
            spot = {**place, "content_index": 0}
            part = item["content"][0]
            yield event("response.content_part.added", part={**part, "text": ""}, **spot), False
            for piece in pieces(reply.text, reply.chunks):
                delta = event("response.output_text.delta", delta=piece, logprobs=[], **spot)
                yield delta, True
            done = event("response.output_text.done", text=reply.text, logprobs=[], **spot)
            yield done, False
            yield event("response.content_part.done", part=part, **spot), False
        else:
            for piece in pieces(item["arguments"], reply.chunks):
                yield event("response.function_call_arguments.delta", delta=piece, **place), True
        yield event("response.output_item.done", output_index=at, item=item), False
    yield event("response.completed", response=response(asked, reply)), False


def message(asked: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """An Anthropic message."""
    content = [{"type": "text", "text": reply.text}]
    if reply.tools:
        content = [_anthropic_tool(at, *tool) for at, tool in enumerate(reply.tools)]
    stop = "tool_use" if reply.tools else "end_turn"
    return _message(asked, content, stop, reply.usage)


def message_events(asked: Mapping[str, Any], reply: Reply) -> Iterator[Event]:
    """The same as server-sent events: input usage in the first, output usage near the end."""
    early = reply.usage and msgspec.structs.replace(reply.usage, output=1)
    start = {"type": "message_start", "message": _message(asked, [], None, early)}
    yield _named(start), False
    whole = message(asked, reply)
    for at, block in enumerate(whole["content"]):
        kind, member, text = "text_delta", "text", reply.text
        empty: dict[str, Any] = {"text": ""}
        if block["type"] == "tool_use":
            kind, member, text = "input_json_delta", "partial_json", reply.tools[at][1]
            empty = {"input": {}}
        begun = {"type": "content_block_start", "index": at, "content_block": {**block, **empty}}
        yield _named(begun), False
        for piece in pieces(text, reply.chunks):
            delta = {"type": kind, member: piece}
            yield _named({"type": "content_block_delta", "index": at, "delta": delta}), True
        yield _named({"type": "content_block_stop", "index": at}), False
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    used = {"usage": {"output_tokens": reply.usage.output}} if reply.usage else {}
    yield _named({"type": "message_delta", "delta": end, **used}), False
    yield _named({"type": "message_stop"}), False


def failure(status: int, *, anthropic: bool) -> dict[str, Any]:
    """The body of an answer that says no."""
    words = f"the fake model was told to answer {status}"
    if anthropic:
        return {"type": "error", "error": {"type": "api_error", "message": words}}
    return {"error": {"message": words, "type": "fake_error", "param": None, "code": None}}


def failure_event(*, anthropic: bool) -> bytes:
    """An event that ends a stream saying what went wrong."""
    body = failure(500, anthropic=anthropic)
    return _named(body) if anthropic else _data(body)


def pieces(text: str, count: int) -> list[str]:
    """`text` in `count` pieces of about the same size; fewer where it is shorter."""
    size = max(1, -(-len(text) // max(1, count)))
    return [text[at : at + size] for at in range(0, len(text), size)]


def _chat_deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    if not reply.tools:
        for piece in pieces(reply.text, reply.chunks):
            yield {"content": piece}
        return
    for at, (name, arguments) in enumerate(reply.tools):
        begun = {"index": at, **_openai_tool(at, name, "")}
        yield {"tool_calls": [begun]}
        for piece in pieces(arguments, reply.chunks):
            yield {"tool_calls": [{"index": at, "function": {"arguments": piece}}]}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.tools else "stop"


def _openai_tool(at: int, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{at}", "type": "function", "function": function}


def _anthropic_tool(at: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": f"toolu_{at}",
        "name": name,
        "input": msgspec.json.decode(arguments),
    }


def _openai_usage(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    return {
        "usage": {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cached_input},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        }
    }


def _response(
    asked: Mapping[str, Any], status: str, output: Sequence[Any], usage: Usage | None
) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": "resp_fake",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": _model(asked),
        "output": output,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": asked.get("tools") or [],
        "top_p": 1.0,
        "usage": None,
    }
    if usage is not None:
        whole["usage"] = {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached_input},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        }
    return whole


def _response_items(reply: Reply) -> list[dict[str, Any]]:
    if not reply.tools:
        part: dict[str, Any] = {
            "type": "output_text",
            "text": reply.text,
            "annotations": [],
            "logprobs": [],
        }
        kind = {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed"}
        return [{**kind, "content": [part]}]
    return [
        {
            "type": "function_call",
            "id": f"fc_{at}",
            "call_id": f"call_{at}",
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        for at, (name, arguments) in enumerate(reply.tools)
    ]


def _begun(item: Mapping[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
    return {**item, "status": "in_progress", **empty}


def _message(
    asked: Mapping[str, Any], content: Sequence[Any], stop: str | None, usage: Usage | None
) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": _model(asked),
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }
    if usage is not None:
        whole["usage"] = {
            # Anthropic counts what was cached beside the input, not in it.
            "input_tokens": usage.input - usage.cached_input - usage.cache_write,
            "cache_read_input_tokens": usage.cached_input,
            "cache_creation_input_tokens": usage.cache_write,
            "output_tokens": usage.output,
        }
    return whole


def _model(asked: Mapping[str, Any]) -> str:
    return str(asked.get("model") or "fake-model")


def _wants_usage(asked: Mapping[str, Any]) -> bool:
    options: Mapping[str, Any] = asked.get("stream_options") or {}
    return bool(options.get("include_usage"))


def _inputs(value: Any) -> list[Any]:  # noqa: ANN401 - whatever JSON holds
    """An array of texts, or of token arrays, is many; one text or one token array is one."""
    if not isinstance(value, list):
        return [value]
    values: list[Any] = [*value]
    return [values] if values and isinstance(values[0], int) else values


def _data(body: Mapping[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _named(body: Mapping[str, Any]) -> bytes:
    return f"event: {body['type']}\n".encode() + _data(body)
