"""Reads the objects in a JSON file that is not JSON Lines, one after the other.

They are the items of one large array, or of an array inside an object, as APIs answer, or objects
that are written over several lines. Several such values may follow each other.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from querybudget.traffic.log_lines import LONGEST, Problem, damage, damaged

LISTS = frozenset({b"data", b"logs", b"observations", b"records", b"results", b"rows"})
"""Members of an object that lists what is asked for."""

_PIECE = 1 << 16
_OUTSIDE = re.compile(rb'["{}\[\]]')
_INSIDE = re.compile(rb'["\\]')
_QUOTE, _BACKSLASH, _OPEN_LIST = b'"\\['
_OPENING = b"{["
_BETWEEN = b" \t\r\n,"
_NAME = 64
"""Bytes of a member's name that are looked at."""
_NONE = -1


def items_of(
    stream: io.BufferedReader, file: str, begun: bytes = b""
) -> Iterator[tuple[int, bytes | Problem]]:
    """Yield each object with its number, or what is wrong with it.

    Args:
        stream: The file.
        file: For problems.
        begun: What was read of it before.
    """
    scan, number, piece = _Scan(), 0, begun or _piece(stream)
    while piece:
        if isinstance(piece, Exception):
            yield number + 1, Problem(number + 1, damage(piece), file)
            return
        for item in scan.feed(piece):
            number += 1
            if len(item) > LONGEST:
                yield number, Problem(number, f"longer than {LONGEST >> 20} MiB", file)
            else:
                yield number, item
        piece = _piece(stream)
    if scan.others:
        yield number, Problem(number, "there are items that are no objects", file)
    if scan.depth:
        yield number + 1, Problem(number + 1, "the array ends early", file)


def _piece(stream: io.BufferedReader) -> bytes | Exception:
    try:
        return stream.read1(_PIECE)
    except damaged() as error:
        return error


class _Scan:
    """Where the last piece ended.

    Attributes:
        depth: Arrays and objects that are open.
        others: Whether there are items that are neither objects nor arrays.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.others = False
        self._level: int = 0
        """Depth of what holds the items; `_NONE` after the array in an object has ended."""
        self._inside: bool = False
        self._quoted: bool = False
        self._escaped: bool = False
        self._name = bytearray()
        self._item = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the items that end in a piece."""
        begin, text, place = 0, 0, int(self._escaped)
        self._escaped = False
        while found := (_INSIDE if self._quoted else _OUTSIDE).search(piece, place):
            if not self._inside and not self._quoted:
                self._look(piece[place : found.start()])
            place, sign = found.end(), piece[found.start()]
            if sign == _BACKSLASH:
                place += 1
                self._escaped = place > len(piece)
            elif sign == _QUOTE:
                self._quote(piece[text : found.start()])
                text = place
            elif sign in _OPENING:
                if self._open(sign):
                    begin = found.start()
            elif self._close():
                yield bytes(self._item) + piece[begin:place]
                self._item.clear()
        self._rest(piece, begin, text, place)

    def _rest(self, piece: bytes, begin: int, text: int, place: int) -> None:
        """Keep what is open at the end of a piece."""
        if self._quoted and self.depth == 1:
            self._name += piece[text : text + _NAME]
        if not self._inside and not self._quoted:
            self._look(piece[place:])
        if self._inside and len(self._item) <= LONGEST:
            self._item += piece[begin:]

    def _quote(self, text: bytes) -> None:
        """Begin or end a text."""
        if self.depth == 1:
            self._name = self._name + text[:_NAME] if self._quoted else bytearray()
        self.others = self.others or (self.depth == self._level and not self._inside)
        self._quoted = not self._quoted

    def _open(self, sign: int) -> bool:
        """Go into an array or an object; return True if an item begins."""
        depth, is_list = self.depth, sign == _OPEN_LIST
        self.depth += 1
        if not depth:
            self._level = int(is_list)
        elif depth == 1 and is_list and not self._level and bytes(self._name) in LISTS:
            self._level, self._inside = self.depth, False
            self._item.clear()
            return False
        if self._inside or depth != self._level:
            return False
        self._inside = True
        return True

    def _close(self) -> bool:
        """Leave an array or an object; return True if an item ends."""
        if not self.depth:
            self.others = True
            return False
        self.depth -= 1
        ended, self._inside = (
            self._inside and self.depth == self._level,
            (self._inside and self.depth != self._level),
        )
        if not ended and self.depth < self._level:
            self._level = _NONE if self.depth else 0
        if not self.depth:
            self._level = 0
        return ended

    def _look(self, between: bytes) -> None:
        """Look at what is between two items."""
        if self.depth == self._level:
            self.others = self.others or bool(between.strip(_BETWEEN))
