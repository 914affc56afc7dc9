"""Text in files that a request carries: a model reads a text file as it reads a document."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from urllib.parse import unquote_to_bytes

from querybudget.adapters.lax import Json

SHORTEST = 16
"""Bytes of a file that is read, at least: of fewer, most that is in base64 is text by chance."""

_URI = re.compile(r"data:([^,;]{0,100})((?:;[^,;]{0,100}){0,4}),", re.IGNORECASE)
_SEEN_OR_HEARD = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")
_DRAWN_AS_TEXT = "image/svg"
_CONTROLS = bytes(code for code in range(32) if chr(code) not in "\t\n\r\f") + b"\x7f"
_HEAD = 64
"""Characters of base64 that tell most files that are no text."""


def text_of_file(data: Json, media_type: str = "") -> str:
    """Return the text of a file in base64 or as a ``data:`` URI; nothing if it is no text.

    Args:
        data: The file.
        media_type: What the request says that it is, in lower case; a URI's own counts first.
    """
    if not isinstance(data, str) or len(data) < SHORTEST:
        return ""
    encoded = True
    if uri := _URI.match(data):
        media_type, encoded = uri[1].lower() or "text/plain", ";base64" in uri[2].lower()
        data = data[uri.end() :]
    if media_type.startswith(_SEEN_OR_HEARD) and not media_type.startswith(_DRAWN_AS_TEXT):
        return ""
    if not encoded:
        return _text(unquote_to_bytes(data))
    if uri is None and not media_type and not _text(_decoded(data[:_HEAD])):
        return ""
    return _text(_decoded(data))


def _decoded(data: str) -> bytes:
    data = data.translate(_URL_SAFE).rstrip("=")
    try:
        return b64decode(data[: len(data) - (len(data) % 4 == 1)] + "==", validate=True)
    except (Error, ValueError):
        return b""


_URL_SAFE = str.maketrans("-_", "+/", "\r\n")


def _text(data: bytes) -> str:
    if len(data) < SHORTEST or data != data.translate(None, _CONTROLS):
        return ""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return ""
