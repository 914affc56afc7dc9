"""Coroutines that never suspend, run without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from querybudget.errors import SetupError

T = TypeVar("T")


def run_now(coroutine: Coroutine[Any, Any, T], expected: str) -> T:
    """Return the result of a coroutine that does not suspend.

    Args:
        coroutine: It is run to its end, or closed.
        expected: The message of the error.

    Raises:
        SetupError: It suspends.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise SetupError(expected)
