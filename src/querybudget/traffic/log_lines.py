"""The lines of a file, compressed or not, of any size, with bounds on memory and on work."""

from __future__ import annotations

import codecs
import io
import sys
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from querybudget.errors import SetupError
from querybudget.redact import error_type
from querybudget.traffic.log_files import zstandard_library

LONGEST = 16 << 20
"""Bytes of a line that is read; a longer one is passed over."""

MOST_UNPACKED = 500
"""Bytes that one compressed byte may become, of a file above `SMALL`: no log is so much alike."""

SMALL = 256 << 20
"""Bytes that any compressed file may become."""

MOST_EMPTY = 1_000_000
"""Empty lines that may follow each other."""

STDIN = "-"

_PASSED_OVER = 1 << 20
_PIECE = 1 << 16
_ZSTD_PIECE = 1 << 10
"""Bytes of zstd that are decompressed at once: each may become 30,000."""
_GZIP_WINDOW = 31
"""zlib's number for a gzip stream with the largest window."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UTF8, _UTF16 = (
    codecs.BOM_UTF8,
    {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"},
)
_BINARY = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a ZIP archive (Excel's tables are one)",
    b"SQLite format 3": "an SQLite database",
    b"BZh": "a file that bzip2 compressed",
    b"\xfd7zXZ": "a file that xz compressed",
}
"""How files begin that are no log."""
_LOOKED_AT = 256
"""Bytes among which there is no NUL at the beginning of a text."""


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
    """Open a file, or standard input: decompressed if it begins as gzip or zstd does, and as UTF-8.

    Raises:
        OSError: It cannot be read.
        SetupError: It is no text; or it is zstd, and the library for that is missing.
    """
    if path == STDIN:
        yield _text(_decompressed(cast("io.BufferedReader", sys.stdin.buffer), STDIN), STDIN)
        return
    with Path(path).open("rb") as raw:
        yield _text(_decompressed(raw, str(path)), str(path))


def _decompressed(raw: io.BufferedReader, file: str) -> io.BufferedReader:
    start = raw.peek(len(_ZSTD))
    if start.startswith(_GZIP):
        unpacked: _Gunzip | _Unzstd = _Gunzip(_Packed(raw, file))
    elif start.startswith(_ZSTD):
        unpacked = _Unzstd(_Packed(raw, file))
    else:
        return raw
    return io.BufferedReader(cast("io.RawIOBase", unpacked), 1 << 18)


def _text(stream: io.BufferedReader, file: str) -> io.BufferedReader:
    """Return a stream without a byte order mark, and from UTF-16 in UTF-8."""
    try:
        start = stream.peek(_LOOKED_AT)
    except damaged():  # who reads its lines says so
        return stream
    if start.startswith(_UTF8):
        stream.read(len(_UTF8))
    for mark, encoding in _UTF16.items():
        if start.startswith(mark):
            stream.read(len(mark))
            recoded = _Recoded(stream, encoding)
            return io.BufferedReader(cast("io.RawIOBase", recoded), 1 << 18)
    found = next((what for begin, what in _BINARY.items() if start.startswith(begin)), "")
    if not found and b"\0" in start[:_LOOKED_AT]:
        found = "a binary file, or UTF-16 without its byte order mark"
    if found:
        raise SetupError(f"{file}: expected a traffic log as text, found {found}")
    return stream


def lines_of(
    stream: io.BufferedReader, file: str, begun: Sequence[bytes] = ()
) -> Iterator[tuple[int, bytes | Problem]]:
    """Yield each line with its number, or what is wrong with it. Empty lines are left out.

    A file that ends in the middle, because its writer died, is read as far as it goes.

    Args:
        stream: The lines.
        file: For problems.
        begun: Lines that were read of it before.

    Raises:
        SetupError: It is endless emptiness, and no log.
    """
    number, empty, before = 0, 0, list(begun)
    try:
        while line := before.pop(0) if before else stream.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_PASSED_OVER)
                yield number, Problem(number, f"longer than {LONGEST >> 20} MiB", file)
            elif not line.isspace():
                empty = 0
                yield number, line
            elif (empty := empty + 1) > MOST_EMPTY:
                raise SetupError(
                    f"{file}:{number}: expected a traffic log, found {MOST_EMPTY:,} empty lines"
                )
    except damaged() as error:
        yield number, Problem(number + 1, damage(error), file)


def damage(error: Exception) -> str:
    """Return what an error of `damaged` says about a file."""
    if isinstance(error, EOFError):
        return _EARLY
    return f"the file cannot be read on ({error_type(error)})"


class _Packed:
    """A compressed file, and a bound on what it becomes."""

    def __init__(self, raw: io.BufferedReader, file: str) -> None:
        self._raw, self._file = raw, file
        self._packed = self._unpacked = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes; none at the end."""
        data = self._raw.read(size)
        self._packed += len(data)
        return data

    def became(self, size: int) -> None:
        """Count bytes that were decompressed.

        Raises:
            SetupError: They are too many for what was read.
        """
        self._unpacked += size
        if self._unpacked > max(SMALL, MOST_UNPACKED * self._packed):
            raise SetupError(
                f"{self._file}: expected a traffic log, found a file that unpacks to more than"
                f" {MOST_UNPACKED} times its size: decompress it first if it is meant"
            )


class _Recoded(io.RawIOBase):
    """UTF-8 of a text in UTF-16."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._plain = b""

    def readable(self) -> bool:
        """Return True: io asks."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - what io hands in
        """Fill a buffer, and return the bytes that were written to it; 0 at the end."""
        while not self._plain:
            data = self._stream.read(_PIECE)
            self._plain = self._decoder.decode(data, not data).encode()
            if not data:
                break
        piece = self._plain[: len(buffer)]
        buffer[: len(piece)] = piece
        self._plain = self._plain[len(piece) :]
        return len(piece)


class _Gunzip(io.RawIOBase):
    """Decompresses gzip: of a file that ends early all that is there, which `gzip` loses."""

    def __init__(self, raw: _Packed) -> None:
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
                self._raw.became(len(piece))
                buffer[: len(piece)] = piece
                return len(piece)


class _Unzstd(io.RawIOBase):
    """Decompresses zstd: of a file that ends early all that is there, and then says so."""

    def __init__(self, raw: _Packed) -> None:
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
            self._raw.became(len(self._plain))
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
