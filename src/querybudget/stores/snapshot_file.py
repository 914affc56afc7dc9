r"""The file that accounts of a memory store are saved in.

    querybudget accounts 1\n
    length of a block, four bytes; a block: accounts in msgpack       as often as there are any
    0, four bytes; SHA-256 of everything before it

A file is written beside the last one, and takes its place when it is whole and on the disk. One
that cannot be read is put aside, and said so: no restart fails for it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from querybudget.errors import SetupError
from querybudget.ledger import Account
from querybudget.ledger.windows import LeaseState

__all__ = ["Lock", "Row", "Writer", "encode", "read"]

Row = tuple[str, bool, Account]
"""A partition, whether it is known (or a newcomer), and its account."""

HEAD = b"querybudget accounts "
VERSION = 1

_LENGTH = 4
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Row])

logger = logging.getLogger("querybudget")


def encode(rows: Sequence[Row]) -> bytes:
    """One block."""
    return _encoder.encode(rows)


class Writer:
    """Writes a file that nobody sees before it is finished. Its methods wait for the disk.

    Args:
        path: What it is to be called in the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(f"{path.name}.new")
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._using = threading.Lock()
        self._over = False

    def add(self, block: bytes) -> None:
        """Write one block, and the head before the first.

        Raises:
            OSError: It cannot be written.
        """
        with self._using:
            if not self._over:
                self._put(self._opened(), len(block).to_bytes(_LENGTH, "big") + block)

    def finish(self) -> None:
        """Put the file in the place of the last one.

        Raises:
            OSError: It cannot be written; the last one is as it was.
        """
        with self._using:
            if not self._over:
                self._finish(self._opened())

    def discard(self) -> None:
        """Leave no unfinished file, whatever a thread is at. A finished one stays as it is."""
        with self._using:
            if self._file is not None and not self._over:
                with suppress(OSError):  # it is in the way of nobody
                    self._file.close()
                with suppress(OSError):
                    self._new.unlink()
            self._over = True

    def _finish(self, file: BinaryIO) -> None:
        with file:
            self._put(file, bytes(_LENGTH))
            file.write(self._digest.digest())
            file.flush()
            os.fsync(file.fileno())
        self._new.replace(self._path)
        self._over = True
        _sync_directory(self._path.parent)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self._new.open("wb")
            self._put(self._file, HEAD + b"%d\n" % VERSION)
        return self._file

    def _put(self, file: BinaryIO, data: bytes) -> None:
        self._digest.update(data)
        file.write(data)


def read(path: Path, now: int) -> Iterator[Row]:
    """The accounts of a file, in its order, without what has expired at `now`.

    All of them, or none: what is not whole, or of a later version, is put aside.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return iter(())
    try:
        rows = [row for block in _blocks(data) for row in _decoder.decode(block)]
    except (ValueError, msgspec.DecodeError) as error:
        aside = path.with_name(f"{path.name}.corrupt")
        path.replace(aside)
        logger.error(  # noqa: TRY400 - what is wrong is in the message
            "%s holds no accounts that could be read: %s. It was put aside as %s, and everybody "
            "begins anew",
            path,
            error,
            aside,
        )
        return iter(())
    return (row for row in rows if _lasts(row, now))


def _blocks(data: bytes) -> Iterator[memoryview]:
    """All blocks of a whole file; ValueError for any other."""
    head, _, _ = data.partition(b"\n")
    if not head.startswith(HEAD) or not head[len(HEAD) :].isdigit():
        raise ValueError(f"expected it to begin with {HEAD.decode()!r}, found {head[:40]!r}")
    version = int(head[len(HEAD) :])
    if version != VERSION:
        raise ValueError(f"expected version {VERSION}, found {version}")
    end = len(data) - hashlib.sha256().digest_size
    if hashlib.sha256(data[:end]).digest() != data[end:]:
        raise ValueError("its checksum does not fit, so that it is not whole or was changed")
    view, at = memoryview(data), len(head) + 1
    while length := int.from_bytes(view[at : at + _LENGTH], "big"):
        at += _LENGTH
        yield view[at : at + length]
        at += length


def _lasts(row: Row, now: int) -> bool:
    """Drop from an account what expires without a quota; whether it has to be kept."""
    _, known, account = row
    account.open = {name: until for name, until in account.open.items() if until > now}
    for window in account.windows.values():
        if type(window) is LeaseState:
            window.open = {name: until for name, until in window.open.items() if until > now}
    return known or not account.blank


class Lock:
    """Says that a file is ours: of two stores, in this process or another, one gets it.

    Where the system has no `flock`, everybody gets it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f"{path.name}.lock")
        self._file: BinaryIO | None = None

    def take(self) -> None:
        """Take it, until it is let go or the process ends.

        Raises:
            SetupError: Another has it, or it cannot be made.
        """
        try:
            file = self._beside.open("ab")
        except OSError as error:
            raise SetupError(
                f"accounts cannot be saved in {self._path}: {error.strerror} for {self._beside}; "
                "expected a directory that is there and can be written"
            ) from error
        try:
            _lock(file)
        except OSError as error:
            file.close()
            raise SetupError(
                f"another process saves its accounts in {self._path}: give each worker a snapshot "
                "of its own, or let them share a store: sqlite:// or redis://"
            ) from error
        self._file = file

    def release(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: BinaryIO) -> None:
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - there is none on Windows

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_directory(directory: Path) -> None:
    """Let a new name last through a power cut, where a directory can be told to."""
    if sys.platform == "win32":
        return
    with suppress(OSError):  # not every file system can be told
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
