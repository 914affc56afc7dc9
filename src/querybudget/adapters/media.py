"""What a body may be besides JSON in UTF-8, by its content type.

Some servers read a body as JSON whatever its type is called. Others go by the type: they read a
form as one (RFC 7578, and the URL standard), and JSON in the charset that a parameter names. One
body can be all of these at once and ask each server for something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from querybudget.adapters.base import Target
from querybudget.errors import BodyError

MOST_KINDS = 2
"""Types, and charsets, of one body: each is read for itself, and no client sends several."""

_USUAL = frozenset({b"application/json", b"application/json; charset=utf-8"})
_CHARSET = re.compile(r"charset\s{0,8}=\s{0,8}[\"']?([\w.:+-]{0,40})", re.IGNORECASE)
_FORM = re.compile(r"form|multipart/", re.IGNORECASE)
_BOUNDARY = re.compile(rb"boundary\s{0,8}+=\s{0,8}+\"?+([^\s\";,]++)", re.IGNORECASE)
_PLAIN = re.compile(r"(?:utf-?8|us-ascii|ascii|(?:iso-?)?8859-\d+|latin-?\d|(?:windows-|cp)125\d)?")
"""Charsets in which JSON's own characters are what they are in UTF-8, and nothing else is."""

_DECODED = re.compile(
    r"utf-?7|utf-?(?:16|32)(?:-?[bl]e)?|hz|gb(?:k|2312|18030)|big5|euc-(?:jp|kr)|"
    r"shift[_-]jis|cp(?:037|500|932|949|950|1140)|iso-2022-(?:jp|kr)"
)
"""Other charsets of text that are decoded. None of their decoders takes more than linear work."""

_JSON_STARTS = (b"{", b"[", b"\x00", b"\xff\xfe", b"\xfe\xff")
_BLANK = b" \t\r\n\xef\xbb\xbf"


def is_usual(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return True if a body is JSON in UTF-8 to whoever looks at its type."""
    for name, value in headers:
        if name == b"content-type" and value not in _USUAL and not _is_plain(value):
            return False
    return True


def may_be_plain(headers: Iterable[tuple[bytes, bytes]], compressed: bytes) -> bool:
    """Return True if a server that ignores codings may read a compressed body as it was sent.

    Its data may begin as JSON does. Much that is no form may stand before, in and after one: a
    URL-encoded form has no beginning, and one in parts begins with its first boundary.
    """
    if compressed.lstrip(_BLANK).startswith(_JSON_STARTS):
        return True
    kinds = [value for name, value in headers if name == b"content-type"]
    forms = [kind for kind in kinds if _FORM.search(kind.decode("latin-1"))]
    marks = [mark for kind in forms for mark in _BOUNDARY.findall(kind)]
    return bool(forms) and (not marks or any(b"--" + mark in compressed for mark in marks))


def _is_plain(value: bytes) -> bool:
    kind = value.decode("latin-1").lower()
    return not _FORM.search(kind) and all(_PLAIN.fullmatch(one) for one in _CHARSET.findall(kind))


def forms_of(target: Target, body: bytes) -> Iterator[tuple[Target, bytes]]:
    """Yield what servers may take a body for, each with where its reader is told that it is sent.

    Raises:
        BodyError: It is not in its charset, or that is not decoded here, or it has more than
            `MOST_KINDS` types or charsets.
    """
    bare = replace(target, headers=())
    values = dict.fromkeys(value for name, value in target.headers if name == b"content-type")
    kinds = [value.decode("latin-1") for value in values]
    charsets = {charset for kind in kinds for charset in _CHARSET.findall(kind.lower())}
    if max(len(kinds), len(charsets)) > MOST_KINDS:
        raise BodyError(f"Expected at most {MOST_KINDS} content types.")
    for kind in kinds:
        yield replace(target, headers=((b"content-type", kind.encode("latin-1")),)), body
        if _FORM.search(kind):
            # Imported here: few servers see a form.
            from querybudget.adapters.forms import fields_of  # noqa: PLC0415

            for fields in fields_of(body, kind):
                yield bare, msgspec.json.encode(fields)
    for charset in sorted(charsets):
        if not _PLAIN.fullmatch(charset):
            yield bare, _recoded(body, charset)
    if body.lstrip(_BLANK).startswith(_JSON_STARTS):
        yield bare, body


def _recoded(body: bytes, charset: str) -> bytes:
    if not _DECODED.fullmatch(charset):
        raise BodyError("Expected JSON in UTF-8.")
    try:
        return body.decode(charset).encode()
    except (LookupError, ValueError):  # unknown in this spelling; or not in it
        raise BodyError("Expected JSON in UTF-8.") from None
