"""The answers of a model server in each dialect: whole bodies, and the events of a stream.

Pure. An event is its bytes, and whether it carries a piece of the answer's text.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from querybudget.adapters.base import Usage
from querybudget.testing.fake_model.reply import Reply

Event = tuple[bytes, bool]

CREATED = 1_700_000_000
DONE = b"data: [DONE]\n\n"


def chat(request: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """An OpenAI chat completion."""
    content: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tools:
        calls = [_openai_tool(index, *tool) for index, tool in enumerate(reply.tools)]
        content |= {"content": None, "tool_calls": calls}
    choices = [
        _choice(index, "message", content, _finish(reply)) for index in range(request.get("n") or 1)
    ]
    head = _head(request, "chatcmpl-fake", "chat.completion")
    return {**head, "choices": choices, **_openai_usage(reply.usage)}


def chat_events(request: Mapping[str, Any], reply: Reply) -> Iterator[Event]:
    """The same as server-sent events, with usage in the last one if the request wants it."""
    head = _head(request, "chatcmpl-fake", "chat.completion.chunk")
    choices = range(request.get("n") or 1)

    def event(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _data({**head, "choices": [_choice(index, "delta", delta, finish)]})

    for index in choices:
        yield event(index, {"role": "assistant", "content": ""}), False
    for delta in _chat_deltas(reply):
        for index in choices:
            yield event(index, delta), True
    for index in choices:
        yield event(index, {}, _finish(reply)), False
    yield from _last_events(request, reply, head)


def completion(request: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """An OpenAI text completion: one choice for each prompt and ``n``."""
    count = len(_inputs(request.get("prompt"))) * (request.get("n") or 1)
    choices = [_choice(index, "text", reply.text, "stop") for index in range(count)]
    head = _head(request, "cmpl-fake", "text_completion")
    return {**head, "choices": choices, **_openai_usage(reply.usage)}


def completion_events(request: Mapping[str, Any], reply: Reply) -> Iterator[Event]:
    """The same as server-sent events."""
    head = _head(request, "cmpl-fake", "text_completion")
    for piece in pieces(reply.text, reply.chunks):
        yield _data({**head, "choices": [_choice(0, "text", piece)]}), True
    yield _data({**head, "choices": [_choice(0, "text", "", "stop")]}), False
    yield from _last_events(request, reply, head)


def embeddings(request: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """One small vector for each input, in the encoding that the request names."""
    vector: Any = [0.5, -0.5, 0.5, -0.5]
    if request.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<4f", *vector)).decode()
    rows = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index in range(len(_inputs(request.get("input"))))
    ]
    whole: dict[str, Any] = {"object": "list", "data": rows, "model": _model(request)}
    if reply.usage:
        whole["usage"] = {"prompt_tokens": reply.usage.input, "total_tokens": reply.usage.input}
    return whole


def models() -> dict[str, Any]:
    """The list of models."""
    model = {"id": "fake-model", "object": "model", "created": CREATED, "owned_by": "querybudget"}
    return {"object": "list", "data": [model]}


def response(request: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """An OpenAI response."""
    return _response(request, "completed", _response_items(reply), reply.usage)


def response_events(request: Mapping[str, Any], reply: Reply) -> Iterator[Event]:
    """The same as server-sent events: its text piece by piece, and usage in the last event."""
    number = 0

    def event(kind: str, **members: Any) -> bytes:  # noqa: ANN401 - whatever JSON holds
        nonlocal number
        number += 1
        return _named({"type": kind, "sequence_number": number - 1, **members})

    yield event("response.created", response=_response(request, "in_progress", [], None)), False
    for index, item in enumerate(_response_items(reply)):
        place = {"output_index": index, "item_id": item["id"]}
        yield event("response.output_item.added", output_index=index, item=_started(item)), False
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
        yield event("response.output_item.done", output_index=index, item=item), False
    yield event("response.completed", response=response(request, reply)), False


def message(request: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
    """An Anthropic message."""
    content = [{"type": "text", "text": reply.text}]
    if reply.tools:
        content = [_anthropic_tool(index, *tool) for index, tool in enumerate(reply.tools)]
    stop = "tool_use" if reply.tools else "end_turn"
    return _message(request, content, stop, reply.usage)


def message_events(request: Mapping[str, Any], reply: Reply) -> Iterator[Event]:
    """The same as server-sent events: input usage in the first, output usage near the end."""
    early = reply.usage and msgspec.structs.replace(reply.usage, output=1)
    first = {"type": "message_start", "message": _message(request, [], None, early)}
    yield _named(first), False
    whole = message(request, reply)
    for index, block in enumerate(whole["content"]):
        kind, member, text = "text_delta", "text", reply.text
        empty: dict[str, Any] = {"text": ""}
        if block["type"] == "tool_use":
            kind, member, text = "input_json_delta", "partial_json", reply.tools[index][1]
            empty = {"input": {}}
        started = {**block, **empty}
        start: dict[str, Any] = {"type": "content_block_start", "index": index}
        yield _named({**start, "content_block": started}), False
        for piece in pieces(text, reply.chunks):
            delta = {"type": kind, member: piece}
            yield _named({"type": "content_block_delta", "index": index, "delta": delta}), True
        yield _named({"type": "content_block_stop", "index": index}), False
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    used = {"usage": {"output_tokens": reply.usage.output}} if reply.usage else {}
    yield _named({"type": "message_delta", "delta": end, **used}), False
    yield _named({"type": "message_stop"}), False


def failure(status: int, *, anthropic: bool) -> dict[str, Any]:
    """The body of an error."""
    words = f"the fake model was set to answer {status}"
    if anthropic:
        return {"type": "error", "error": {"type": "api_error", "message": words}}
    return {"error": {"message": words, "type": "fake_error", "param": None, "code": None}}


def failure_event(*, anthropic: bool) -> bytes:
    """The event that ends a stream with an error."""
    body = failure(500, anthropic=anthropic)
    return _named(body) if anthropic else _data(body)


def pieces(text: str, count: int) -> list[str]:
    """Cut `text` into `count` pieces of about the same size, or fewer if it is shorter."""
    size = max(1, -(-len(text) // max(1, count)))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _head(request: Mapping[str, Any], name: str, kind: str) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": CREATED, "model": _model(request)}


def _choice(index: int, member: str, content: object, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, member: content, "logprobs": None, "finish_reason": finish}


def _last_events(
    request: Mapping[str, Any], reply: Reply, head: Mapping[str, Any]
) -> Iterator[Event]:
    options: Mapping[str, Any] = request.get("stream_options") or {}
    if options.get("include_usage") and reply.usage:
        yield _data({**head, "choices": [], **_openai_usage(reply.usage)}), False
    yield DONE, False


def _chat_deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    if not reply.tools:
        for piece in pieces(reply.text, reply.chunks):
            yield {"content": piece}
        return
    for index, (name, arguments) in enumerate(reply.tools):
        started = {"index": index, **_openai_tool(index, name, "")}
        yield {"tool_calls": [started]}
        for piece in pieces(arguments, reply.chunks):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.tools else "stop"


def _openai_tool(index: int, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{index}", "type": "function", "function": function}


def _anthropic_tool(index: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": f"toolu_{index}",
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
    request: Mapping[str, Any], status: str, output: Sequence[Any], usage: Usage | None
) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": "resp_fake",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": _model(request),
        "output": output,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": request.get("tools") or [],
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
        part: dict[str, Any] = {"type": "output_text", "text": reply.text}
        part |= {"annotations": [], "logprobs": []}
        kind = {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed"}
        return [{**kind, "content": [part]}]
    return [
        {
            "type": "function_call",
            "id": f"fc_{index}",
            "call_id": f"call_{index}",
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        for index, (name, arguments) in enumerate(reply.tools)
    ]


def _started(item: Mapping[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
    return {**item, "status": "in_progress", **empty}


def _message(
    request: Mapping[str, Any], content: Sequence[Any], stop: str | None, usage: Usage | None
) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": _model(request),
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }
    if usage is not None:
        whole["usage"] = {
            # Anthropic counts cached tokens beside the input, not in it.
            "input_tokens": usage.input - usage.cached_input - usage.cache_write,
            "cache_read_input_tokens": usage.cached_input,
            "cache_creation_input_tokens": usage.cache_write,
            "output_tokens": usage.output,
        }
    return whole


def _model(request: Mapping[str, Any]) -> str:
    return str(request.get("model") or "fake-model")


def _inputs(value: Any) -> list[Any]:  # noqa: ANN401 - whatever JSON holds
    """Return the inputs of a request: texts or token arrays, alone or in an array."""
    if not isinstance(value, list):
        return [value]
    values: list[Any] = [*value]
    return [values] if values and isinstance(values[0], int) else values


def _data(body: Mapping[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _named(body: Mapping[str, Any]) -> bytes:
    return f"event: {body['type']}\n".encode() + _data(body)
