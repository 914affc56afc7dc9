"""A provider of one's own and a check of keys: `litellm_config.yaml` names both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import litellm
import words
from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth


class Words(litellm.CustomLLM):
    """A model, in LiteLLM's terms: a provider of one's own."""

    async def acompletion(self, model: str, messages: list[Any], **more: Any) -> Any:
        """Answer whole."""
        body = {"model": model, "messages": messages, **more["optional_params"]}
        return litellm.ModelResponse(**await words.chat(body))

    async def astreaming(
        self, model: str, messages: list[Any], **more: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Answer in pieces."""
        body = {"model": model, "messages": messages, **more["optional_params"]}
        said = 0
        async for word in words.words(body):
            said += 1
            yield piece(text=word)
        yield piece(is_finished=True, finish_reason="stop", usage=words.usage(body, said))


def piece(**members: Any) -> dict[str, Any]:
    empty = {"text": "", "is_finished": False, "finish_reason": "", "usage": None}
    return {**empty, "index": 0, "tool_use": None, **members}


async def authorise(_: Request, api_key: str) -> UserAPIKeyAuth:
    if not api_key.startswith("sk-"):
        raise HTTPException(401, "no such key")
    return UserAPIKeyAuth(api_key=api_key)


provider = Words()
