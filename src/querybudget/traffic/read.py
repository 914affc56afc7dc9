"""Read a traffic log, in any of the formats that servers and gateways write."""

from __future__ import annotations

import heapq
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from querybudget.errors import SetupError
from querybudget.identity import KeyedHash
from querybudget.traffic.json_items import items_of
from querybudget.traffic.log_files import by_process
from querybudget.traffic.log_lines import STDIN, Problem, lines_of, opened
from querybudget.traffic.log_reading import Reading, SumsError, UnrelatedLineError
from querybudget.traffic.recognising import (
    FORMATS,
    NEEDS,
    Format,
    head_of,
    is_scanned,
    reader,
    recognised,
    unreadable,
)
from querybudget.traffic.record import TrafficRecord
from querybudget.traffic.table_rows import rows_of, separator_of
from querybudget.units import SECOND

__all__ = ["FORMATS", "Format", "Problem", "read"]

Item = TrafficRecord | Problem

_TABLES = frozenset({None, "litellm", "rows"})
_SECRET_BYTES = 32


def read(
    path: str | os.PathLike[str],
    format: Format | None = None,  # noqa: A002 - what everybody calls it
    *,
    secret: bytes = b"",
    prompts: bool = False,
    year: int | None = None,
) -> Iterator[Item]:
    """Yield what a traffic log holds: a record for each call, a problem for each bad line.

    Memory does not grow with the log. The records of one process are in the order in which its
    calls ended, those of several are merged by the time at which they were decided.

    Args:
        path: A file, ``-`` for standard input, or the path that a policy gives its traffic log,
            whose files are found by it.
        format: What the log is; by default it is recognised by its first lines.
        secret: Hashes the callers of foreign logs. With the policy's, they have the keys of its
            accounts, if it identifies them in the same way; by default it is random.
        prompts: Whether the records of foreign logs have what the model read.
        year: Of the first of vLLM's times, which have none; by default, the latest in which the
            log can have been written.

    Raises:
        FileNotFoundError: There is no such file, nor a log of that name.
        OSError: It cannot be opened.
        SetupError: There is no such format. While it is read: the log is of no known one, or it is
            compressed with zstd, and the library for that is missing.
    """
    if format is not None and format not in FORMATS:
        raise SetupError(f"expected a format of {', '.join(FORMATS)}, found {format!r}")
    where = Path(path)
    latest = where.stat().st_mtime if where.is_file() else time.time()
    hashed = KeyedHash(secret or os.urandom(_SECRET_BYTES))
    reading = Reading(hashed, prompts, year, int(latest * SECOND))
    if str(path) == STDIN or where.is_file():
        return _read_file(STDIN if str(path) == STDIN else where, format, reading)
    processes = by_process(where)
    if not processes:
        raise FileNotFoundError(f"no traffic log {where}, and no file of one")
    streams = [_chained(files, reading) for files in processes]
    return streams[0] if len(streams) == 1 else _merged(streams)


def _read_file(path: Path | str, name: str | None, reading: Reading) -> Iterator[Item]:
    file = str(path)
    with opened(path) as stream:
        head = head_of(stream)
        if is_scanned(head, name, reading):
            yield from _records(items_of(stream, file, b"".join(head)), name, reading, file)
            return
        separator = separator_of(head[-1]) if head and name in _TABLES else ""
        lines = lines_of(stream, file, head)
        if separator:
            yield from _rows(lines, separator, reading, file)
        else:
            yield from _records(lines, name, reading, file)


def _rows(
    lines: Iterator[tuple[int, bytes | Problem]], separator: str, reading: Reading, file: str
) -> Iterator[Item]:
    try:
        yield from rows_of(lines, separator, reading, file)
    except SumsError as error:
        raise unreadable(file, str(error)) from None


def _records(
    lines: Iterator[tuple[int, bytes | Problem]], name: str | None, reading: Reading, file: str
) -> Iterator[Item]:
    start = list[tuple[int, bytes | Problem]]()
    if name is None:
        name, start = recognised(lines, reading, file)
    record, number, found = reader(name), 0, False
    for number, line in itertools.chain(start, lines):
        if isinstance(line, Problem):
            yield line
            continue
        try:
            yield record(line, reading)
            found = True
        except UnrelatedLineError:
            continue
        except (ValueError, OverflowError, RecursionError) as error:
            found = True
            yield Problem(number, str(error)[:200], file)
    if number and not found and name in NEEDS:
        yield Problem(number, NEEDS[name], file)


def _chained(files: Iterable[Path], reading: Reading) -> Iterator[Item]:
    for file in files:
        yield from _read_file(file, "querybudget", reading)


def _merged(streams: Sequence[Iterator[Item]]) -> Iterator[Item]:
    timed = [_timed(stream) for stream in streams]
    return (item for _, item in heapq.merge(*timed, key=lambda pair: pair[0]))


def _timed(items: Iterator[Item]) -> Iterator[tuple[int, Item]]:
    """Yield each item with its time; a problem's is that of the record before it."""
    at = 0
    for item in items:
        at = item.at if isinstance(item, TrafficRecord) else at
        yield at, item
