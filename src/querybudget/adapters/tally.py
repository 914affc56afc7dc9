"""What an answer has come to so far, as the dialects read it."""

from __future__ import annotations

from collections.abc import Callable

from querybudget.adapters.base import Usage

__all__ = ["UNREADABLE", "AnswerTotals", "Read", "tokens"]

UNREADABLE = (ValueError, RecursionError)
"""What decoding raises: msgspec's errors, and text that is not UTF-8, are ValueErrors."""

_MAX_TOKENS = 2**40  # so that sums of reported figures stay small integers


class AnswerTotals:
    """What an answer has come to so far.

    Attributes:
        usage: What it said it used; None while it has said nothing.
        output_bytes: UTF-8 bytes of generated text.
        complete: The end, or a usage said to be final, was seen.
    """

    __slots__ = ("complete", "output_bytes", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.output_bytes = 0
        self.complete = False


Read = Callable[[bytes, AnswerTotals], None]
"""Reads one event's data, or one JSON body, into a tally. It may raise ValueError (malformed JSON,
wrong types) or RecursionError, and nothing else, before it has changed the tally."""


def tokens(reported: float | None) -> int:
    """A reported number of tokens as a whole number, 0 where there is none or it cannot be one."""
    if not reported or reported < 0:
        return 0
    return int(reported) if reported <= _MAX_TOKENS else _MAX_TOKENS
