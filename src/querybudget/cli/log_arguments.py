"""Traffic logs as arguments of commands."""

from __future__ import annotations

import argparse
import heapq
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from querybudget.errors import SetupError

if TYPE_CHECKING:
    from querybudget.traffic import Problem, TrafficRecord

FORMATS = (
    *("querybudget", "litellm", "openai", "access-json", "rows"),
    *("nginx", "uvicorn", "vllm", "sglang"),
)
"""As in `querybudget.traffic.read`, which takes too long to load for the parser."""

_SECRET = os.urandom(32)

LEAST_SECRET = 16
"""Bytes, as in a policy."""

YEARS = range(1970, 10_000)

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
    add_reading(parser)
    parser.add_argument(
        "--plain", action="store_true", help="no progress bar, but a line now and then"
    )


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how traffic logs are read."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="what the logs are; by default, it is recognised by their first lines",
    )
    parser.add_argument(
        "--year",
        type=_year,
        metavar="YEAR",
        help="of the first time in vLLM's logs, which have none; default: the latest possible",
    )
    parser.add_argument(
        "--secret-env",
        metavar="NAME",
        help="the environment variable with the secret that hashes callers of foreign logs;"
        " default: the policy's `secret`",
    )


def records_of(
    arguments: argparse.Namespace, logs: Sequence[str], secret: bytes, *, prompts: bool
) -> Iterator[TrafficRecord | Problem]:
    """Return the records of logs, and the problems of bad lines.

    Those of several logs are merged by their times.

    Args:
        arguments: Those of the command: see `add_reading`.
        logs: What `querybudget.traffic.read` takes.
        secret: Hashes the callers of foreign logs: the policy's, or else this process's own.
        prompts: Whether what the model read is wanted of foreign logs.

    Raises:
        SetupError: There is no such log, or no such secret.
    """
    from querybudget.traffic import read  # noqa: PLC0415 - not for `--help`

    secret = _secret(arguments.secret_env) or secret or _SECRET
    found = [
        read(log, arguments.format, secret=secret, prompts=prompts, year=arguments.year)
        for log in logs
    ]
    return found[0] if len(found) == 1 else _merged(found)


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


def _year(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number not in YEARS:
        raise argparse.ArgumentTypeError(f"expected a year such as 2026, found {text!r}")
    return number


def _secret(name: str | None) -> bytes:
    if name is None:
        return b""
    secret = os.environ.get(name, "").encode()
    if len(secret) < LEAST_SECRET:
        raise SetupError(
            f"expected in the environment variable {name} a secret of at least {LEAST_SECRET}"
            f" bytes, found {f'{len(secret)} bytes' if secret else 'none'}"
        )
    return secret
