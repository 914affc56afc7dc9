"""How far a long command is: a bar in a terminal, and otherwise a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic

from querybudget.text import moment

PAUSE = 5.0
"""Seconds between two lines."""

Report = Callable[[int, int], None]
"""Takes how many records were read, and the time of the last in µs since the epoch."""


def accounts_read() -> Callable[[int], None]:
    """Return what prints on standard error, every `PAUSE` seconds, how many accounts were read."""
    following = monotonic() + PAUSE

    def report(accounts: int) -> None:
        nonlocal following
        if monotonic() >= following:
            following = monotonic() + PAUSE
            print(f"{accounts:,} accounts read", file=sys.stderr)

    return report


@contextmanager
def progress(*, plain: bool) -> Generator[Report]:
    """Show on standard error how far a command is.

    Args:
        plain: Lines, also in a terminal.
    """
    if not plain and sys.stderr.isatty():
        try:
            from rich.console import Console  # noqa: PLC0415 - of an extra
            from rich.progress import (  # noqa: PLC0415
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeElapsedColumn,
            )
        except ImportError:
            pass
        else:
            columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
            with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
                task, begun = bar.add_task("reading"), monotonic()

                def show(records: int, at: int) -> None:
                    bar.update(task, description=_described(records, at, monotonic() - begun))

                yield show
            return
    yield _Lines()


class _Lines:
    """Prints a line at most every `PAUSE` seconds."""

    def __init__(self) -> None:
        self._begun = self._next = monotonic()
        self._next += PAUSE

    def __call__(self, records: int, at: int) -> None:
        now = monotonic()
        if now >= self._next:
            self._next = now + PAUSE
            print(_described(records, at, now - self._begun), file=sys.stderr)


def _described(records: int, at: int, seconds: float) -> str:
    rate = round(records / seconds) if seconds else 0
    return f"{records:,} calls replayed, {rate:,} a second, at {moment(at)}"
