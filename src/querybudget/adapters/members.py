"""JSON as servers of any language read it: members by folded names, and what a value holds.

Go's servers find members in any case; Gemini's takes ``maxOutputTokens`` and ``max_output_tokens``
alike. So a name is folded: lower case, without hyphens and underscores. Where an object has two
members of one folded name, both count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import cast

import msgspec

from querybudget.adapters.lax import Json
from querybudget.adapters.readings import LONGEST_NAME, TooMuchError
from querybudget.adapters.readings import folded as lower
from querybudget.adapters.request import each_once, joined, read_body
from querybudget.errors import BodyError

JSON: msgspec.json.Decoder[Json] = msgspec.json.Decoder()

ATTACHMENT_SHARE = 16
"""Audio, video and files count as one image, and as this part of their text."""

MAX_NAMES = 10_000
"""Different names of members in one body, beyond which it is not read; no prompt has so many."""

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

_SPOKEN = frozenset({None, _WHOLE})
"""What holds what is said."""

_DATA = "data:"
_HOLDERS = {list, dict}
_NUMBERS = frozenset({bool, float, int})
_PICTURE = "image/"
_ENCODER = msgspec.json.Encoder()
_TEXTS = {str}


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


class Names(dict[str, str | None]):
    """What the members of one document hold besides text, by their names as sent; None for text.

    Raises:
        TooMuchError: It has more than `MAX_NAMES` different names.
    """

    def __missing__(self, name: str) -> str | None:
        if len(self) >= MAX_NAMES:
            raise TooMuchError(f"Expected at most {MAX_NAMES} names of members.")
        kind = self[name] = kind_of(name)
        return kind

    def check(self, members: dict[str, Json]) -> None:
        """Check that an object does not have too many members.

        Raises:
            TooMuchError: It has more than `MAX_NAMES`.
        """
        if len(members) > MAX_NAMES:
            raise TooMuchError(f"Expected at most {MAX_NAMES} members.")


def read_object(body: bytes, expected: str) -> dict[str, Json]:
    """Read a request's JSON object.

    Raises:
        BodyError: It is not strict JSON, not an object, or an object in it names a member twice.
            `read_call` then tries each of its readings.
    """
    document = read_body(JSON, body, expected)
    if not isinstance(document, dict):
        raise BodyError(f"Expected {expected}, found other JSON.")
    if not each_once(body, document):
        raise BodyError(f"Expected {expected}, found a member given twice, or odd escapes.")
    return document


def fold(name: str) -> str:
    """Return a member's name in lower case, without hyphens and underscores."""
    return _short(name) if len(name) <= LONGEST_NAME else _fold(name)


def _fold(name: str) -> str:
    return lower(name.replace("_", "").replace("-", ""))


_short = lru_cache(16_384)(_fold)


def folded(value: Json) -> dict[str, list[Json]]:
    """Return the members of an object by folded names; none of any other value."""
    members: dict[str, list[Json]] = {}
    if isinstance(value, dict):
        for name, member in value.items():
            members.setdefault(fold(name), []).append(member)
    return members


def text_within_list(items: list[Json], names: Names) -> str:
    """Return the texts within values, one per line, except of attachments and plain members."""
    if {*map(type, items)} == _TEXTS:
        return joined(cast("list[str]", items))
    return joined([*_texts(items, names)])


def _texts(items: list[Json], names: Names) -> Iterator[str]:
    pending = items[::-1]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            pending += value[::-1]
        elif isinstance(value, dict):
            pending += [m for name, m in value.items() if names[name] in _SPOKEN][::-1]


def content_of(value: Json, names: Mapping[str, str | None] | None = None) -> Content:
    """Return what a value holds, at any depth.

    Args:
        value: The value.
        names: What members hold, by their names; by default, `kind_of` each.
    """
    content, pending = Content(), [value]
    names = _Unbounded() if names is None else names
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            _add_text(value, content)
        elif isinstance(value, list):
            _add_list(value, content, pending)
        elif isinstance(value, dict):
            for name, member in value.items():
                kind = names[name]
                if kind is None:
                    if type(member) is str and member[:5] != _DATA:
                        content.size += len(member) if member.isascii() else len(member.encode())
                    elif type(member) not in _NUMBERS:
                        pending.append(member)
                elif kind is not _PLAIN and member is not None:
                    _add_member(kind, member, content, pending)
    return content


class _Unbounded(dict[str, str | None]):
    def __missing__(self, name: str) -> str | None:
        return kind_of(name)


def kind_of(name: str) -> str | None:
    """Return what a member holds besides text; None if it holds text. Long names hold text."""
    return _short_kind(name) if len(name) <= LONGEST_NAME else None


@lru_cache(16_384)
def _short_kind(name: str) -> str | None:
    return _KINDS.get(_fold(name))


def _add_text(text: str, content: Content) -> None:
    if text[:5] == _DATA:
        _add_attachment(_ATTACHMENT, text, content)
    else:
        content.size += len(text) if text.isascii() else len(text.encode())


def _add_list(items: list[Json], content: Content, pending: list[Json]) -> None:
    """Add token ids one by one, and a vector of fractions as the embedding of one token."""
    kinds = {*map(type, items)}
    if kinds == _TEXTS:
        _add_texts(cast("list[str]", items), content)
        return
    if int in kinds:
        content.tokens += [*map(type, items)].count(int)
        if len(kinds) == 1:  # token ids
            return
    content.tokens += float in kinds
    if str in kinds:
        _add_texts([item for item in items if type(item) is str], content)
    if kinds & _HOLDERS:
        pending += [item for item in items if type(item) in _HOLDERS]


def _add_texts(texts: list[str], content: Content) -> None:
    together = texts[0] if len(texts) == 1 else "".join(texts)
    if _DATA not in together:
        content.size += len(together) if together.isascii() else len(together.encode())
        return
    for text in texts:
        _add_text(text, content)


def _add_member(kind: str, value: Json, content: Content, pending: list[Json]) -> None:
    if kind is not _WHOLE:
        for item in value if isinstance(value, list) else (value,):
            _add_attachment(kind, item, content)
    elif isinstance(value, str):
        pending.append(value)
    else:
        content.size += len(_ENCODER.encode(value))


def _add_attachment(kind: str, value: Json, content: Content) -> None:
    if value is None or type(value) in _NUMBERS:
        return
    content.images += 1
    if kind is _IMAGE:
        return
    picture = False
    if isinstance(value, str):
        picture = value.startswith("data:" + _PICTURE)
    elif isinstance(value, dict):
        for name, member in value.items():
            if type(member) is str and member.startswith(_PICTURE) and fold(name) == "mimetype":
                picture = True
    if not picture:
        content.size += len(_ENCODER.encode(value)) // ATTACHMENT_SHARE
