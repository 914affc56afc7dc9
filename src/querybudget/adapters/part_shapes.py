"""Turns and parts by the names of their members: most bodies have many of few shapes.

What each name holds is looked up once for all objects with the same names in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from querybudget.adapters.base import Channel
from querybudget.adapters.lax import Json
from querybudget.adapters.request import LONGEST_KNOWN, MOST_KNOWN
from querybudget.adapters.segment_names import (
    Kind,
    channel_of,
    is_fed,
    is_role,
    is_text,
    kind_of,
)

_TEXTS = frozenset({Kind.FED, Kind.SAID, Kind.WORDS})
_NUMBERS = frozenset({bool, float, int})
_HOLDERS = frozenset({dict, list})
_LABELS: Final[Mapping[str, bool]] = {
    name: is_fed(name)
    for name in (
        *("text", "input_text", "output_text", "message", "function", "user", "assistant", "tool"),
        *("function_call", "function_call_output", "tool_use", "tool_result", "document", "image"),
        *("image_url", "input_image", "input_file", "file", "object", "string"),
    )
}
"""Types and roles that most turns and parts have, one word each, so no text; and whether, as a
type, it is fed."""

_ROLES: Final[Mapping[str, Channel]] = {
    role: channel_of(role) for role in ("user", "assistant", "system", "developer", "tool", "model")
}
"""The channels of the roles that most turns have."""


class Shape(msgspec.Struct, frozen=True, gc=False):
    """What the members of a turn or a part hold, by their names.

    Attributes:
        members: Each name but ``role``, with what it holds.
        text: The member that holds the text, where all others are labels; else None.
        labels: The other members but ``role``, where there is such a text.
        fed: Whether that text is fed, whoever says it.
        media: Whether a member may hold a picture or a file, depending on others.
        texts: Whether any member holds text, of which a number is one too.
        bare: Whether all members are labels.
    """

    members: tuple[tuple[str, Kind | None], ...]
    text: str | None
    labels: tuple[str, ...]
    fed: bool
    media: bool
    texts: bool
    bare: bool = False


class Shapes(dict[tuple[str, ...], Shape]):
    """The shapes of objects, by their names in order. Those of long names are not kept."""

    def __missing__(self, names: tuple[str, ...]) -> Shape:
        shape = _shape(names)
        if sum(map(len, names)) <= LONGEST_KNOWN:
            if len(self) >= MOST_KNOWN:
                self.clear()
            self[names] = shape
        return shape


def _shape(names: tuple[str, ...]) -> Shape:
    members = tuple((name, kind_of(name)) for name in names if name != "role")
    media = "source" in names or "data" in names
    texts = [(name, kind) for name, kind in members if kind in _TEXTS]
    labels = tuple(name for name, kind in members if kind is Kind.LABEL)
    if not media and len(labels) == len(members):
        return Shape(members, None, labels, fed=False, media=False, texts=False, bare=True)
    if media or len(texts) != 1 or len(labels) + 1 < len(members):
        return Shape(members, None, (), fed=False, media=media, texts=bool(texts))
    [(text, kind)] = texts
    return Shape(members, text, labels, fed=kind is not Kind.SAID, media=False, texts=True)


SHAPES: Final = Shapes()


def text_channel(
    members: dict[str, Json], shape: Shape, channel: Channel, *, words: bool
) -> Channel | None:
    """Return the channel of the text in a turn or a part; None if it has another text.

    Args:
        members: The turn or the part.
        shape: Its shape, which has a text or is bare.
        channel: The channel of what it stands in.
        words: Whether a model reads it as it is, whoever is said to say it.
    """
    kind = members.get("type")
    if kind == "item_reference":
        return None
    for label in shape.labels:
        value = members[label]
        if type(value) is str:
            if value not in _LABELS and is_text(value, Kind.LABEL):
                return None
        elif type(value) in _HOLDERS:
            return None
    if "role" in members and not words:
        role = members["role"]
        said = said_by(role) if type(role) is str else None
        return Channel.FED if shape.fed and said is not None else said
    if type(kind) is str:
        fed = _LABELS.get(kind)
        channel = Channel.FED if (is_fed(kind) if fed is None else fed) else channel
    return Channel.FED if shape.fed else channel


def said_by(role: str) -> Channel | None:
    """Return the channel of a turn; None if no server knows its role."""
    channel = _ROLES.get(role)
    return channel_of(role) if channel is None and is_role(role) else channel


def is_label(text: str) -> bool:
    """Return True if a text where a label is expected is one, so that no model reads it."""
    return text in _LABELS or not is_text(text, Kind.LABEL)


def are_figures(members: dict[str, Json], shape: Shape) -> bool:
    """Return True if no member may hold text: all are numbers, and none is where text is."""
    return not shape.texts and {*map(type, members.values())} <= _NUMBERS


def only_texts(items: list[Json]) -> list[str]:
    """Return the texts of parts that have no other member; nothing if one of them is more."""
    texts: list[str] = []
    for item in cast("list[dict[str, Json]]", items):
        text = item.get("text")
        if len(item) != 1 or not isinstance(text, str):
            return []
        texts.append(text)
    return texts
