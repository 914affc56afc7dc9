"""Progress bars on standard error, with rich if it is installed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["bar"]

Advance = Callable[[int, str], None]


@contextmanager
def bar(title: str, total: int) -> Iterator[Advance]:
    """Show a bar; the value is a function to call with the work done and a label."""
    if not sys.stderr.isatty():
        yield _lines(title, total)
        return
    try:
        from rich.console import Console  # noqa: PLC0415 - of the demo extra, not needed
        from rich.progress import Progress  # noqa: PLC0415 - the same
    except ImportError:
        yield _lines(title, total)
        return
    with Progress(console=Console(stderr=True)) as shown:
        task = shown.add_task(title, total=total)

        def advance(done: int, word: str) -> None:
            shown.update(task, advance=done, description=f"{title}: {word}")

        yield advance
        shown.update(task, description=title)


def _lines(title: str, total: int) -> Advance:
    begun, so_far = time.monotonic(), 0

    def advance(done: int, word: str) -> None:
        nonlocal so_far
        so_far += done
        percent, seconds = 100 * so_far // max(total, 1), time.monotonic() - begun
        print(f"{title}: {percent} %, {seconds:.0f} s, {word}", file=sys.stderr, flush=True)

    return advance
