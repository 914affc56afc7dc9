"""Cuts the bytes that a fuzzer sends into what a target needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Pieces:
    """Bytes, taken from the front. Past their end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """Take one byte."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def choice(self, choices: Sequence[_T]) -> _T:
        """Take one byte and choose by it."""
        return choices[self.number() % len(choices)]

    def rest(self) -> bytes:
        """Take the rest."""
        taken, self._at = self._data[self._at :], len(self._data)
        return taken

    def text(self) -> str:
        """Take the rest as text. Bytes that are not UTF-8 become lone surrogates."""
        return self.rest().decode("utf-8", "surrogateescape")

    def lines(self) -> list[bytes]:
        """Take the rest as lines."""
        return self.rest().split(b"\n")
