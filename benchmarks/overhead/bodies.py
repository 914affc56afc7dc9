"""Requests of many sizes: asked again, never seen, and a conversation with a new turn."""

from __future__ import annotations

import json
import random

from benchmarks.overhead.measure import Request
from benchmarks.stores.prompts import sentence

__all__ = [
    "CONVERSATION",
    "KB",
    "SIZES",
    "again",
    "conversation",
    "never_seen",
    "prose",
    "requests",
]

KB = 1024
SIZES = {"1 KB": KB, "10 KB": 10 * KB, "100 KB": 100 * KB, "1 MB": 1024 * KB}
CONVERSATION = "100 KB, 1 KB new"

PATH = "/v1/chat/completions"

CALLERS = {"10 KB": 32, "100 KB": 4, "1 MB": 4}
"""Who send bodies so large that 256 callers would take minutes."""

TURN = KB
"""Bytes of a turn, about: a word is never cut."""


def requests() -> list[Request]:
    """A cached and a cold request of each size, and the conversation."""
    return [
        *(again(name) for name in SIZES),
        *(never_seen(name) for name in SIZES),
        conversation(),
    ]


def again(name: str) -> Request:
    return Request(
        "POST", PATH, _body([prose(0, SIZES[name])]), f"{name}, cached", None, CALLERS.get(name, 0)
    )


def never_seen(name: str) -> Request:
    size = SIZES[name]
    body = _body([prose(0, size)])
    label = f"{name}, never seen"
    return Request(
        "POST", PATH, body, label, lambda n: _body([prose(n + 1, size)]), CALLERS.get(name, 0)
    )


def conversation() -> Request:
    """A history that all have sent before, and a last turn that nobody has."""
    size = SIZES["100 KB"]
    history = [prose(-1 - turn, TURN) for turn in range(size // TURN - 1)]
    body = _body([*history, prose(0, TURN)])
    return Request(
        "POST",
        PATH,
        body,
        CONVERSATION,
        lambda n: _body([*history, prose(n + 1, TURN)]),
        CALLERS["100 KB"],
    )


def prose(number: int, size: int) -> str:
    """At least `size` characters of questions, in an order that no other number gives."""
    draw, said, length = random.Random(number), list[str](), 0
    while length < size:
        said.append(sentence(draw))
        length += len(said[-1]) + 1
    return " ".join(said)


def _body(turns: list[str]) -> bytes:
    roles = ("user", "assistant")
    messages = [
        {"role": roles[(len(turns) - 1 - at) % 2], "content": said} for at, said in enumerate(turns)
    ]
    return json.dumps({"model": "bench-1", "max_tokens": 200, "messages": messages}).encode()
