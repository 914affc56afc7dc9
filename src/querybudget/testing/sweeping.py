"""A made-up sweep: the prompts of somebody who copies a model, for tests of coverage budgets."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from querybudget.testing.arguments import check_number

DIFFERENT = 1147
"""Different prompts that there are."""


class _Words(msgspec.Struct):
    tasks: list[str]
    subjects: list[str]


@cache
def _words() -> _Words:
    source = Path(__file__).with_suffix(".yaml").read_bytes()
    return msgspec.yaml.decode(source, type=_Words)


def sweep(count: int) -> list[str]:
    """Return the prompts of a broad sweep: all subjects and all abilities in turn.

    Nothing is random, so every run asks the same.

    Args:
        count: Prompts, at most `DIFFERENT`.

    Raises:
        TypeError: It is not a whole number.
        ValueError: There are not so many.
    """
    check_number(count, "a number of prompts", whole=True)
    if count > DIFFERENT:
        raise ValueError(f"expected at most {DIFFERENT} prompts, found {count}")
    words = _words()
    # 31 subjects and 37 tasks have no common divisor, so every pair comes once.
    return [
        _nth(words.tasks, number * 5).format(_nth(words.subjects, number * 12))
        for number in range(count)
    ]


def _nth(words: list[str], number: int) -> str:
    return words[number % len(words)]
