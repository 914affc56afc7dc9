"""A thread that writes lines to the files of a log: whoever hands one in never waits for a disk."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections import deque
from pathlib import Path

from querybudget.policy.outputs import Rotation
from querybudget.redact import error_type
from querybudget.stores import Clock
from querybudget.traffic.log_files import PRIVATE, SHARED, LogFile, prune
from querybudget.units import SECOND

MOST_BYTES = 32 << 20
"""Bytes of lines that wait to be written; what comes above is dropped and counted."""

PAUSE = 0.25
"""Seconds for which lines are collected, so that they are written and compressed together."""

PIECE = 1 << 20
"""Bytes that are written at once, about."""

WARNED = 60 * SECOND
"""µs between two warnings about lines that were lost."""

CLOSING = 8.0
"""Seconds that closing waits for a disk."""

logger = logging.getLogger("querybudget")


class LineWriter:
    """Writes lines in a thread of its own, which starts with the first line.

    After a fork each process has its own thread, queue and file.

    Args:
        path: The log's.
        rotation: When the next file begins, and how many are kept.
        clock: µs since the epoch.
        private: Whether only the owner may read the files.

    Attributes:
        dropped: Lines lost, because the disk was too slow or refused them.
    """

    def __init__(self, path: Path, rotation: Rotation, clock: Clock, *, private: bool) -> None:
        self._path = path
        self._rotation = rotation
        self._clock = clock
        self._mode = PRIVATE if private else SHARED
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._lines = deque[bytes]()
        self._waiting = self._taken = self._handed = self.dropped = self._told = 0
        self._hurry = self._ending = self._idle = False
        self._warned = -WARNED
        self._thread: threading.Thread | None = None
        self._file: LogFile | None = None

    def put(self, line: bytes) -> None:
        """Hand in a line; it is dropped if too many bytes wait already."""
        if self._process != os.getpid():
            self._reset()
        with self._changed:
            if self._waiting + len(line) > MOST_BYTES:
                self.dropped += 1
                return
            self._lines.append(line)
            self._waiting += len(line)
            self._handed += 1
            if self._thread is None:
                self._start()
            elif self._idle:
                self._changed.notify_all()

    def flush(self) -> None:
        """Wait until every line that was handed in is written, or lost."""
        with self._changed:
            handed = self._handed
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._taken >= handed or self._thread is None)

    def close(self) -> None:
        """Write what waits and end the file. The next line begins another one."""
        thread = self._thread
        if thread is None or self._process != os.getpid():
            return
        atexit.unregister(self.close)
        with self._changed:
            self._ending = self._hurry = True
            self._changed.notify_all()
        thread.join(CLOSING)
        if thread.is_alive():
            logger.warning("the traffic log could not be written to its end: %s", self._path)

    def _start(self) -> None:
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="querybudget-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        try:
            while batch := self._next():
                self._write(batch)
                with self._changed:
                    self._taken += len(batch)
                    self._changed.notify_all()
        finally:
            self._end_file()
            with self._changed:
                self._thread = None
                self._changed.notify_all()

    def _next(self) -> list[bytes]:
        """Wait for lines and return some; none at the end."""
        with self._changed:
            self._idle = True
            self._changed.wait_for(lambda: self._lines or self._ending)
            self._idle = False
            self._changed.wait_for(lambda: self._hurry, PAUSE)
            batch, size = list[bytes](), 0
            while self._lines and size < PIECE:
                line = self._lines.popleft()
                batch.append(line)
                size += len(line)
            self._waiting -= size
            self._hurry = self._ending or bool(self._lines)
            return batch

    def _write(self, batch: list[bytes]) -> None:
        now = self._clock()
        try:
            file = self._file
            if file is None or self._is_full(file, now):
                self._end_file()
                file = self._file = LogFile(self._path, now, self._mode)
                prune(self._path, self._rotation.keep)
            file.write(b"".join(batch))
        except Exception as error:  # noqa: BLE001 - whatever a disk raises, the server goes on
            self._file = None
            self.dropped += len(batch)
            self._warn(now, f" ({error_type(error)})")
        else:
            self._warn(now, "")

    def _is_full(self, file: LogFile, now: int) -> bool:
        return file.size >= self._rotation.size or now - file.began >= self._rotation.every

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _warn(self, now: int, why: str) -> None:
        lost = self.dropped - self._told
        if lost and now - self._warned >= WARNED:
            self._told, self._warned = self.dropped, now
            logger.warning("the traffic log %s has lost %d records%s", self._path, lost, why)
