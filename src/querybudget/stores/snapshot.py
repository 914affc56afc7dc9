"""Saving the accounts of a memory store while anything changes, and beginning from them.

A snapshot is no moment's picture: accounts are written some hundred at a time, between the calls of
everybody else. Each is whole, and what changes while it is written is in the next one. The event
loop only encodes; the disk is waited for in a thread. Its longest turn is the listing of who is to
be written, some ten milliseconds for 100,000 accounts.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from querybudget.errors import SetupError
from querybudget.stores.snapshot_file import Lock, Row, Writer, encode, read
from querybudget.units import SECOND

__all__ = ["Row", "Saver", "Source"]

SLICE = 200
"""Accounts encoded in one turn of the event loop."""

LAST = 3
"""Snapshots at closing, at most, for calls that go on meanwhile."""

logger = logging.getLogger("querybudget")


class Source(Protocol):
    """Whose accounts are saved."""

    def names(self) -> list[str]:
        """All partitions, the least recently seen first."""
        ...

    def rows(self, names: Sequence[str], /) -> list[Row]:
        """What there is of these now. Nobody is seen by it."""
        ...

    def fill(self, rows: Iterable[Row], /) -> None:
        """Begin with these, the least recently seen first."""
        ...


class Saver:
    """Keeps a file as new as the accounts of a store, but for `every` µs.

    Args:
        source: Whose accounts.
        path: The file.
        every: µs from a change to the snapshot that holds it.
        clock: µs since the epoch.
        heed: Is called to say whether to be told of the next call, by `begin`, and of the next
            change, by `changed`. At first both are to be told.
    """

    def __init__(
        self,
        source: Source,
        path: Path,
        every: int,
        clock: Callable[[], int],
        *,
        heed: Callable[[bool], None],
    ) -> None:
        self._heed = heed
        self._source = source
        self._path = path
        self._every = every
        self._clock = clock
        self._lock = Lock(path)
        self._loading = threading.Lock()
        self._begun = self._off = self._unsaved = self._failing = False
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the file, and begin from it. Doing it twice does nothing.

        Raises:
            SetupError: Another process has the file, or it cannot be read or written.
        """
        if not self._begun:
            await asyncio.to_thread(self._load)

    def begin(self) -> None:
        """Do what `start` does, at once. Where it cannot be done, say so, and save nothing."""
        if self._begun or self._off:
            return
        try:
            self._load()
        except SetupError as error:
            self._off = True
            self._heed(False)  # noqa: FBT003 - its only argument
            logger.error("%s; nothing is saved", error)  # noqa: TRY400 - the message says it all

    def changed(self) -> None:
        """Save in a while. The store has not to tell of any more changes till then."""
        if self._off:
            return
        self._unsaved = True
        self._heed(False)  # noqa: FBT003 - its only argument
        self._arm()

    async def close(self) -> None:
        """Save what is not saved, and let go of the file. Closing twice does nothing."""
        self._disarm()
        if self._saving is not None and not self._saving.done():
            await asyncio.wait([self._saving])
        for _ in range(LAST):
            if self._unsaved:
                await self._save()
            if self._failing:
                break
        self._disarm()
        self._lock.release()
        self._begun = self._off = self._unsaved = self._failing = False
        self._heed(True)  # noqa: FBT003 - its only argument

    # -- Inside -----------------------------------------------------------------------------------

    def _load(self) -> None:
        with self._loading:  # a call may come while a thread is at it
            if self._begun:
                return
            self._lock.take()
            try:
                self._source.fill(read(self._path, self._clock()))
            except OSError as error:
                self._lock.release()
                raise SetupError(
                    f"accounts cannot be read from {self._path}: {error.strerror}; expected a file "
                    "that can be read, or none"
                ) from error
            self._begun = True

    def _arm(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._every / SECOND, self._due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        if self._saving is not None and not self._saving.done():
            self._arm()
        else:
            self._saving = asyncio.get_running_loop().create_task(self._save())

    async def _save(self) -> None:
        self._unsaved = False
        self._heed(True)  # noqa: FBT003 - its only argument
        try:
            await self._write()
        except asyncio.CancelledError:
            self._unsaved = True
            raise
        except (OSError, OverflowError) as error:
            self._unsaved = True
            if not self._failing:
                logger.error(  # noqa: TRY400 - the message says it all
                    "accounts cannot be saved in %s: %s; they are tried again every %g s, and are "
                    "lost if the process ends before",
                    self._path,
                    error,
                    self._every / SECOND,
                )
            self._failing = True
            self._arm()
        else:
            if self._failing:
                logger.warning("accounts are saved in %s again", self._path)
            self._failing = False

    async def _write(self) -> None:
        names, writer = self._source.names(), Writer(self._path)
        try:
            for first in range(0, len(names), SLICE):
                rows = self._source.rows(names[first : first + SLICE])
                if rows:
                    await asyncio.to_thread(writer.add, encode(rows))
            await asyncio.to_thread(writer.finish)
        finally:
            writer.discard()
