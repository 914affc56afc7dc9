"""The lines of a file, compressed or not, of any size, with a bound on what is in memory."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from querybudget.redact import error_type
from querybudget.traffic.log_files import zstandard_library

LONGEST = 16 << 20
"""Bytes of a line that is read; a longer one is passed over."""

STDIN = "-"

_PASSED_OVER = 1 << 20
_PIECE = 1 << 16
_ZSTD_PIECE = 1 << 10
"""Bytes of zstd that are decompressed at once: each may become 30,000."""
_GZIP_WINDOW = 31
"""zlib's number for a gzip stream with the largest window."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


_EARLY = "the file ends early: it is being written, or whoever wrote it died"


class Problem(msgspec.Struct, frozen=True):
    """A line that was passed over.

    Attributes:
        line: Its number, from 1; in a file that is one JSON array, that of the item.
        message: What is wrong with it. It has nothing of what the line holds.
        file: The file's name; ``-`` for standard input.
    """

    line: int
    message: str
    file: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.file else self.message


@contextmanager
def opened(path: Path | str) -> Generator[io.BufferedReader]:
    """Open a file, or standard input, decompressed if it begins as gzip or zstd does.

    Raises:
        OSError: It cannot be read.
        SetupError: It is zstd, and the library for that is missing.
    """
    if path == STDIN:
        yield _decompressed(cast("io.BufferedReader", sys.stdin.buffer))
        return
    with Path(path).open("rb") as raw:
        yield _decompressed(raw)


def _decompressed(raw: io.BufferedReader) -> io.BufferedReader:
    start = raw.peek(len(_ZSTD))
    if start.startswith(_GZIP):
        unpacked: _Gunzip | _Unzstd = _Gunzip(raw)
    elif start.startswith(_ZSTD):
        unpacked = _Unzstd(raw)
    else:
        return raw
    return io.BufferedReader(cast("io.RawIOBase", unpacked), 1 << 18)


def lines_of(stream: io.BufferedReader, file: str) -> Iterator[tuple[int, bytes | Problem]]:
    """Yield each line with its number, or what is wrong with it. Empty lines are left out.

    A file that ends in the middle, because its writer died, is read as far as it goes.
    """
    number = 0
    try:
        while line := stream.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_PASSED_OVER)
                yield number, Problem(number, f"longer than {LONGEST >> 20} MiB", file)
            elif not line.isspace():
                yield number, line
    except damaged() as error:
        yield number, Problem(number + 1, damage(error), file)


def damage(error: Exception) -> str:
    """Return what an error of `damaged` says about a file."""
    if isinstance(error, EOFError):
        return _EARLY
    return f"the file cannot be read on ({error_type(error)})"


class _Gunzip(io.RawIOBase):
    """Decompresses gzip: of a file that ends early all that is there, which `gzip` loses."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw
        self._begin()

    def _begin(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_WINDOW)

    def readable(self) -> bool:
        """Return True: io asks."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - what io hands in
        """Fill a buffer, and return the bytes that were written to it; 0 at the end."""
        while True:
            data = self._stream.unconsumed_tail or self._stream.unused_data
            if self._stream.eof:
                data = data or self._raw.read(_PIECE)
                if not data.strip(b"\0"):
                    return 0
                self._begin()  # the next member
            data = data or self._raw.read(_PIECE)
            if not data:
                raise EOFError
            piece = self._stream.decompress(data, len(buffer))
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)


class _Unzstd(io.RawIOBase):
    """Decompresses zstd: of a file that ends early all that is there, and then says so."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw
        self._library = zstandard_library()
        self._stream: Any = None
        self._packed = self._plain = b""

    def readable(self) -> bool:
        """Return True: io asks."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - what io hands in
        """Fill a buffer, and return the bytes that were written to it; 0 at the end."""
        while not self._plain:
            data = self._packed = self._packed or self._raw.read(_ZSTD_PIECE)
            if not data:
                if self._stream is not None:
                    raise EOFError
                return 0
            if self._stream is None:
                self._stream = self._library.ZstdDecompressor().decompressobj()
            self._plain = self._stream.decompress(data)
            self._packed = b""
            if self._stream.eof:
                self._packed, self._stream = self._stream.unused_data, None  # the next frame
        piece = self._plain[: len(buffer)]
        buffer[: len(piece)] = piece
        self._plain = self._plain[len(piece) :]
        return len(piece)


def damaged() -> tuple[type[Exception], ...]:
    """Return the errors of a file that ends early, or whose compression is damaged."""
    zstandard = sys.modules.get("zstandard")
    return (EOFError, OSError, zlib.error, *(() if zstandard is None else (zstandard.ZstdError,)))
