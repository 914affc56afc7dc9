"""Traffic logs as arguments of commands."""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from querybudget.traffic.read import Problem
    from querybudget.traffic.record import TrafficRecord

WINDOW = 20_000
MOST_WINDOW = 1_000_000


def add_logs(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name traffic logs and say how they are read."""
    parser.add_argument("log", nargs="+", metavar="LOG", help="a traffic log; - for standard input")
    parser.add_argument(
        "--window",
        type=_window,
        default=WINDOW,
        metavar="N",
        help="records held back to put them in order; default: %(default)s",
    )
    parser.add_argument(
        "--plain", action="store_true", help="no progress bar, but a line now and then"
    )


def records_of(arguments: argparse.Namespace) -> Iterator[TrafficRecord | Problem]:
    """Return the records of the logs that arguments name, and the problems of bad lines.

    Those of several logs are merged by their times.
    """
    from querybudget.traffic.read import read  # noqa: PLC0415 - not for `--help`

    logs = [read(log) for log in arguments.log]
    return logs[0] if len(logs) == 1 else _merged(logs)


def _merged(
    logs: list[Iterator[TrafficRecord | Problem]],
) -> Iterator[TrafficRecord | Problem]:
    timed = [_timed(log) for log in logs]
    return (item for _, item in heapq.merge(*timed, key=lambda pair: pair[0]))


def _timed(
    items: Iterator[TrafficRecord | Problem],
) -> Iterator[tuple[int, TrafficRecord | Problem]]:
    """Yield each item with its time; a problem's is that of the record before it."""
    at = 0
    for item in items:
        at = getattr(item, "at", at)
        yield at, item


def _window(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= MOST_WINDOW:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_WINDOW} records, found {text!r}")
    return number
