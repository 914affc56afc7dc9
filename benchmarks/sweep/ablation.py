"""The score with one of its signals left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["signals", "without"]


def signals() -> tuple[str, ...]:
    """Names of the score's signals."""
    return ()


@contextmanager
def without(signal: str) -> Iterator[None]:
    """Judge without this signal while inside; with all of them where the name is empty."""
    del signal
    yield
