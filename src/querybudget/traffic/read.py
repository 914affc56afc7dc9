"""Read a traffic log, in any of the formats that servers and gateways write."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from querybudget.traffic.log_files import by_process
from querybudget.traffic.log_lines import STDIN, Problem, lines_of, opened
from querybudget.traffic.own import record_in
from querybudget.traffic.record import TrafficRecord

__all__ = ["Problem", "read"]

Item = TrafficRecord | Problem


def read(path: str | os.PathLike[str]) -> Iterator[Item]:
    """Yield what a traffic log holds: a record for each call, a problem for each bad line.

    Memory does not grow with the log. The records of one process are in the order in which its
    calls ended, those of several are merged by the time at which they were decided.

    Args:
        path: A file, ``-`` for standard input, or the path that a policy gives its traffic log,
            whose files are found by it.

    Raises:
        FileNotFoundError: There is no such file, nor a log of that name.
        OSError: It cannot be opened.
        SetupError: It is compressed with zstd, and the library for that is missing.
    """
    where = Path(path)
    if str(path) == STDIN or where.is_file():
        return _read_file(STDIN if str(path) == STDIN else where)
    processes = by_process(where)
    if not processes:
        raise FileNotFoundError(f"no traffic log {where}, and no file of one")
    if len(processes) == 1:
        return _chained(processes[0])
    return _merged([_chained(files) for files in processes])


def _read_file(path: Path | str) -> Iterator[Item]:
    file = str(path)
    with opened(path) as stream:
        for number, line in lines_of(stream, file):
            if isinstance(line, Problem):
                yield line
                continue
            try:
                yield record_in(line)
            except ValueError as error:
                yield Problem(number, f"no record of a call: {error}", file)


def _chained(files: Iterable[Path]) -> Iterator[Item]:
    for file in files:
        yield from _read_file(file)


def _merged(streams: Sequence[Iterator[Item]]) -> Iterator[Item]:
    timed = [_timed(stream) for stream in streams]
    return (item for _, item in heapq.merge(*timed, key=lambda pair: pair[0]))


def _timed(items: Iterator[Item]) -> Iterator[tuple[int, Item]]:
    """Yield each item with its time; a problem's is that of the record before it."""
    at = 0
    for item in items:
        at = item.at if isinstance(item, TrafficRecord) else at
        yield at, item
