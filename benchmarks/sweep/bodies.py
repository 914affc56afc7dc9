"""Bodies of requests as clients send them, in the JSON of their APIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

__all__ = [
    "CHAT",
    "COMPLETIONS",
    "MESSAGES",
    "RESPONSES",
    "Message",
    "Request",
    "asked",
    "assistant",
    "chat",
    "completion",
    "encoded",
    "message",
    "responses",
    "said",
    "system",
    "turn",
]

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
MODEL = "bench-1"

Message = dict[str, Any]

encoded = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        body: As sent.
        asks: Numbers of the prompts that its answer gives; none for cover.
        path: Where it is sent.
        account: Number of the account that sends it, where there are several.
        new_day: Whether it waits for the next midnight.
    """

    body: bytes
    asks: tuple[int, ...] = ()
    path: str = CHAT
    account: int = 0
    new_day: bool = False


def turn(role: str, content: object, **more: object) -> Message:
    """Return a message of any role; `content` is a text or a list of parts."""
    return {"role": role, "content": content, **more}


def said(content: object) -> Message:
    return turn("user", content)


def assistant(content: object, **more: object) -> Message:
    return turn("assistant", content, **more)


def system(text: str) -> list[Message]:
    """Return the system message, or none for an empty text."""
    return [turn("system", text)] if text else []


def chat(messages: Sequence[Message], **more: object) -> bytes:
    """Return a chat completion's body."""
    return encoded({"model": MODEL, "messages": messages, **more})


def asked(text: str, template: str = "") -> bytes:
    """Return the plainest chat: a system prompt, if any, and one user turn."""
    return chat([*system(template), said(text)])


def completion(prompt: object, **more: object) -> bytes:
    """Return a text completion's body."""
    return encoded({"model": MODEL, "prompt": prompt, "max_tokens": 512, **more})


def responses(given: object, **more: object) -> bytes:
    """Return a body of the responses API."""
    return encoded({"model": MODEL, "input": given, **more})


def message(messages: Sequence[Message], **more: object) -> bytes:
    """Return a body of Anthropic's messages API."""
    body: Mapping[str, object] = {"model": MODEL, "max_tokens": 512, "messages": messages}
    return encoded({**body, **more})
