"""The files of a traffic log: their names, what is written to them, and how many are kept.

Each process writes files of its own, whose names say when they began and which process wrote them:
``traffic.jsonl.gz`` in the policy becomes ``traffic-20260102T030405.000006Z-4711.jsonl.gz``. So a
file that is complete is never renamed, processes need not agree on anything, and one that dies
spoils nobody else's file. A file that is being written is locked, so that no other process deletes
it as the oldest.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from querybudget.errors import SetupError

GZIP, ZSTD = ".gz", ".zst"
SUFFIXES = (GZIP, ZSTD)

PRIVATE, SHARED = 0o600, 0o640
"""Modes of files: with prompts, and without."""

_GZIP_WINDOW = 31
"""zlib's number for a gzip stream with the largest window."""

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_STAMPED = re.compile(r"-\d{8}T\d{6}\.\d{6}Z-(\d+)(?:-\d+)?")


class Compressor(Protocol):
    """Compresses one file, piece by piece."""

    def piece(self, data: bytes) -> bytes:
        """Return bytes that, once written, make `data` and all before it readable."""
        ...

    def end(self) -> bytes:
        """Return the bytes that end the file."""
        ...


class Plain:
    """Compresses nothing."""

    def piece(self, data: bytes) -> bytes:
        """Return `data`."""
        return data

    def end(self) -> bytes:
        """Return nothing."""
        return b""


class Gzip:
    """RFC 1952, with a flush after each piece."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(6, zlib.DEFLATED, _GZIP_WINDOW)

    def piece(self, data: bytes) -> bytes:
        """Return what makes `data` readable once it is written."""
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """Return what ends the file."""
        return self._stream.flush()


class Zstd:
    """RFC 8878, with a flush after each piece.

    Raises:
        SetupError: Its library is missing.
    """

    def __init__(self) -> None:
        zstandard = zstandard_library()
        self._stream: Any = zstandard.ZstdCompressor(level=3).compressobj()
        self._block: int = zstandard.COMPRESSOBJ_FLUSH_BLOCK

    def piece(self, data: bytes) -> bytes:
        """Return what makes `data` readable once it is written."""
        piece: bytes = self._stream.compress(data) + self._stream.flush(self._block)
        return piece

    def end(self) -> bytes:
        """Return what ends the file."""
        end: bytes = self._stream.flush()
        return end


def zstandard_library() -> Any:  # noqa: ANN401 - a module, where it is installed
    """Return the library for zstd.

    Raises:
        SetupError: It is missing.
    """
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SetupError(
            "zstd needs the package zstandard: pip install 'querybudget[encodings]'"
        ) from error
    return zstandard


def compressor(name: str) -> Compressor:
    """Return the compressor that a file's name asks for: gzip, zstd or none."""
    if name.endswith(GZIP):
        return Gzip()
    return Zstd() if name.endswith(ZSTD) else Plain()


class LogFile:
    """One file that is being written.

    Args:
        path: The log's path, without what is added to each file's name.
        now: µs since the epoch.
        mode: Permissions.

    Raises:
        OSError: It cannot be made.
        SetupError: The library for its compression is missing.

    Attributes:
        path: The file's own.
        began: When, µs since the epoch.
        size: Bytes written.
    """

    def __init__(self, path: Path, now: int, mode: int) -> None:
        self._compressor = compressor(path.name)
        self.began, self.size = now, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._file = _created(path, now, mode)
        _lock(self._file)

    def write(self, data: bytes) -> None:
        """Write whole lines; a process that dies later does not lose them."""
        self._put(self._compressor.piece(data))

    def close(self) -> None:
        """End the file."""
        try:
            self._put(self._compressor.end())
        finally:
            self._file.close()

    def _put(self, data: bytes) -> None:
        if data:
            self._file.write(data)
            self.size += len(data)


def _created(path: Path, now: int, mode: int) -> tuple[Path, BinaryIO]:
    for attempt in range(1_000):
        own = path.with_name(_name(path.name, now, os.getpid(), attempt))
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, mode)
            return own, open(descriptor, "wb", buffering=0)  # noqa: PTH123
    raise FileExistsError(f"{path}: a thousand files of this moment and process exist")


def _name(name: str, now: int, process: int, attempt: int) -> str:
    stem, ending = _parts(name)
    seconds, micros = divmod(now, 1_000_000)
    stamp = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros).strftime(_STAMP)
    return f"{stem}-{stamp}-{process}{f'-{attempt}' if attempt else ''}{ending}"


def _parts(name: str) -> tuple[str, str]:
    """Split ``traffic.jsonl.gz`` after ``traffic``."""
    compressed = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")
    plain = name.removesuffix(compressed)
    stem, dot, ending = plain.rpartition(".")
    return (stem, f".{ending}{compressed}") if dot and stem else (plain, compressed)


def files_of(path: Path) -> list[Path]:
    """Return the files of the log whose path a policy names, oldest first."""
    return [file for file, _ in _stamped(path)]


def by_process(path: Path) -> list[list[Path]]:
    """Return the files of each process that wrote to a log, oldest first."""
    processes = dict[str, list[Path]]()
    for file, process in _stamped(path):
        processes.setdefault(process, []).append(file)
    return list(processes.values())


def _stamped(path: Path) -> list[tuple[Path, str]]:
    """Return the files of a log and their processes, by time."""
    stem, ending = _parts(path.name)
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    found: list[tuple[Path, str]] = []
    for name in names:
        if name.startswith(stem) and name.endswith(ending):
            stamp = _STAMPED.fullmatch(name, len(stem), len(name) - len(ending))
            if stamp is not None:
                found.append((path.with_name(name), stamp[1]))
    return found


def prune(path: Path, keep: int) -> None:
    """Delete the oldest files of a log above `keep`, but none that is being written."""
    files = files_of(path)
    for file in files[: max(0, len(files) - keep)]:
        with contextlib.suppress(OSError):  # another process deleted it first
            if not _in_use(file):
                file.unlink()


def _lock(file: BinaryIO) -> None:
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - Windows has none

        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _in_use(file: Path) -> bool:
    """Return True if a process writes to a file; on Windows no such file can be deleted anyway."""
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - Windows has none

        # No link is followed, and nobody is waited for: in a folder of many, others make files too.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with open(os.open(file, flags), "rb") as opened:  # noqa: PTH123 - of a descriptor
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    return False
