"""JSON as servers of any language read it: members by folded names, and what a value holds.

Go's servers find members in any case; Gemini's takes ``maxOutputTokens`` and ``max_output_tokens``
alike. So a name is folded: lower case, without hyphens and underscores. Where an object has two
members of one folded name, both count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from querybudget.adapters.lax import Json
from querybudget.adapters.request import read_body, utf8_size
from querybudget.errors import BodyError

JSON: msgspec.json.Decoder[Json] = msgspec.json.Decoder()

ATTACHMENT_SHARE = 16
"""Audio, video and files count as one image, and as this part of their text."""

_PLAIN = frozenset(
    {
        "createdat",
        "donereason",
        "finishreason",
        "format",
        "id",
        "index",
        "mediatype",
        "mimetype",
        "model",
        "modelversion",
        "object",
        "responseid",
        "role",
        "stopreason",
        "stoptype",
        "type",
    }
)
"""Members whose text is no prompt and no answer."""

_WHOLE = frozenset({"args", "arguments", "functiondeclarations", "functions", "toolcalls", "tools"})
"""Members that count by the size of their JSON if they are no text."""

_IMAGES = frozenset(
    {
        "image",
        "imagebase64",
        "imagedata",
        "images",
        "imageuri",
        "imageurl",
        "inputimage",
        "multimodaldata",
    }
)
_ATTACHMENTS = frozenset(
    {
        "audio",
        "audiodata",
        "audiourl",
        "document",
        "filedata",
        "inlinedata",
        "inputaudio",
        "video",
        "videodata",
        "videourl",
    }
)
_PICTURE = "image/"
_NAMED = re.compile(rb'(?<!\\)"\s*:')
"""The end of a member's name; rarely, a part of a text."""


class Content(msgspec.Struct):
    """What a value holds.

    Attributes:
        size: UTF-8 bytes of text.
        images: Images, and other attachments.
        tokens: Token ids.
    """

    size: int = 0
    images: int = 0
    tokens: int = 0


def read_object(body: bytes, expected: str) -> dict[str, Json]:
    """Read a request's JSON object.

    Raises:
        BodyError: It is not strict JSON, not an object, or an object in it names a member twice.
            `read_call` then tries each of its readings.
    """
    document = read_body(JSON, body, expected)
    if not isinstance(document, dict):
        raise BodyError(f"Expected {expected}, found other JSON.")
    if len(_NAMED.findall(body)) != _names_in(document):
        _check_once(body, expected)
    return document


def _names_in(document: Json) -> int:
    count, pending = 0, [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            count += len(value)
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return count


def _check_once(body: bytes, expected: str) -> None:
    try:
        json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise BodyError(f"Expected {expected}, found a member given twice.") from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a member is given twice")


def fold(name: str) -> str:
    """Return a member's name in lower case, without hyphens and underscores."""
    return name.replace("_", "").replace("-", "").lower()


def folded(value: Json) -> dict[str, list[Json]]:
    """Return the members of an object by folded names; none of any other value."""
    members: dict[str, list[Json]] = {}
    if isinstance(value, dict):
        for name, member in value.items():
            members.setdefault(fold(name), []).append(member)
    return members


def texts(value: Json) -> Iterator[str]:
    """Return every text within a value, in order, except of attachments and plain members."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            pending.extend(reversed(value))
        elif isinstance(value, dict):
            pending.extend(
                member for name, member in reversed(list(value.items())) if _speaks(fold(name))
            )


def content_of(value: Json) -> Content:
    """Return what a value holds, at any depth."""
    content = Content()
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            _add_text(value, content)
        elif isinstance(value, list):
            _add_list(value, content, pending)
        elif isinstance(value, dict):
            for name, member in value.items():
                _add_member(fold(name), member, content, pending)
    return content


def _speaks(name: str) -> bool:
    return name not in _PLAIN and name not in _IMAGES and name not in _ATTACHMENTS


def _add_text(text: str, content: Content) -> None:
    if text.startswith("data:"):
        _add_attachment("", text, content)
    else:
        content.size += utf8_size(text)


def _add_list(items: list[Json], content: Content, pending: list[Json]) -> None:
    """Add token ids one by one, and a vector of fractions as the embedding of one token."""
    fractions = False
    for item in items:
        if isinstance(item, float):
            fractions = True
        elif isinstance(item, int):
            content.tokens += not isinstance(item, bool)
        elif item is not None:
            pending.append(item)
    content.tokens += fractions


def _add_member(name: str, value: Json, content: Content, pending: list[Json]) -> None:
    if value is None or name in _PLAIN:
        return
    if name in _IMAGES or name in _ATTACHMENTS:
        for item in value if isinstance(value, list) else (value,):
            _add_attachment(name, item, content)
    elif name in _WHOLE and not isinstance(value, str):
        content.size += len(msgspec.json.encode(value))
    else:
        pending.append(value)


def _add_attachment(name: str, value: Json, content: Content) -> None:
    if value is None or isinstance(value, bool | int | float):
        return
    content.images += 1
    kinds = folded(value).get("mimetype", [])
    picture = name in _IMAGES or any(isinstance(k, str) and k.startswith(_PICTURE) for k in kinds)
    if isinstance(value, str):
        picture = picture or value.startswith("data:" + _PICTURE)
    if not picture:
        content.size += len(msgspec.json.encode(value)) // ATTACHMENT_SHARE
