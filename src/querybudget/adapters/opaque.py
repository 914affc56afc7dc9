"""What a model reads that is no text here: token ids, vectors, references, pictures, sound, files.

Each is known by what it holds: the ids, the data or where it is, whatever form it is sent in.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from itertools import chain
from typing import cast

import msgspec

from querybudget.adapters.base import Opaque
from querybudget.adapters.lax import Json
from querybudget.adapters.segment_names import Kind
from querybudget.adapters.text_files import text_of_file

LONGEST_CONTENT = 64
"""Characters of what identifies something; of anything longer there is a hash."""

MOST_VECTORS = 64
"""Entries of one list of lists of numbers. Of a longer list, neighbours are one entry."""

MEDIA = frozenset({Kind.IMAGE, Kind.AUDIO, Kind.FILE})
_FILES = frozenset({Kind.IMAGE, Kind.FILE})

OPAQUE = {
    Kind.IMAGE: "image",
    Kind.AUDIO: "audio",
    Kind.FILE: "file",
    Kind.TOKENS: "tokens",
    Kind.EMBEDDINGS: "embeddings",
    Kind.REFERENCE: "reference",
}
"""Kinds of members that hold something of the kind."""

_PAYLOADS = (
    *("data", "bytes", "url", "file_data", "image_url", "file_url", "b64_json", "uri", "path"),
    *("fileBytes", "bytesBase64Encoded"),
)
_KEPT = ("file_id", "fileUri", "file_uri", "gcsUri")
_PLACES = frozenset(_PAYLOADS + _KEPT)
_MIMES = ("mime_type", "mimeType", "media_type")
_IMAGE_TYPES = frozenset({"computer_screenshot", "image", "image_url", "input_image"})
_NUMBERS = frozenset({bool, float, int})


def opaque_of(kind: str, content: str | bytes) -> Opaque:
    """Return something by what identifies it, of any length."""
    if isinstance(content, str):
        if len(content) <= LONGEST_CONTENT:
            return Opaque(kind, content)
        content = content.encode("utf-8", "surrogatepass")
    return Opaque(kind, blake2b(content, digest_size=16).hexdigest())


def opaque_in(kind: Kind, value: Json, texts: list[str] | None = None) -> list[Opaque]:
    """Return what a member of some kind holds, which may be a list.

    Args:
        kind: The kind.
        value: The member.
        texts: Takes the texts of files that are text, in place of what is returned. Without it,
            these are opaque too.
    """
    if isinstance(value, str):
        return _one(kind, value, texts) if value else []
    if not isinstance(value, list) or not {*map(type, value)}.isdisjoint(_NUMBERS):
        return _one(kind, value, texts)
    lists = [item for item in value if isinstance(item, list)]
    if len(lists) == len(value) > 0:
        return _lists(kind, lists)
    return [opaque for item in value for opaque in _one(kind, item, texts)]


def kind_of_numbers(items: Json) -> Kind:
    """Return whether numbers are token ids, or a vector."""
    is_vector = isinstance(items, list) and float in {*map(type, items)}
    return Kind.EMBEDDINGS if is_vector else Kind.TOKENS


def are_vectors(items: list[Json]) -> bool:
    """Return True for lists of token ids, or of fractions."""
    numbers = chain.from_iterable(cast("list[list[Json]]", items))
    return {*map(type, numbers)} <= _NUMBERS


def payload_of(members: dict[str, Json]) -> str:
    """Return the data of a picture, a piece of sound or a file, or where it is; else nothing."""
    return _first(members, _PAYLOADS) or _first(members, _KEPT)


def rest_of(members: dict[str, Json]) -> dict[str, Json]:
    """Return what else there is of a picture, a piece of sound or a file."""
    return {name: value for name, value in members.items() if name not in _PLACES}


def part_without(
    kind: str, members: dict[str, Json], texts: list[str]
) -> tuple[dict[str, Json], list[Opaque]]:
    """Return a part of some type in two: what may be text, and its picture or file.

    `texts` takes the text of a file that is text.
    """
    source, data = members.get("source"), members.get("data")
    media, taken = Kind.IMAGE if kind in _IMAGE_TYPES else Kind.FILE, ""
    holder = members
    if isinstance(source, dict) and source.get("type") != "text" and "content" not in source:
        taken, holder = "source" if payload_of(source) else "", source
    elif isinstance(data, str) and kind not in {"", "text"}:
        if kind == "redacted_thinking":  # the server's own
            return {}, []
        is_data = media is Kind.IMAGE or kind == "base64" or bool(_mime(members))
        taken = "data" if is_data else ""
    elif isinstance(data, str) and not kind and _mime(members):
        taken = "data"
    elif kind == "item_reference":
        rest = {name: value for name, value in members.items() if name != "id"}
        return rest, opaque_in(Kind.REFERENCE, members.get("id"))
    if not taken:
        return members, []
    rest = rest_of(holder)
    return {**members, taken: rest} if holder is not members else rest, opaque_in(
        media, holder, texts
    )


def _one(kind: Kind, value: Json, texts: list[str] | None) -> list[Opaque]:
    if texts is not None and kind in _FILES and (text := _text_of(value)):
        texts.append(text)
        return []
    name = OPAQUE[kind]
    if isinstance(value, dict) and kind in MEDIA:
        if found := _first(value, _PAYLOADS):
            return [opaque_of(_kind_of_file(name, value), found)]
        if kept := _first(value, _KEPT):
            return [opaque_of("reference", kept)]
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return []
    return [opaque_of(name, value if isinstance(value, str) else _json(value))]


def _text_of(value: Json) -> str:
    """Return the text of a file that is text; else nothing."""
    if isinstance(value, dict):
        return text_of_file(_first(value, _PAYLOADS), _mime(value))
    return text_of_file(value)


def _lists(kind: Kind, items: list[list[Json]]) -> list[Opaque]:
    """Return prompts of numbers. Many vectors are one prompt."""
    is_vectors = kind is Kind.EMBEDDINGS and not isinstance(next(iter(items[0] or ()), None), list)
    size = len(items) if is_vectors else -(-len(items) // MOST_VECTORS)
    groups = (items[start : start + size] for start in range(0, len(items), size))
    return [
        opaque_of(OPAQUE[kind], _json(some[0] if size == 1 else [*some]))
        for some in groups
        if any(some)
    ]


def _json(value: Json) -> str | bytes:
    if isinstance(value, list) and float in {*map(type, value)}:
        try:
            # Some fractions take long to write.
            return array("d", cast("list[float]", value)).tobytes()
        except (TypeError, OverflowError):
            pass
    data = msgspec.json.encode(value)
    return data if len(data) > LONGEST_CONTENT else data.decode()


def _first(members: dict[str, Json], names: tuple[str, ...]) -> str:
    for name in names:
        if (value := members.get(name)) and isinstance(value, str):
            return value
    return ""


def _mime(members: dict[str, Json]) -> str:
    return _first(members, _MIMES).lower()


def _kind_of_file(name: str, members: dict[str, Json]) -> str:
    """Return what a file is by its media type: a picture, sound or another file."""
    kind = _mime(members)
    return next((known for known in ("image", "audio") if kind.startswith(f"{known}/")), name)
