"""A model for the examples: it counts, one word at a time, in the dialects of OpenAI and Anthropic.

It says as many words as `max_tokens` asks for. Each word is a token, in prompts and in answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

PACE = 0.01  # seconds for a word
DEFAULT = 5  # words


def tokens(messages: list[dict[str, Any]]) -> int:
    return sum(len(str(message["content"]).split()) for message in messages)


async def words(body: dict[str, Any]) -> AsyncIterator[str]:
    for number in range(body.get("max_tokens") or DEFAULT):
        await asyncio.sleep(PACE)
        yield f"{number} "


async def chat(body: dict[str, Any]) -> dict[str, Any]:
    said = [word async for word in words(body)]
    message = {"role": "assistant", "content": "".join(said)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    about = {"id": "c1", "object": "chat.completion", "created": 0, "model": body["model"]}
    return {**about, "choices": [choice], "usage": usage(body, len(said))}


async def chat_events(body: dict[str, Any]) -> AsyncIterator[str]:
    about = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
    said = 0
    async for word in words(body):
        said += 1
        choice = {"index": 0, "delta": {"role": "assistant", "content": word}}
        yield event({**about, "choices": [choice]})
    yield event({**about, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield event({**about, "choices": [], "usage": usage(body, said)})
    yield "data: [DONE]\n\n"


def usage(body: dict[str, Any], said: int) -> dict[str, int]:
    asked = tokens(body["messages"])
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


async def message(body: dict[str, Any]) -> dict[str, Any]:
    said = [word async for word in words(body)]
    counted = {"input_tokens": tokens(body["messages"]), "output_tokens": len(said)}
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": "".join(said)}],
        "stop_reason": "end_turn",
        "usage": counted,
    }


async def message_events(body: dict[str, Any]) -> AsyncIterator[str]:
    about = {"id": "m1", "type": "message", "role": "assistant", "model": body["model"]}
    counted = {"input_tokens": tokens(body["messages"]), "output_tokens": 0}
    yield named("message_start", message={**about, "content": [], "usage": counted})
    yield named("content_block_start", index=0, content_block={"type": "text", "text": ""})
    said = 0
    async for word in words(body):
        said += 1
        yield named("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
    yield named("content_block_stop", index=0)
    yield named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": said})
    yield named("message_stop")


def event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def named(kind: str, **data: Any) -> str:
    return f"event: {kind}\n{event({'type': kind, **data})}"
