"""Logs as tables: CSV, with commas, semicolons, tabs or bars between the columns."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from querybudget.traffic.log_lines import LONGEST, Problem
from querybudget.traffic.log_reading import Reading, SumsError
from querybudget.traffic.record import TrafficRecord
from querybudget.traffic.row_logs import any_row, knows, plain
from querybudget.traffic.spend_logs import is_spend, spend_row

_SEPARATORS = ",;\t|"
_LONGEST_HEADER = 1 << 16


def separator_of(header: bytes) -> str:
    """Return what separates the columns of a table about calls; empty if a line is no header."""
    if len(header) > _LONGEST_HEADER or header.lstrip()[:1] in {b"{", b"["}:
        return ""
    text = header.decode("utf-8", "replace")
    return next((sign for sign in _SEPARATORS if knows(map(plain, _columns(text, sign)))), "")


def columns_of(header: bytes) -> int:
    """Return how many columns a line has, if it is the header of any table."""
    text = header[:_LONGEST_HEADER].decode("utf-8", "replace")
    return max(len(_columns(text, sign)) for sign in _SEPARATORS)


def rows_of(
    lines: Iterator[tuple[int, bytes | Problem]], separator: str, reading: Reading, file: str
) -> Iterator[TrafficRecord | Problem]:
    """Yield the rows of a table.

    Raises:
        SumsError: They add up many calls.
    """
    problems = list[Problem]()

    def texts() -> Iterator[str]:
        for _, line in lines:
            if isinstance(line, Problem):
                problems.append(line)
            else:
                yield line.decode("utf-8", "replace")

    csv.field_size_limit(LONGEST)
    rows = csv.DictReader(texts(), delimiter=separator)
    record: Callable[[Mapping[str, Any], Reading], TrafficRecord] | None = None
    while True:
        try:
            row = next(rows, None)
            if row is None:
                break
            record = record or (spend_row if is_spend(row) else any_row)
            yield record(row, reading)
        except SumsError:
            raise
        except (ValueError, OverflowError, csv.Error) as error:
            yield Problem(rows.line_num, str(error)[:200], file)
        yield from problems
        problems.clear()
    yield from problems


def _columns(text: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=separator), list[str]())
    except csv.Error:
        return []
