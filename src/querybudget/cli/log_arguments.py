"""Traffic logs as arguments of commands."""

from __future__ import annotations

import argparse
import heapq
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from querybudget.traffic import Problem, TrafficRecord

FORMATS = ("querybudget", "litellm", "openai", "nginx", "vllm", "uvicorn")
"""As in `querybudget.traffic.read`, which takes too long to load for the parser."""

_SECRET = os.urandom(32)

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
        "--format",
        choices=FORMATS,
        help="what the logs are; by default, it is recognised by their first lines",
    )
    parser.add_argument(
        "--plain", action="store_true", help="no progress bar, but a line now and then"
    )


def records_of(
    arguments: argparse.Namespace, secret: bytes, *, prompts: bool
) -> Iterator[TrafficRecord | Problem]:
    """Return the records of the logs that arguments name, and the problems of bad lines.

    Those of several logs are merged by their times.

    Args:
        arguments: Those of the command.
        secret: Hashes the callers of foreign logs: the policy's, or else this process's own.
        prompts: Whether what the model read is wanted of foreign logs.
    """
    from querybudget.traffic import read  # noqa: PLC0415 - not for `--help`

    year = datetime.now(UTC).year  # of vLLM's times, which have none
    secret = secret or _SECRET
    logs = [
        read(log, arguments.format, secret=secret, prompts=prompts, year=year)
        for log in arguments.log
    ]
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
