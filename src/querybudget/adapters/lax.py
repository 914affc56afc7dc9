"""Values as servers read them, whatever their JSON type.

Servers written in Python validate with pydantic, whose lax mode takes numbers and flags in quotes,
or take what ``dict.get`` gives them; those in JavaScript convert; those in Go and Rust refuse what
is not of the type. A server that refuses a value answers with an error, which costs it nothing.
So a value is read as the most expensive of the readers that do not refuse it.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A decoded JSON document, or any value in one."""

LONGEST_NUMBER = 4_300
"""Digits of a number, at most: Python reads no longer one."""

_LEADING = re.compile(r"([+-]?)(\d[\d_]*)")
_HEX = re.compile(r"0[xX]([0-9a-fA-F]{1,16})")
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "off"})


def number(value: Json) -> float | None:
    """Return the number that a value is read as; None if no reader takes it for one.

    A flag is 0 or 1. Text is read as Python's ``int`` and ``float`` read it (white space,
    underscores and digits of any script), then as C's and JavaScript's readers do, which stop at
    the first character that does not fit. An array of one element is that element. No server takes
    a number that is too large for a float.
    """
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, str):
        return _number_in(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) else None


def _number_in(text: str) -> float | None:
    text = text.strip()
    if len(text) > LONGEST_NUMBER:
        return None
    for read in (int, float):
        try:
            found: float = read(text)
        except ValueError:
            continue
        return found if isinstance(found, int) or math.isfinite(found) else None
    if match := _HEX.fullmatch(text):
        return int(match[1], 16)
    leading = _LEADING.match(text)
    return int(leading[1] + leading[2].replace("_", "")) if leading else None


def flag(value: Json) -> bool:
    """Return the flag that a value is read as: by pydantic's words, otherwise if it is not empty.

    `ambiguous` says whether readers differ.
    """
    if isinstance(value, str):
        word = value.lower()
        return word in _TRUE or (word not in _FALSE and bool(value))
    return bool(value)


def ambiguous(value: Json) -> bool:
    """Return True if some readers take a value for true and others for false."""
    return isinstance(value, str) and value.lower() in _FALSE


def text(value: Json) -> str:
    """Return a value that is text; the empty text for any other."""
    return value if isinstance(value, str) else ""
