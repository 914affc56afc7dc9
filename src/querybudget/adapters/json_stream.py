"""JSON values one after the other: JSON lines, values without a separator, an array's elements.

Only brackets and quotes are looked at, so what is no JSON is framed too, and its reader skips it.
"""

from __future__ import annotations

import re

import msgspec

VALUE_LIMIT = 8 * 1024 * 1024
"""Most bytes of one value that are kept; a longer value is skipped."""

_OUTSIDE = re.compile(rb'["\[{}\]]')
_INSIDE = re.compile(rb'["\\]')
_QUOTE, _BACKSLASH = b'"', b"\\"
_ONE_VALUE = msgspec.json.Decoder(msgspec.Raw)


class JsonStream:
    """Splits a stream into whole objects and arrays, however its bytes are cut.

    It holds one unfinished value and nothing else, at most ``limit`` bytes of it, and looks at each
    byte once. Values that are neither objects nor arrays are skipped, and so is all between values:
    white space, commas, record separators (RFC 7464).

    Args:
        array: The stream is one array: its elements are the values.
        limit: Most bytes of a value.

    Attributes:
        between: True if no value is unfinished.
        skipped: Bytes of values that were too long.
    """

    __slots__ = ("_base", "_depth", "_escaped", "_limit", "_lost", "_quoted", "_value", "skipped")

    def __init__(self, *, array: bool = False, limit: int = VALUE_LIMIT) -> None:
        self._base = 1 if array else 0  # the depth at which values are
        self._depth = 0
        self._quoted = False  # within a string
        self._escaped = False  # after a backslash in one
        self._lost = False  # the unfinished value is too long
        self._limit = limit
        self._value = bytearray()
        self.skipped = 0

    @property
    def between(self) -> bool:
        return self._depth <= self._base and not self._quoted

    @property
    def pending(self) -> int:
        """Bytes of the unfinished value."""
        return len(self._value)

    def end(self) -> list[bytes]:
        """Return what is complete now that no bytes follow: nothing, since brackets say it."""
        return []

    def feed(self, chunk: bytes, /) -> list[bytes]:
        """Take the next bytes.

        Returns:
            Each value that these bytes complete, in order.
        """
        # Servers send one whole value at a time; only proxies cut and join them.
        if not self._base and not self._depth and not self._quoted and is_value(chunk):
            return [chunk]
        values: list[bytes] = []
        at, end = 0, len(chunk)
        while at < end:
            at = self._string(chunk, at) if self._quoted else self._step(chunk, at, values)
        return values

    def _string(self, chunk: bytes, at: int) -> int:
        """Take bytes within a string; return where the next ones begin."""
        begin = at
        if self._escaped:
            self._escaped = False
            at += 1
        while found := _INSIDE.search(chunk, at):
            at = found.end()
            if found[0] == _QUOTE:
                self._quoted = False
                break
            if at == len(chunk):
                self._escaped = True
                break
            at += 1  # what a backslash escapes
        else:
            at = len(chunk)
        self._keep(chunk, begin, at)
        return at

    def _step(self, chunk: bytes, at: int, values: list[bytes]) -> int:
        """Take bytes up to a bracket or a quote outside of strings, and that one."""
        found = _OUTSIDE.search(chunk, at)
        if found is None:
            self._keep(chunk, at, len(chunk))
            return len(chunk)
        sign, place = found[0], found.start()
        if sign in (b"{", b"["):
            if self._depth <= self._base:
                self._keep(chunk, at, place)
                at = place
            self._depth += 1
        elif sign == _QUOTE:
            self._quoted = True
        elif self._depth:
            self._depth -= 1
            if self._depth == self._base:
                self._keep(chunk, at, place + 1, within=True)
                self._end_value(values)
                return place + 1
            if not self._depth:
                self._base = 0  # the array has ended
        self._keep(chunk, at, place + 1)
        return place + 1

    def _keep(self, chunk: bytes, begin: int, end: int, *, within: bool = False) -> None:
        if not within and self._depth <= self._base:
            return
        if self._lost:
            self.skipped += end - begin
            return
        self._value += chunk[begin:end]
        if len(self._value) > self._limit:
            self._lost = True
            self.skipped += len(self._value)
            self._value.clear()

    def _end_value(self, values: list[bytes]) -> None:
        if not self._lost:
            values.append(bytes(self._value))
        self._value.clear()
        self._lost = False


def is_value(chunk: bytes) -> bool:
    """Return True if a chunk is one whole object, with white space around it at most."""
    if not chunk.startswith(b"{") or not chunk.rstrip(b"\r\n").endswith(b"}"):
        return False
    try:
        _ONE_VALUE.decode(chunk)
    except (ValueError, RecursionError):
        return False
    return True


def are_values(body: bytes) -> bool:
    """Return True if a body is several JSON values, the last of them whole."""
    values = JsonStream()
    return len(values.feed(body)) >= 2 and values.between  # noqa: PLR2004 - several
