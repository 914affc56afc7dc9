"""Load the policy again while the server runs: when its file changes, and at SIGHUP.

A policy that is wrong is refused, and the one that runs stays. Usage is kept. Each worker watches
for itself and logs the hash of what it runs, which the health endpoint shows too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from querybudget.errors import PolicyError, QueryBudgetError
from querybudget.limiter import Limiter
from querybudget.policy import load_policy

logger = logging.getLogger("querybudget")

EVERY = 2.0
"""Seconds between two looks at the file. A change is loaded when the next look finds no other."""

_HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
_TERMINAL = "/dev/tty"

Stamp = tuple[int, int, int]

_hearing: dict[asyncio.AbstractEventLoop, set[Reloading]] = {}
"""Who hears SIGHUP: every middleware of this process, by its event loop."""


class Reloading:
    """Loads the policy of one limiter again.

    Args:
        limiter: The limiter. What it runs is loaded from the file that its policy names.
        pause: Waits from one look at the file to the next; by default, `EVERY` seconds.
    """

    def __init__(
        self, limiter: Limiter, pause: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._limiter = limiter
        self._pause = pause or partial(asyncio.sleep, EVERY)
        self._source = limiter.policy.source
        self._beside: tuple[str, ...] = ()
        """Files of overrides for which a policy was refused: it is tried again when they change."""
        self._wrong = False
        """Whether the last attempt failed, so that the log ends with an error."""
        self._watching: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    def start(self) -> None:
        """Begin to watch the file, while the policy does not say not to, and to hear SIGHUP."""
        if _stamp(self._source) is None:
            return  # it came from no file
        self._watching = asyncio.create_task(self._watch(self._stamps()))
        _hear(self)

    async def stop(self) -> None:
        """Watch no longer."""
        _hear_no_more(self)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
            self._watching = None

    async def reload(self, why: str) -> bool:
        """Load the policy from its file, and log what changes.

        Args:
            why: What asked for it, for the log.

        Returns:
            True if the policy that runs is the file's.
        """
        async with self._lock:
            limiter = self._limiter
            self._beside = ()  # whoever reads them at work looks at them itself
            try:
                policy = await asyncio.to_thread(load_policy, self._source)
                switches = limiter.switches
                if policy == switches.policy and not switches.local:
                    self._log_unchanged(why)
                    return True
                await limiter.reload(policy, why=why)
                self._wrong = False
            except PolicyError as error:
                self._wrong = True
                self._beside = tuple({problem.source for problem in error.problems})
                limiter.refused_policies += 1
                logger.error("%s: the policy is refused, and the old one stays:\n%s", why, error)  # noqa: TRY400 - the lines of the file say where
                return False
            except QueryBudgetError as error:
                self._wrong = True
                limiter.refused_policies += 1
                logger.error("%s: the old policy stays: %s", why, error)  # noqa: TRY400 - the message says it all
                return False
        return True

    def _log_unchanged(self, why: str) -> None:
        """Log that the file says what runs: as loudly as the error that this ends, if one does."""
        said = "valid again, and as before" if self._wrong else "as before"
        level = logging.WARNING if self._wrong else logging.INFO
        logger.log(level, "%s: the policy is %s (%s)", why, said, self._limiter.policy_hash)
        self._wrong = False

    async def _watch(self, seen: dict[str, Stamp | None]) -> None:
        """Load the file when it has changed and is left alone: editors write in several steps.

        So it is when a file beside it has changed for which the last attempt failed.
        """
        last = seen
        while True:
            await self._pause()
            if not self._limiter.policy.watch:
                seen = {}  # if it is to be watched again, then from how it is then
                continue
            now = await asyncio.to_thread(self._stamps)
            if now[self._source] is None or now != last:
                last = now
                continue
            changed = [name for name, stamp in now.items() if seen.get(name, stamp) != stamp]
            seen = now
            if changed:
                try:
                    await self.reload(f"{changed[0]} has changed")
                except Exception:
                    logger.exception("reloading failed: the old policy stays")
                seen = await asyncio.to_thread(self._stamps) | now

    def _stamps(self) -> dict[str, Stamp | None]:
        return {name: _stamp(name) for name in (self._source, *self._beside)}


def _stamp(source: str) -> Stamp | None:
    """Return what tells one version of a file from another; None if there is no such file."""
    try:
        found = Path(source).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


# -- SIGHUP --------------------------------------------------------------------------------------


def _hear(reloading: Reloading) -> None:
    """Let SIGHUP reload, unless the server uses it itself, or the process is to ignore it."""
    loop = asyncio.get_running_loop()
    if loop in _hearing:
        _hearing[loop].add(reloading)
        return
    if _HANGUP is None or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(_HANGUP) is not signal.SIG_DFL:
        return
    try:
        loop.add_signal_handler(_HANGUP, _heard, loop, _has_terminal())
    except (NotImplementedError, RuntimeError, ValueError):
        return  # a loop that hears no signals
    _hearing[loop] = {reloading}


def _hear_no_more(reloading: Reloading) -> None:
    loop = asyncio.get_running_loop()
    hearing = _hearing.get(loop)
    if hearing is None:
        return
    hearing.discard(reloading)
    if not hearing and _HANGUP is not None:
        del _hearing[loop]
        loop.remove_signal_handler(_HANGUP)


def _heard(loop: asyncio.AbstractEventLoop, had_terminal: bool) -> None:  # noqa: FBT001 - a callback
    """Reload; but end, as ever, if the signal says that the terminal was closed."""
    if _HANGUP is not None and had_terminal and not _has_terminal():
        loop.remove_signal_handler(_HANGUP)
        os.kill(os.getpid(), _HANGUP)
        return
    for reloading in tuple(_hearing.get(loop, ())):
        task = loop.create_task(reloading.reload("SIGHUP"))
        _reloads.add(task)
        task.add_done_callback(_reloads.discard)


_reloads = set[asyncio.Task[bool]]()
"""Reloads under way: an event loop itself keeps tasks only weakly."""


def _has_terminal() -> bool:
    """Return True if this process has a controlling terminal."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True
