"""What the demo's callers ask: a person, two applications, and a sweeper who hides.

Everything is composed from the words in ``prompts.yaml``. Nothing is random, so every run asks the
same. What a caller sends is a list of messages, as OpenAI's chat completions take them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

Messages = list[dict[str, Any]]


class _Tool(msgspec.Struct):
    about: str
    takes: dict[str, str]


class _Step(msgspec.Struct):
    name: str
    arguments: dict[str, str]
    result: str


class _Task(msgspec.Struct):
    said: str
    steps: list[_Step]


class _Agent(msgspec.Struct):
    system: str
    tools: dict[str, _Tool]
    tasks: list[_Task]


class _Question(msgspec.Struct):
    asked: str
    found: list[int]


class _Documents(msgspec.Struct):
    system: str
    passages: list[str]
    questions: list[_Question]


class _Words(msgspec.Struct):
    conversation: list[str]
    agent: _Agent
    documents: _Documents
    pretext: str


_WORDS = msgspec.yaml.decode(Path(__file__).with_suffix(".yaml").read_bytes(), type=_Words)

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": tool.about,
            "parameters": {
                "type": "object",
                "properties": {
                    key: {"type": "string", "description": about}
                    for key, about in tool.takes.items()
                },
            },
        },
    }
    for name, tool in _WORDS.agent.tools.items()
]
"""The agent's tools, as OpenAI's chat completions take them."""


def conversation() -> Iterator[str]:
    """Return a person's prompts: a few subjects, one after the other, with follow-ups."""
    return iter(_WORDS.conversation)


def agent() -> Iterator[Messages]:
    """Return the messages of an agent's calls: each sends all of the earlier ones again."""
    messages: Messages = [{"role": "system", "content": _WORDS.agent.system}]
    for task in _WORDS.agent.tasks:
        messages.append({"role": "user", "content": task.said})
        for step in task.steps:
            yield list(messages)
            messages += _used(len(messages), step.name, step.arguments, step.result)
        yield list(messages)
        messages.append({"role": "assistant", "content": "That is done, and the tests pass."})


def documents() -> Iterator[Messages]:
    """Return the messages of questions about a handbook, each with the passages found for it."""
    written = _WORDS.documents
    for question in written.questions:
        passages = "\n\n".join(written.passages[place] for place in question.found)
        yield [
            {"role": "system", "content": written.system},
            {"role": "user", "content": f"Passages:\n{passages}\n\nQuestion: {question.asked}"},
        ]


def hidden(prompt: str) -> Messages:
    """Return messages that ask a prompt where nobody seems to say it: in a tool's result."""
    said = {"role": "user", "content": _WORDS.pretext}
    return [said, *_used(1, "next_item", {}, prompt)]


def _used(number: int, name: str, arguments: dict[str, str], result: str) -> Messages:
    """Return the messages of a tool that was used: its call, and its result."""
    call = {"name": name, "arguments": json.dumps(arguments)}
    calls = [{"id": f"call_{number}", "type": "function", "function": call}]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": result},
    ]
