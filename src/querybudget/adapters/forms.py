"""Requests as forms: images to edit, audio to transcribe.

A form is multipart (RFC 7578) or URL-encoded. Fields are read as text, files count by their size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

import msgspec

from querybudget.adapters.base import Call, Dialect, Meter, Target
from querybudget.adapters.lax import Json
from querybudget.adapters.members import JSON
from querybudget.adapters.native import Native
from querybudget.adapters.opaque import opaque_of
from querybudget.errors import BodyError

MAX_PARTS = 1_000
"""Parts of a form that are read: Starlette takes as many."""

MAX_FIELD = 1 << 20
"""Bytes of a field of a multipart form that are read as text."""

MAX_ENCODED = 1 << 18
"""Bytes of a URL-encoded form. Files are sent in multipart forms, and each escape takes steps."""

AUDIO_BYTES = 512
"""Bytes of audio that count as one token: a fiftieth of a second to a sixth, by the format."""

_BOUNDARY = re.compile(r"(?<!\w)boundary=(?:\"([^\"]{1,200})\"|([^\s\";,]{1,200}))", re.IGNORECASE)
_NAME = re.compile(rb'(?<!\w)name="?([^";\r\n]{0,200})')
_FILE = re.compile(rb"(?<!\w)filename\*?=")
_BLANK = re.compile(rb"\r?\n\r?\n")
_HEADERS = 8_192


_URL_ENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/"


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


def parts_of(body: bytes, content_type: str) -> Iterator[Part]:
    """Return the parts of a multipart form, in order.

    Args:
        body: The body, decompressed.
        content_type: The media type, with the boundary as its parameter.

    Raises:
        BodyError: There is no boundary, or the form has too many parts.
    """
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise BodyError("Expected a multipart form with a boundary in its content-type.")
    mark = b"\n--" + (named[1] or named[2]).encode("latin-1")
    text = b"\n" + body  # the first boundary may begin the body
    start = _next_part(text, mark, text.find(mark))
    for _ in range(MAX_PARTS):
        if not start:
            return
        end = text.find(mark, start - 1)
        yield _part(text[start : end if end >= 0 else len(text)])
        start = _next_part(text, mark, end)
    raise BodyError(f"Expected at most {MAX_PARTS} parts of a form.")


def _next_part(text: bytes, mark: bytes, found: int) -> int:
    """Return where the part after a boundary begins; 0 if there is none."""
    after = found + len(mark)
    if found < 0 or text[after : after + 2] == b"--":
        return 0
    return text.find(b"\n", after) + 1


def _part(data: bytes) -> Part:
    blank = _BLANK.search(data[:_HEADERS])
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
        media = target.content_type.strip().lower()
        if media.startswith(_URL_ENCODED):
            return self._inner.read(target, _encoded(body))
        if not media.startswith(_MULTIPART):
            return self._inner.parse(target, body)
        fields, files = _parted(body, target.content_type)
        call = self._inner.read(target, fields)
        if self._sound:
            call.input_tokens += -(-sum(map(len, files)) // AUDIO_BYTES)
        else:
            call.images += len(files)
        if target.texts:
            kind = "audio" if self._sound else "image"
            call.opaque += tuple(opaque_of(kind, file) for file in files)
        return call

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return self._inner.meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        return self._inner.degrade(body)  # a form is no JSON object, so it stays as it is


def fields_of(body: bytes, content_type: str) -> dict[str, Json]:
    """Return the fields of a form, without its files. A field of JSON is what it holds.

    Raises:
        BodyError: It has too many fields, or is no form of its type.
    """
    is_parted = content_type.strip().lower().startswith(_MULTIPART)
    fields = _parted(body, content_type)[0] if is_parted else _encoded(body)
    return {name: _held(value) for name, value in fields.items()}


def _held(value: Json) -> Json:
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return JSON.decode(value)
    except (ValueError, RecursionError):
        return value


def _parted(body: bytes, content_type: str) -> tuple[dict[str, Json], list[bytes]]:
    """Return the fields of a multipart form, and its files."""
    fields: dict[str, Json] = {}
    files: list[bytes] = []
    for part in parts_of(body, content_type):
        if part.file:
            files.append(part.content)
        else:
            _add(fields, part.name, part.content[:MAX_FIELD].decode(errors="replace"))
    return fields, files


def _encoded(body: bytes) -> dict[str, Json]:
    if len(body) > MAX_ENCODED:
        raise BodyError(f"Expected at most {MAX_ENCODED} bytes of a URL-encoded form.")
    fields: dict[str, Json] = {}
    try:
        pairs = parse_qsl(body.decode(errors="replace"), max_num_fields=MAX_PARTS)
    except ValueError:
        raise BodyError(f"Expected at most {MAX_PARTS} fields of a form.") from None
    for name, value in pairs:
        _add(fields, name, value)
    return fields


def _add(fields: dict[str, Json], name: str, value: str) -> None:
    """Add a field; of one that comes several times, servers take the first, the last or all."""
    name = name.removesuffix("[]")
    before = fields.get(name)
    if before is None:
        fields[name] = value
    elif isinstance(before, list):
        before.append(value)
    else:
        fields[name] = [before, value]
