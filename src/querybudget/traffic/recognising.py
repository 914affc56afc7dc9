"""Recognises the format of a log by how it begins."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Literal, cast

import msgspec

from querybudget.errors import SetupError
from querybudget.traffic.access_logs import nginx_record, uvicorn_record
from querybudget.traffic.api_logs import openai_record
from querybudget.traffic.json_access_logs import json_access_record
from querybudget.traffic.json_items import LISTS
from querybudget.traffic.log_lines import LONGEST, Problem, damaged
from querybudget.traffic.log_reading import NoTimeError, Reading, SumsError, UnrelatedLineError
from querybudget.traffic.log_values import mapping
from querybudget.traffic.own import record_in
from querybudget.traffic.record import TrafficRecord
from querybudget.traffic.row_logs import row_record
from querybudget.traffic.sglang_logs import sglang_record
from querybudget.traffic.spend_logs import spend_record
from querybudget.traffic.table_rows import columns_of
from querybudget.traffic.vllm_logs import VllmLines

Format = Literal[
    "querybudget",
    "litellm",
    "openai",
    "access-json",
    "rows",
    "nginx",
    "uvicorn",
    "vllm",
    "sglang",
]
"""Formats of logs, in the order in which they are tried."""

Reader = Callable[[bytes, Reading], TrafficRecord]

_READERS: dict[str, Callable[[], Reader]] = {
    "querybudget": lambda: _own_record,
    "litellm": lambda: spend_record,
    "openai": lambda: openai_record,
    "access-json": lambda: json_access_record,
    "rows": lambda: row_record,
    "nginx": lambda: nginx_record,
    "uvicorn": lambda: uvicorn_record,
    "vllm": VllmLines,
    "sglang": lambda: sglang_record,
}
FORMATS = tuple(_READERS)

NEEDS = {
    "vllm": "no line about a request: vLLM writes them with --enable-log-requests",
    "sglang": "no line about a finished request: SGLang writes them with --log-requests",
}
"""What a log lacks that is of a known format and has no calls."""

LOOKED_AT = 50
"""Lines of a format by which it is recognised."""

MOST_LOOKED_AT = 1_000
"""Lines that are looked at until it is: servers say other things as they start."""

_MOST_BYTES = 4 << 20
_MOST_EMPTY = 100
_LIST = re.compile(rb'\s*\[\s*(?:[\[{\]"]|$)')
_NAMED = frozenset(name.decode() for name in LISTS)
_JSON = frozenset({None, *FORMATS}) - {"nginx", "uvicorn", "vllm"}
_COLUMNS = 4
"""A line with so many columns is a table's header."""


def reader(name: str) -> Reader:
    """Return the function that reads the lines of a format."""
    return _READERS[name]()


def head_of(stream: io.BufferedReader) -> list[bytes]:
    """Return the first line of a file that is not empty, with the empty ones before it."""
    head = list[bytes]()
    try:
        while len(head) < _MOST_EMPTY:
            line = stream.readline(LONGEST + 1)
            if line:
                head.append(line)
            if not line.isspace():
                break
    except damaged():  # who reads its lines says so
        pass
    return head


def is_scanned(head: list[bytes], name: str | None, reading: Reading) -> bool:
    """Return True if a file is JSON that is no JSON Lines: an array, or objects over many lines."""
    line = head[-1] if head else b""
    begin = line.lstrip()[:1]
    if name not in _JSON or begin not in {b"[", b"{"}:
        return False
    if begin == b"[":
        return _LIST.match(line) is not None
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return len(line) > LONGEST or line.strip() == begin or line.rstrip()[-1:] in b",[{"
    if not any(name in _NAMED and _has_objects(value) for name, value in mapping(row).items()):
        return False
    try:
        return not any(_is(read(), line, reading) for read in _READERS.values())
    except (NoTimeError, SumsError):
        return True


def _has_objects(value: object) -> bool:
    if not isinstance(value, list):
        return False
    first = next(iter(cast("list[object]", value)), None)
    return first is None or isinstance(first, dict)


def recognised(
    lines: Iterator[tuple[int, bytes | Problem]], reading: Reading, file: str
) -> tuple[str, list[tuple[int, bytes | Problem]]]:
    """Return the format of which most of the first lines are, and the lines that were looked at.

    Raises:
        SetupError: They are of none.
    """
    readers = {name: read() for name, read in _READERS.items()}
    found, nearly = dict.fromkeys(readers, 0), dict[str, None]()
    start, size, best = list[tuple[int, bytes | Problem]](), 0, FORMATS[0]
    for number, line in itertools.islice(lines, MOST_LOOKED_AT):
        start.append((number, line))
        if isinstance(line, Problem):
            continue
        size += len(line)
        for name, read in readers.items():
            try:
                found[name] += _is(read, line, reading)
            except SumsError as error:
                nearly[str(error)] = None
            except NoTimeError as error:
                nearly[f"lines as {name} has them, with {error}"] = None
        best = max(found, key=lambda name: found[name])  # the first of those that are equal
        if found[best] >= LOOKED_AT or size > _MOST_BYTES:
            break
    if found[best] or not size:
        return best, start
    text = next(line for _, line in start if isinstance(line, bytes))
    raise unreadable(file, next(iter(nearly), "") or _described(text))


def unreadable(file: str, found: str) -> SetupError:
    """Return the error of a file that is no log of a known format."""
    return SetupError(
        f"{file}: expected a traffic log, found {found}\n  formats that can be read:"
        f" {', '.join(FORMATS)}; --format chooses one"
    )


def too_little(calls: int, passed_over: int, example: str) -> str:
    """Return what is wrong with a log of which too little could be read; empty if enough was.

    Args:
        calls: Calls that were read.
        passed_over: Lines that were not.
        example: What is wrong with the first of these.
    """
    if not calls and not passed_over:
        return "expected a traffic log, found no call in it"
    if passed_over <= calls:
        return ""
    return (
        f"expected a traffic log, could read {calls:,} of {calls + passed_over:,} lines"
        f" ({example}); --format says what it is: {', '.join(FORMATS)}"
    )


def _described(line: bytes) -> str:
    """Say what a file seems to be that begins with a line, without what is in it."""
    if line.lstrip()[:1] in {b"{", b"["}:
        return "JSON without the members of any known format: a time, and a model or tokens"
    if columns_of(line) >= _COLUMNS:
        return "a table without columns for the time and for a model or tokens"
    return "lines of text in no known format"


def _is(read: Reader, line: bytes, reading: Reading) -> bool:
    """Return True if a line is of a reader's format.

    Raises:
        NoTimeError: It is, but for its time.
        SumsError: It is one of many calls.
    """
    try:
        read(line, reading)
    except UnrelatedLineError as other:
        return other.own
    except (NoTimeError, SumsError):
        raise
    except (ValueError, OverflowError, RecursionError):
        return False
    return True


def _own_record(line: bytes, _: Reading) -> TrafficRecord:
    return record_in(line)
