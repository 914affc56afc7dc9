"""Reading answers of no known dialect, and those of which only the ends are known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import msgspec

from querybudget.adapters.answer_text import text_size
from querybudget.adapters.answer_totals import DECODE_ERRORS, AnswerTotals, Read
from querybudget.adapters.usage_shapes import Object, usage_in
from querybudget.adapters.usage_sums import larger

_ANY: msgspec.json.Decoder[object] = msgspec.json.Decoder()
_NAMES = (
    b'"usage"',
    b'"usageMetadata"',
    b'"meta"',
    b'"meta_info"',
    b'"timings"',
    b'"prompt_eval_count"',
)
"""Members of the outermost object that report usage, or with which a report begins."""

_SIGNS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{}\]]', re.DOTALL)
"""A string, which may be cut short, or a bracket. It always matches at a quote, so it looks at each
byte once."""


def read_any(data: bytes, totals: AnswerTotals) -> None:
    """Read an event or a body of no known shape: its usage wherever it is, and all its text."""
    document = _ANY.decode(data)
    totals.output_bytes += text_size(document)
    usage = usage_in(cast("Object", document)) if isinstance(document, dict) else None
    if usage is not None:
        totals.usage = larger(totals.usage, usage)


def read_foreign(data: bytes, totals: AnswerTotals) -> None:
    """Read an event or a body of another dialect than its path's, or an error, which is no text."""
    document = _ANY.decode(data)
    if isinstance(document, dict) and "error" not in document:
        read_any(data, totals)


def read_at_end(read: Read, data: bytes, totals: AnswerTotals) -> None:
    """Read the first report of usage that can be read to the end of a body."""
    for report in _reports_at_end(data):
        _read_report(read, report, totals)
        if totals.usage is not None:
            return


def read_at_start(read: Read, data: bytes, totals: AnswerTotals) -> None:
    """Read a report of usage near the start of a body."""
    report = _report_at_start(data)
    if report:
        _read_report(read, report, totals)


def _read_report(read: Read, report: bytes, totals: AnswerTotals) -> None:
    for reader in (read, read_any):
        try:
            reader(report, totals)
        except DECODE_ERRORS:
            continue
        return


def _reports_at_end(data: bytes) -> Iterator[bytes]:
    """Yield objects that hold what follows a report, if it is in the outermost object.

    Quotes within a JSON string are escaped, so ``"usage"`` is always a member's name or a whole
    string. What follows it parses as an object of its own only if that member is outermost.
    """
    for name in _NAMES:
        start = data.rfind(name)
        if start >= 0:
            yield b"{" + data[start:]


def _report_at_start(data: bytes) -> bytes:
    """Return an object with a ``usage`` near the start of a body; empty without one.

    Args:
        data: The first bytes of an object.
    """
    depth = start = 0
    for sign in _SIGNS.finditer(data):
        match sign[0][:1]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if start and depth == 1:
                    return b"{" + data[start : sign.end()] + b"}"
            case _ if depth == 1 and sign[0] in _NAMES[:4]:
                start = sign.start()
            case _:
                pass
    return b""
