"""JSON pointers (RFC 6901) over decoded JSON."""

from __future__ import annotations

import re
from typing import TypeAlias

__all__ = ["Json", "Pointer"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A decoded JSON document, or any value in one."""

_BAD_ESCAPE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")  # longer ones lie beyond any body


class Pointer:
    """Where a value stands in a JSON document.

    Args:
        text: The pointer, as ``/usage/input_tokens``: each step after a slash, ``~1`` for a slash
            and ``~0`` for a tilde within a step. The empty pointer is the whole document.

    Raises:
        ValueError: The text is no pointer.
    """

    __slots__ = ("_steps",)

    def __init__(self, text: str) -> None:
        if text and not text.startswith("/"):
            raise ValueError(f"Expected a JSON pointer, found {text!r}: begin it with a slash.")
        if _BAD_ESCAPE.search(text):
            raise ValueError(f"Expected ~0 or ~1 after no other tilde in the pointer {text!r}.")
        self._steps = tuple(
            step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]
        )

    def find(self, document: Json) -> Json:
        """The value that the pointer leads to; None where it leads nowhere, or to null."""
        return _follow(document, self._steps)

    def put(self, document: Json, value: Json) -> bool:
        """Put a value where the pointer leads.

        Returns:
            Whether there is such a place: a member of an object, there already or not, or an
            element that an array has. The whole document is no such place.
        """
        if not self._steps:
            return False
        last = self._steps[-1]
        holder = _follow(document, self._steps[:-1])
        if isinstance(holder, dict):
            holder[last] = value
        elif isinstance(holder, list) and _INDEX.fullmatch(last) and int(last) < len(holder):
            holder[int(last)] = value
        else:
            return False
        return True


def _follow(document: Json, steps: tuple[str, ...]) -> Json:
    value = document
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
