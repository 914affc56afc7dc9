"""Reading a request body, and the numbers a caller may put in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from querybudget.errors import BodyError

__all__ = [
    "MAX_ASKS",
    "MAX_CHOICES",
    "MAX_LOGPROBS",
    "MAX_OUTPUT",
    "alternatives",
    "asks_of",
    "choices_of",
    "output_bound",
    "read_body",
]

MAX_CHOICES = 16_384
"""The most answers one call may ask for; as much as vLLM allows."""

MAX_OUTPUT = 10_000_000
"""A caller's bound on output tokens counts as no more than this: no model writes longer answers."""

MAX_LOGPROBS = 200_000
"""The most alternatives per token that are counted, and what ``-1`` stands for (vLLM: all of the
vocabulary)."""

MAX_ASKS = 64
"""Prompts of an array that are looked at each by itself."""

_T = TypeVar("_T")
_BOM = b"\xef\xbb\xbf"


def read_body(decoder: msgspec.json.Decoder[_T], body: bytes, takes: str) -> _T:
    """Decode a request body.

    Args:
        decoder: For the type that the path takes.
        body: The body, decompressed; a leading UTF-8 byte order mark is allowed, as servers do.
        takes: What the body should be, for the message.

    Raises:
        BodyError: It is not JSON, or not of that type.
    """
    try:
        return decoder.decode(body.removeprefix(_BOM))
    except RecursionError:
        raise BodyError(f"Expected {takes}: the JSON is nested too deeply.") from None
    except ValueError as error:  # malformed JSON, text that is not UTF-8, wrong types
        raise BodyError(f"Expected {takes}: {error}.") from None


def asks_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The prompts of an array of several, `MAX_ASKS` at most; empty where there is one at most.

    Of more, those are taken that lie evenly over the array: what stands last is looked at too.
    """
    count = len(texts)
    if count <= MAX_ASKS:
        return tuple(texts) if count > 1 else ()
    return tuple(texts[at * count // MAX_ASKS] for at in range(MAX_ASKS))


def choices_of(*counts: float | None) -> int:
    """How many answers a call asks for: the largest of ``n``, ``best_of`` and the like; 1 without.

    Raises:
        BodyError: One of them is below 1 or above `MAX_CHOICES`.
    """
    choices = 1
    for count in counts:
        if count is None:
            continue
        if not 1 <= count <= MAX_CHOICES:
            raise BodyError(
                f"Expected a number of answers from 1 to {MAX_CHOICES}, found {_short(count)}."
            )
        choices = max(choices, _whole(count))
    return choices


def output_bound(*bounds: float | None) -> int | None:
    """The caller's bound on output tokens: the first that is given, at most `MAX_OUTPUT`.

    Servers disagree about 0 and -1, which some take for "no bound" (llama.cpp); so they are none.

    Raises:
        BodyError: It is below -1.
    """
    for bound in bounds:
        if bound is None:
            continue
        if bound < -1:
            raise BodyError(f"Expected a bound on output tokens above 0, found {_short(bound)}.")
        return _whole(min(bound, MAX_OUTPUT)) if bound > 0 else None
    return None


def alternatives(asked: float | None) -> int:
    """How many alternatives with their log-probabilities a call asks for, per token.

    ``true`` and 0 ask for the chosen token's alone, which is 1; ``-1`` for the whole vocabulary.

    Raises:
        BodyError: It is below -1.
    """
    if asked is None or asked is False:
        return 0
    if asked < -1:
        raise BodyError(f"Expected a number of log-probabilities, found {_short(asked)}.")
    return MAX_LOGPROBS if asked == -1 else _whole(min(max(1, asked), MAX_LOGPROBS))


def _whole(number: float) -> int:
    if number != int(number):
        raise BodyError(f"Expected a whole number, found {number}.")
    return int(number)


def _short(number: float) -> str:
    return str(number) if abs(number) < 10**18 else "one of more than 18 digits"
