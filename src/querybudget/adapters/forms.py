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
from querybudget.adapters.readings import LARGEST_ODD
from querybudget.errors import BodyError

MAX_PARTS = 1_000
"""Parts of a form that are read: Starlette takes as many."""

MAX_FIELD = 1 << 20
"""Bytes of a field of a multipart form; whatever is longer is sent as a file."""

MAX_ENCODED = 1 << 18
"""Bytes of a URL-encoded form. Files are sent in multipart forms, and each escape takes steps."""

AUDIO_BYTES = 512
"""Bytes of audio that count as one token: a fiftieth of a second to a sixth, by the format."""

_BOUNDARY = re.compile(r"(?<!\w)boundary=(?:\"([^\"]{1,200})\"|([^\s\";,]{1,200}))", re.IGNORECASE)
_BOUNDARIES = re.compile(r"boundary\s{0,8}+\*?\s{0,8}+=", re.IGNORECASE)
_DISPOSITION = re.compile(
    rb"content-disposition: ?form-data; ?name="
    rb"(?:\"([^\"\\]{0,200})\"|([^\s\"\\;,]{0,200}))(?:;(.*))?",
    re.IGNORECASE,
)
_FILE = re.compile(rb" ?filename\*?=", re.IGNORECASE)
_NO_FILE = re.compile(rb" ?filename=(?:\"\s*\")?\s*(?:;|\Z)", re.IGNORECASE)
"""What browsers send for a file that was not chosen. Go reads a part without a file's name as a
field."""
_NAMED_AGAIN = re.compile(rb"(?<!file)name\s{0,8}+\*?\s{0,8}+=", re.IGNORECASE)
_ABOUT = re.compile(
    rb"content-(?:(?:type|length|id):|transfer-encoding: ?(?:binary|[78]bit)\Z)", re.IGNORECASE
)
"""Other headers of a part that clients send, and that do not change what it is."""

_BLANK = re.compile(rb"\r?\n\r?\n")
_HEADERS = 8_192
_MAX_LINES = 8  # of the headers of a part


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
        BodyError: There is no boundary, or more than one, or the form has too many parts, or a part
            has headers that servers do not all read alike.
    """
    named = _BOUNDARY.search(content_type)
    if named is None or len(_BOUNDARIES.findall(content_type)) > 1:
        raise BodyError("Expected a multipart form with one boundary in its content-type.")
    mark = b"\n--" + (named[1] or named[2]).encode("latin-1")
    text = b"\n" + body  # the first boundary may begin the body
    found, start = text.find(mark), 0
    for _ in range(MAX_PARTS):
        if start:
            yield _part(text[start : found if found >= 0 else len(text)])
        if found < 0:
            return
        after = found + len(mark)
        # To servers that end lines otherwise, the end of a form may be none: parts after it count.
        start = 0 if text[after : after + 2] == b"--" else text.find(b"\n", after) + 1
        found = text.find(mark, max(start - 1, after))
    raise BodyError(f"Expected at most {MAX_PARTS} parts of a form.")


def _part(data: bytes) -> Part:
    blank = _BLANK.search(data[:_HEADERS])
    if blank is None and not data.startswith((b"\r\n", b"\n")):
        raise BodyError("Expected headers and an empty line in each part of a form.")
    content = data[blank.end() if blank else 0 :].removesuffix(b"\r")
    name, about = _named(data[: blank.start()]) if blank else ("", b"")
    if content and _NO_FILE.match(about):
        raise BodyError("Expected the name of each file in a form.")
    return Part(name, content, bool(about))


def _named(headers: bytes) -> tuple[str, bytes]:
    """Return the name of a part, and what is said of its file; nothing if it is a field.

    Raises:
        BodyError: Some server may find another name, or take a file for a field. No client sends
            such headers.
    """
    name: str | None = None
    about = b""
    for line in headers.split(b"\n", _MAX_LINES):
        line = line.removesuffix(b"\r")  # noqa: PLW2901 - so it ends
        found = _DISPOSITION.fullmatch(line)
        if found is not None and name is None:
            name, about = (found[1] or found[2] or b"").decode(errors="replace"), found[3] or b""
        elif found is not None or _ABOUT.match(line) is None:
            raise BodyError("Expected the name of each part of a form where clients send it.")
    if about and (_FILE.match(about) is None or _NAMED_AGAIN.search(about)):
        raise BodyError("Expected one name for each part of a form.")
    return name or "", about


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


def fields_of(body: bytes, content_type: str) -> Iterator[dict[str, Json]]:
    """Yield the fields of a form, without its files. A field of JSON is what it holds.

    A field that comes several times is all its values; then only the first, and only the last.

    Raises:
        BodyError: It has too many fields, is no form of its type, or has a field several times and
            more than `LARGEST_ODD` characters.
    """
    is_parted = content_type.strip().lower().startswith(_MULTIPART)
    fields = _parted(body, content_type)[0] if is_parted else _encoded(body)
    yield {name: _held(value) for name, value in fields.items()}
    if any(isinstance(value, list) for value in fields.values()):
        if sum(_sizes(fields)) > LARGEST_ODD:
            raise BodyError("Expected each field of a long form once.")
        for place in (0, -1):
            yield {
                name: _held(value[place] if isinstance(value, list) else value)
                for name, value in fields.items()
            }


def _sizes(fields: dict[str, Json]) -> Iterator[int]:
    for value in fields.values():
        for text in value if isinstance(value, list) else (value,):
            yield len(text) if isinstance(text, str) else 0


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
            if len(part.content) > MAX_FIELD:
                raise BodyError(f"Expected at most {MAX_FIELD} bytes of a field of a form.")
            _add(fields, part.name, part.content.decode(errors="replace"))
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
