"""JSON as servers of any language read it: members by folded names, and what a value holds.

Go's servers find members in any case; Gemini's takes ``maxOutputTokens`` and ``max_output_tokens``
alike. So a name is folded: lower case, without hyphens and underscores. Where an object has two
members of one folded name, both count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from querybudget.adapters.lax import Json
from querybudget.adapters.readings import LONGEST_NAME
from querybudget.adapters.readings import folded as lower
from querybudget.adapters.request import read_body
from querybudget.errors import BodyError

JSON: msgspec.json.Decoder[Json] = msgspec.json.Decoder()

ATTACHMENT_SHARE = 16
"""Audio, video and files count as one image, and as this part of their text."""

_PLAIN_NAMES = frozenset(
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

_WHOLE_NAMES = frozenset(
    {"args", "arguments", "functiondeclarations", "functions", "toolcalls", "tools"}
)
"""Members that count by the size of their JSON if they are no text."""

_IMAGE_NAMES = frozenset(
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
_ATTACHMENT_NAMES = frozenset(
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
_PLAIN, _WHOLE, _IMAGE, _ATTACHMENT = "plain", "whole", "image", "attachment"
_KINDS = {
    **dict.fromkeys(_PLAIN_NAMES, _PLAIN),
    **dict.fromkeys(_WHOLE_NAMES, _WHOLE),
    **dict.fromkeys(_IMAGE_NAMES, _IMAGE),
    **dict.fromkeys(_ATTACHMENT_NAMES, _ATTACHMENT),
}
"""What members hold besides text, by their folded names."""

_DATA = "data:"
_HOLDERS = {list, dict}
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
    # What is encoded again has each member once.
    if len(_NAMED.findall(body)) != len(_NAMED.findall(msgspec.json.encode(document))):
        _check_once(body, expected)
    return document


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
    return _short(name) if len(name) <= LONGEST_NAME else _fold(name)


def _fold(name: str) -> str:
    return lower(name.replace("_", "").replace("-", ""))


_short = lru_cache(4096)(_fold)


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
            spoken = [m for name, m in value.items() if _speaks(name)]
            pending.extend(reversed(spoken) if len(spoken) > 1 else spoken)


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
                kind = _kind(name) if len(name) <= LONGEST_NAME else None
                if kind is None:
                    if type(member) is str and member[:5] != _DATA:
                        content.size += len(member) if member.isascii() else len(member.encode())
                    else:
                        pending.append(member)
                elif kind is not _PLAIN and member is not None:
                    _add_member(kind, member, content, pending)
    return content


@lru_cache(4096)
def _kind(name: str) -> str | None:
    """Return what a member holds besides text; None if it holds text. Long names hold text."""
    return _KINDS.get(_fold(name))


def _speaks(name: str) -> bool:
    return len(name) > LONGEST_NAME or _kind(name) in {None, _WHOLE}


def _add_text(text: str, content: Content) -> None:
    if text[:5] == _DATA:
        _add_attachment(_ATTACHMENT, text, content)
    else:
        content.size += len(text) if text.isascii() else len(text.encode())


def _add_list(items: list[Json], content: Content, pending: list[Json]) -> None:
    """Add token ids one by one, and a vector of fractions as the embedding of one token."""
    kinds = set(map(type, items))
    if int in kinds:
        content.tokens += sum(1 for item in items if type(item) is int)
    content.tokens += float in kinds
    if str in kinds:
        for item in items:
            if type(item) is str:
                _add_text(item, content)
    if kinds & _HOLDERS:
        pending.extend(item for item in items if type(item) is not str)


def _add_member(kind: str, value: Json, content: Content, pending: list[Json]) -> None:
    if kind is not _WHOLE:
        for item in value if isinstance(value, list) else (value,):
            _add_attachment(kind, item, content)
    elif isinstance(value, str):
        pending.append(value)
    else:
        content.size += len(msgspec.json.encode(value))


def _add_attachment(kind: str, value: Json, content: Content) -> None:
    if value is None or isinstance(value, bool | int | float):
        return
    content.images += 1
    kinds = folded(value).get("mimetype", [])
    picture = kind is _IMAGE or any(isinstance(k, str) and k.startswith(_PICTURE) for k in kinds)
    if isinstance(value, str):
        picture = picture or value.startswith("data:" + _PICTURE)
    if not picture:
        content.size += len(msgspec.json.encode(value)) // ATTACHMENT_SHARE
