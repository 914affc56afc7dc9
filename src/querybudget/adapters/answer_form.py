"""The form of an answer, told by its first bytes.

Servers label streams in many ways: LitServe's are ``text/plain``, Ollama's lines of JSON are called
``application/x-ndjson`` or nothing at all, and errors come as JSON under ``text/event-stream``.
"""

from __future__ import annotations

import enum
import re
from typing import Protocol

from querybudget.adapters.frame_stream import PRELUDE, is_frame

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n\x1e"  # a record separator may come before JSON (RFC 7464)
_FIELD = re.compile(rb"(?:data|event|id|retry)?:")
_USUAL = (b"data:", b"event:")
_NAMES = (b"data:", b"event:", b"id:", b"retry:")


def is_structured(content_type: str) -> bool:
    """Return True if a server builds answers of a type, in lower case, around the model's text.

    In any other, such as plain text, all may be what the model wrote: a report of usage too.
    """
    return "json" in content_type or "event" in content_type


class Form(enum.Enum):
    """What the bytes of an answer are."""

    EVENTS = "server-sent events"
    VALUES = "a JSON object, or several of them"
    ARRAY = "a JSON array"
    FRAMES = "frames of an event stream of Amazon's"
    OTHER = "text, or anything else"


class Framer(Protocol):
    """Splits bytes, however they are cut, into the data of whole events."""

    @property
    def between(self) -> bool:
        """Whether nothing is pending."""
        ...

    @property
    def skipped(self) -> int:
        """Bytes of events that were too long to keep."""
        ...

    def feed(self, chunk: bytes, /) -> list[bytes]:
        """Take the next bytes; return the events that they complete."""
        ...

    def end(self) -> list[bytes]:
        """Return what is an event now that no bytes follow."""
        ...


def form_of(first: bytes, *, labelled: bool) -> tuple[Form | None, int]:
    """Return the form of an answer.

    Args:
        first: Its first bytes.
        labelled: It is called ``text/event-stream``: so are bytes that say nothing.

    Returns:
        The form, None if more bytes are needed to tell; and how many bytes come before it.
    """
    if first.startswith(b"{"):
        return Form.VALUES, 0
    if first.startswith(_USUAL):
        return Form.EVENTS, 0
    start = len(_BOM) if first.startswith(_BOM) else 0
    if not start and _BOM.startswith(first):
        return None, 0
    start = len(first) - len(first[start:].lstrip(_SPACE))
    begin = first[start : start + 8]
    if begin.startswith(b"{"):
        form: Form | None = Form.VALUES
    elif begin.startswith(b"["):
        form = Form.ARRAY
    elif not begin or any(name.startswith(begin) for name in _NAMES):
        form = None
    elif begin.startswith(b"\0"):
        form = _binary(first[start:])
    elif labelled or _FIELD.match(begin):
        form = Form.EVENTS
    else:
        form = Form.OTHER
    return form, start


def _binary(first: bytes) -> Form | None:
    if len(first) < PRELUDE:
        return None
    return Form.FRAMES if is_frame(first) else Form.OTHER
