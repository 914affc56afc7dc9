"""What the demo's callers ask: a person, an application, and a sweeper that copies the model.

Everything is composed from the words in ``prompts.yaml``. Nothing is random, so every run asks the
same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec


class _Words(msgspec.Struct):
    template: str
    conversation: list[str]
    orders: list[str]
    sizes: list[str]
    drinks: list[str]
    additions: list[str]
    tasks: list[str]
    subjects: list[str]


_WORDS = msgspec.yaml.decode(Path(__file__).with_suffix(".yaml").read_bytes(), type=_Words)

TEMPLATE = _WORDS.template
"""The application's system prompt."""


def conversation() -> Iterator[str]:
    """Return a person's prompts: a few subjects, one after the other, with follow-ups."""
    return iter(_WORDS.conversation)


def orders(count: int) -> Iterator[str]:
    """Return an application's prompts: short requests of one kind."""
    for index in range(count):
        yield _nth(_WORDS.orders, index * 5).format(
            size=_nth(_WORDS.sizes, index * 3),
            drink=_nth(_WORDS.drinks, index * 2),
            added=_nth(_WORDS.additions, index // 2),
        )


def sweep(count: int) -> Iterator[str]:
    """Return a sweep: all subjects and all abilities in turn, up to 527 different prompts."""
    # 31 and 17 have no common divisor, so every pair comes once.
    for index in range(count):
        yield _nth(_WORDS.tasks, index * 5).format(_nth(_WORDS.subjects, index * 12))


def _nth(words: list[str], index: int) -> str:
    return words[index % len(words)]
