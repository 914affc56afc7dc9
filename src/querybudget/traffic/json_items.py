"""The items of one large JSON array, one after the other."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from querybudget.traffic.log_lines import LONGEST, Problem, damage, damaged

_PIECE = 1 << 16
_OUTSIDE = re.compile(rb'["{}\[\]]')
_INSIDE = re.compile(rb'["\\]')
_QUOTE, _BACKSLASH = b'"\\'
_OPENING = b"{["
_BETWEEN = b" \t\r\n,"
_ITEM = 2
"""Depth of an item: it is in the array."""


def items_of(stream: io.BufferedReader, file: str) -> Iterator[tuple[int, bytes | Problem]]:
    """Yield each object of an array with its number, or what is wrong with it.

    Args:
        stream: Begins with the array.
        file: For problems.
    """
    scan, number = _Scan(), 0
    while piece := _piece(stream):
        if isinstance(piece, Exception):
            yield number + 1, Problem(number + 1, damage(piece), file)
            return
        for item in scan.feed(piece):
            number += 1
            if len(item) > LONGEST:
                yield number, Problem(number, f"longer than {LONGEST >> 20} MiB", file)
            else:
                yield number, item
    if scan.others:
        yield number, Problem(number, "the array has items that are no objects", file)
    if scan.depth:
        yield number + 1, Problem(number + 1, "the array ends early", file)


def _piece(stream: io.BufferedReader) -> bytes | Exception:
    try:
        return stream.read1(_PIECE)
    except damaged() as error:
        return error


class _Scan:
    """Where in an array the last piece ended.

    Attributes:
        depth: Arrays and objects that are open.
        others: Whether the array has items that are neither objects nor arrays.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.others = False
        self._quoted: bool = False
        self._escaped: bool = False
        self._item = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the items that end in a piece."""
        begin, place = 0, int(self._escaped)
        self._escaped = False
        while found := (_INSIDE if self._quoted else _OUTSIDE).search(piece, place):
            if self.depth == 1 and not self._quoted:
                self._look(piece[place : found.start()])
            place, sign = found.end(), piece[found.start()]
            if sign == _BACKSLASH:
                place += 1
                self._escaped = place > len(piece)
            elif sign == _QUOTE:
                self.others = self.others or self.depth == 1
                self._quoted = not self._quoted
            elif sign in _OPENING:
                self.depth += 1
                if self.depth == _ITEM:
                    begin = found.start()
            else:
                self.depth -= 1
                if self.depth == _ITEM - 1:
                    yield bytes(self._item) + piece[begin:place]
                    self._item.clear()
        if self.depth == 1 and not self._quoted:
            self._look(piece[place:])
        if self.depth >= _ITEM and len(self._item) <= LONGEST:
            self._item += piece[begin:]

    def _look(self, between: bytes) -> None:
        """Look at what is between two items."""
        self.others = self.others or bool(between.strip(_BETWEEN))
