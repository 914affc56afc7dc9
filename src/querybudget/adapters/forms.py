"""Requests as multipart forms (RFC 7578): images to edit, audio to transcribe, files.

The boundary is the body's first line, so no header is needed. Fields are read as text, and files
count by their size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from querybudget.adapters.base import Call, Dialect, Meter, Target
from querybudget.adapters.members import Json, fold
from querybudget.adapters.native import Native
from querybudget.errors import BodyError

MAX_PARTS = 1_000
"""Parts of a form that are read: Starlette takes as many."""

MAX_FIELD = 1 << 20
"""Bytes of a field that are read as text."""

AUDIO_BYTES = 512
"""Bytes of audio that count as one token: a fiftieth of a second to a sixth, by the format."""

_BOUNDARY = re.compile(rb"\s{0,64}--([^\r\n]{1,200})\r?\n")
_NAME = re.compile(rb'(?<!\w)name="?([^";\r\n]{0,200})')
_FILE = re.compile(rb"(?<!\w)filename\*?=")
_HEADERS = 8_192


class Part(msgspec.Struct):
    """A part of a form.

    Attributes:
        name: The field's name.
        content: Its bytes.
        file: Whether it is a file.
    """

    name: str
    content: bytes
    file: bool


def parts_of(body: bytes) -> Iterator[Part]:
    """Return the parts of a form, in order.

    Raises:
        BodyError: The body is no form, or has too many parts.
    """
    first = _BOUNDARY.match(body)
    if first is None:
        raise BodyError("Expected a multipart form: its first line is a boundary.")
    mark = b"\n--" + first[1].rstrip()
    start = first.end()
    for _ in range(MAX_PARTS):
        end = body.find(mark, start)
        yield _part(body[start : end if end >= 0 else len(body)])
        if end < 0 or body[end + len(mark) : end + len(mark) + 2] == b"--":
            return
        start = body.find(b"\n", end + len(mark)) + 1
        if not start:
            return
    raise BodyError(f"Expected at most {MAX_PARTS} parts of a form.")


def _part(data: bytes) -> Part:
    blank = re.search(rb"\r?\n\r?\n", data[:_HEADERS])
    if blank is None and not data.startswith((b"\r\n", b"\n")):
        raise BodyError("Expected headers and an empty line in each part of a form.")
    headers = data[: blank.start()] if blank else b""
    name = _NAME.search(headers)
    return Part(
        name[1].decode(errors="replace") if name else "",
        data[blank.end() if blank else 0 :].removesuffix(b"\r"),
        _FILE.search(headers) is not None,
    )


class Form:
    """Reads a form as `inner` reads a JSON object of its fields; JSON bodies too.

    A file of sound counts by its size, any other as one image.
    """

    def __init__(self, inner: Native, *, sound: bool = False) -> None:
        self._inner = inner
        self._sound = sound
        self.dialect: Dialect = inner.dialect

    def parse(self, target: Target, body: bytes, /) -> Call:
        if _BOUNDARY.match(body) is None:
            return self._inner.parse(target, body)
        fields: dict[str, Json] = {}
        size = files = 0
        for part in parts_of(body):
            if part.file:
                files += 1
                size += len(part.content)
            else:
                text = part.content[:MAX_FIELD].decode(errors="replace")
                fields.setdefault(fold(part.name.removesuffix("[]")), text)
        call = self._inner.read(fields)
        if self._sound:
            call.input_tokens += -(-size // AUDIO_BYTES)
        else:
            call.images += files
        return call

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return self._inner.meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        return body if _BOUNDARY.match(body) else self._inner.degrade(body)
