"""Read a traffic log, in any of the formats that servers and gateways write."""

from __future__ import annotations

import csv
import heapq
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from querybudget.errors import SetupError
from querybudget.identity import KeyedHash
from querybudget.traffic.access_logs import nginx_record, uvicorn_record, vllm_record
from querybudget.traffic.api_logs import openai_record
from querybudget.traffic.json_items import items_of
from querybudget.traffic.log_files import by_process
from querybudget.traffic.log_lines import STDIN, Problem, damaged, lines_of, opened
from querybudget.traffic.log_reading import Reading, UnrelatedLineError
from querybudget.traffic.own import record_in
from querybudget.traffic.record import TrafficRecord
from querybudget.traffic.spend_logs import spend_record, spend_row

__all__ = ["FORMATS", "Format", "Problem", "read"]

Item = TrafficRecord | Problem
Format = Literal["querybudget", "litellm", "openai", "nginx", "vllm", "uvicorn"]
"""Formats of logs, in the order in which they are tried."""

_READERS: dict[str, Callable[[bytes, Reading], TrafficRecord]] = {
    "querybudget": lambda line, _: record_in(line),
    "litellm": spend_record,
    "openai": openai_record,
    "nginx": nginx_record,
    "vllm": vllm_record,
    "uvicorn": uvicorn_record,
}
FORMATS = tuple(_READERS)

LOOKED_AT = 50
"""Lines by which a format is recognised."""

_SECRET_BYTES = 32


def read(
    path: str | os.PathLike[str],
    format: Format | None = None,  # noqa: A002 - what everybody calls it
    *,
    secret: bytes = b"",
    prompts: bool = False,
    year: int = 1970,
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
        year: Of vLLM's times, which have none.

    Raises:
        FileNotFoundError: There is no such file, nor a log of that name.
        OSError: It cannot be opened.
        SetupError: There is no such format; or it is compressed with zstd, and the library for that
            is missing.
    """
    if format is not None and format not in _READERS:
        raise SetupError(f"expected a format of {', '.join(FORMATS)}, found {format!r}")
    reading = Reading(KeyedHash(secret or os.urandom(_SECRET_BYTES)), prompts, year)
    where = Path(path)
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
        if _begins(stream) == b"[" and name in {None, "litellm", "openai"}:
            yield from _records(items_of(stream, file), name, reading, file)
            return
        lines = lines_of(stream, file)
        start = list(itertools.islice(lines, 1))
        every = itertools.chain(start, lines)
        if name in {None, "litellm"} and start and _is_header(start[0][1]):
            yield from _table(every, reading, file)
        else:
            yield from _records(every, name, reading, file)


def _begins(stream: io.BufferedReader) -> bytes:
    """Return the first byte; nothing of a file that is damaged from the start."""
    try:
        return stream.peek(1)[:1]
    except damaged():  # who reads its lines says so
        return b""


def _records(
    lines: Iterator[tuple[int, bytes | Problem]], name: str | None, reading: Reading, file: str
) -> Iterator[Item]:
    start = list(itertools.islice(lines, LOOKED_AT)) if name is None else []
    record = _READERS[name or _recognised([line for _, line in start], reading)]
    for number, line in itertools.chain(start, lines):
        if isinstance(line, Problem):
            yield line
            continue
        try:
            yield record(line, reading)
        except UnrelatedLineError:
            continue
        except (ValueError, OverflowError, RecursionError) as error:
            yield Problem(number, str(error)[:200], file)


def _recognised(lines: Sequence[bytes | Problem], reading: Reading) -> str:
    """Return the format of which most lines are; ours if they are of none."""

    def matches(name: str) -> int:
        return sum(_is(name, line, reading) for line in lines if not isinstance(line, Problem))

    return max(_READERS, key=matches)  # the first of those that are equal


def _is(name: str, line: bytes, reading: Reading) -> bool:
    try:
        _READERS[name](line, reading)
    except UnrelatedLineError as other:
        return other.own
    except (ValueError, OverflowError, RecursionError):
        return False
    return True


def _is_header(line: bytes | Problem) -> bool:
    return isinstance(line, bytes) and b"startTime" in line and b"{" not in line


def _table(
    lines: Iterator[tuple[int, bytes | Problem]], reading: Reading, file: str
) -> Iterator[Item]:
    """Yield the rows of LiteLLM's table as CSV."""
    problems = list[Problem]()

    def texts() -> Iterator[str]:
        for _, line in lines:
            if isinstance(line, Problem):
                problems.append(line)
            else:
                yield line.decode("utf-8", "replace")

    csv.field_size_limit(1 << 24)
    rows = csv.DictReader(texts())
    while True:
        try:
            row = next(rows, None)
            if row is None:
                break
            yield spend_row(row, reading)
        except (ValueError, OverflowError, csv.Error) as error:
            yield Problem(rows.line_num, str(error)[:200], file)
        yield from problems
        problems.clear()
    yield from problems


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
