"""Reads the members of a request one by one, and collects what the model reads in them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TypeAlias, cast

import msgspec

from querybudget.adapters import lax
from querybudget.adapters.base import Channel, Opaque, Segment
from querybudget.adapters.content import PICTURES, is_picture, measure_input, texts_in
from querybudget.adapters.lax import Json
from querybudget.adapters.members import fold
from querybudget.adapters.opaque import (
    MEDIA,
    OPAQUE,
    are_vectors,
    kind_of_numbers,
    opaque_in,
    opaque_of,
    part_without,
    payload_of,
    rest_of,
)
from querybudget.adapters.part_shapes import (
    SHAPES,
    are_figures,
    is_label,
    only_texts,
    said_by,
    text_channel,
)
from querybudget.adapters.readings import TooMuchError
from querybudget.adapters.segment_names import (
    FED,
    HOLDERS,
    ORDER,
    OTHERS,
    SETTINGS,
    Kind,
    is_fed,
    is_id,
    is_text,
    kind_of,
)
from querybudget.adapters.text_files import text_of_file

_SAID, _FED = Channel.SAID, Channel.FED
_LABEL, _SAID_KIND, _FED_KIND = Kind.LABEL, Kind.SAID, Kind.FED  # looked up for each member
_NUMBERS = frozenset({bool, float, int})
_COUNTS = frozenset({float, int})
_NO_TEXT = frozenset({bool, type(None)})
_TEXTS = {str}
_FEW = 2  # members of JSON that is no more than a text, or of figures that may be one

MOST_OPAQUE = 4096
"""Pictures, files and the like in one request. Each costs some 10 µs, on the event loop."""


class _Way(msgspec.Struct, frozen=True, gc=False):
    """How a value is read.

    Attributes:
        channel: The channel of its texts.
        words: Whether it is JSON of any form, all of which the model reads.
        each: Whether each element of a list is a segment of its own.
    """

    channel: Channel
    words: bool = False
    each: bool = False


_IN_SAID, _IN_FED, _WORDS = _Way(_SAID), _Way(_FED), _Way(_FED, words=True)
_EACH_SAID, _EACH_FED = _Way(_SAID, each=True), _Way(_FED, each=True)
_EACH_WORDS = _Way(_FED, words=True, each=True)


_Entry: TypeAlias = "tuple[Json, _Way]"
_Entries: TypeAlias = "tuple[Iterable[Json], _Way]"


class Reader:
    """Collects what the model reads."""

    __slots__ = ("_channel", "_opaque", "_segments", "_texts")

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._opaque: list[Opaque] = []
        self._texts: list[str] = []
        self._channel = _SAID

    def found(self) -> tuple[tuple[Segment, ...], tuple[Opaque, ...]]:
        """Return what was read so far."""
        self._end()
        return tuple(self._segments), tuple(self._opaque)

    def request(self, members: dict[str, Json]) -> None:
        """Read the members of a request."""
        requests = [members]
        for request in requests:
            named: Iterable[tuple[str, Json]] = request.items()
            for name, value in sorted(named, key=_place) if len(request) > 1 else named:
                if value is not None:
                    self._member(fold(name), value, requests)

    def numbers(self, data: bytes) -> None:
        """Take a list of numbers, as JSON."""
        kind = Kind.EMBEDDINGS if b"." in data else Kind.TOKENS
        self._opaque.append(opaque_of(OPAQUE[kind], data))

    def prompt(self, value: Json) -> None:
        """Read a prompt, or a list of them."""
        self._read(value, _EACH_SAID)

    def _member(self, name: str, value: Json, requests: list[dict[str, Json]]) -> None:
        if name in SETTINGS:
            return
        if name in HOLDERS:
            held = value if isinstance(value, list) else [value]
            inner = [each for each in held if isinstance(each, dict)]
            requests += inner
            if len(inner) < len(held):
                self._read([each for each in held if not isinstance(each, dict)], _EACH_SAID)
            return
        kind = kind_of(name)
        if kind in OPAQUE:
            for rest, way in self._media(kind, value, _EACH_SAID):
                self._read(rest, way)
        elif name in FED or kind is Kind.FED or (name == "text" and isinstance(value, dict)):
            self._read(value, _EACH_WORDS if kind is Kind.WORDS else _EACH_FED)
        elif kind is not None or name in ORDER or not is_id(value):
            if name == "prompt" and isinstance(value, dict) and "id" in value:  # a stored one
                self._opaque += opaque_in(Kind.REFERENCE, value["id"])
            self._read(value, _EACH_SAID)

    def _read(self, value: Json, way: _Way) -> None:
        """Read a prompt or a member of a request, each element of a list for itself."""
        if type(value) is str:
            self._say(value, way.channel)
            self._end()
        else:
            self._walk(value, way)

    def _walk(self, value: Json, way: _Way) -> None:
        pending: list[_Entries] = [((value,), way)]
        while pending:
            values, way = pending.pop()
            if way.each and self._texts:  # of what was gone into
                self._end()
            rest = iter(values)
            for found in rest:
                within: list[_Entries] | None = None
                kind = type(found)  # asking what each is costs more than all else
                if kind is str:
                    self._say(cast("str", found), way.channel)
                elif kind is dict:
                    within = self._object(cast("dict[str, Json]", found), way)
                elif kind is list:
                    within = self._list(cast("list[Json]", found), way)
                elif kind in _COUNTS:
                    self._say(str(found), way.channel)
                if within:
                    pending.append((rest, way))
                    pending += within
                    break
                if way.each and self._texts:
                    self._end()

    def _list(self, items: list[Json], way: _Way) -> list[_Entries] | None:
        """Read a list as far as that can be done at once; return what is to be gone into."""
        if len(items) == 1:
            [only] = items
            if type(only) is dict:
                return self._object(only, way)
            if type(only) is str:
                self._say(only, way.channel)
                return None
        kinds = {*map(type, items)}
        if kinds == _TEXTS:
            self._say_all(cast("list[str]", items), way)
        elif kinds <= _NUMBERS:
            self._numbers(items, way)
        elif kinds == {dict} and not way.words and (texts := only_texts(items)):
            self._say_all(texts, way)
        elif kinds == {list} and not way.words and are_vectors(items):
            self._opaque += opaque_in(kind_of_numbers(items[0]), items)
        else:
            return self._mixed(items, kinds, way)
        return None

    def _mixed(self, items: list[Json], kinds: set[type], way: _Way) -> list[_Entries] | None:
        if not way.words and not kinds.isdisjoint(_NUMBERS):  # token ids among texts
            self._numbers([item for item in items if type(item) in _NUMBERS], way)
            items = [item for item in items if type(item) not in _NUMBERS]
        done = 0
        for item in items:
            if type(item) is not dict or not self._is_simple(item, way):
                break
            done += 1
        return [(items[done:] if done else items, way)] if done < len(items) else None

    def _numbers(self, items: list[Json], way: _Way) -> None:
        if not items:
            return
        if way.words:
            self._say(" ".join(map(str, items)), way.channel)
        else:
            self._opaque += opaque_in(kind_of_numbers(items), items)

    def _is_simple(self, members: dict[str, Json], way: _Way) -> bool:
        """Read a turn or a part with nothing but a text and labels; return False for any other."""
        if not members:
            return True
        if way.words and len(members) > _FEW:
            return False
        shape = SHAPES[tuple(members)]
        text = members[shape.text] if shape.text is not None else None
        if type(text) is not str:
            if not shape.bare or way.words:
                return way.channel is _SAID and len(members) > _FEW and are_figures(members, shape)
            text = ""
        channel = text_channel(members, shape, way.channel, words=way.words)
        if channel is None:
            return False
        if way.each and text and not self._texts and not text.startswith(PICTURES):
            self._segments.append(Segment(channel, text))  # the usual turn
        else:
            self._say(text, channel)
            if way.each:
                self._end()
        return True

    def _object(self, members: dict[str, Json], way: _Way) -> list[_Entries] | None:
        """Read an object as far as that can be done at once; return what is to be gone into."""
        while not self._is_simple(members, way):
            entries: list[_Entry] = []
            if way.words:
                self._read_words(members, entries)
            else:
                self._read_part(members, way.channel, entries)
            said = 0
            for value, read in entries:
                if type(value) is not str:
                    break
                self._say(value, read.channel)
                said += 1
            if len(entries) - said == 1:
                only, way = entries[-1]
                if type(only) is list and len(only) == 1:
                    only = only[0]
                if type(only) is dict:
                    members = only
                    continue
            return [((value,), read) for value, read in reversed(entries[said:])]
        return None

    def _read_part(self, members: dict[str, Json], channel: Channel, entries: list[_Entry]) -> None:
        """Add what is to be read of a turn or a part."""
        role, kind = members.get("role"), members.get("type")
        if type(role) is str:
            said = said_by(role)
            channel = _SAID if said is None else said
            if said is None:
                entries.append((role, _IN_SAID))
        elif type(kind) is str and is_fed(kind):
            channel = _FED
        shape = SHAPES[tuple(members)]
        if kind == "item_reference" or (shape.media and (kind != "text" or "source" in members)):
            texts = list[str]()
            rest, opaque = part_without(lax.text(kind), members, texts)
            if rest is not members:
                entries += [(text, _IN_FED) for text in texts]
                members, shape = rest, SHAPES[tuple(rest)]
                self._opaque += opaque
        way = _IN_FED if channel is _FED else _IN_SAID
        if role is not None and type(role) is not str:
            self._read_member(Kind.LABEL, "role", role, way, entries)
        for name, holds in shape.members:
            value = members[name]
            if holds is not _LABEL or type(value) is not str:
                self._read_member(holds, name, value, way, entries)
            elif not is_label(value):
                entries.append((value, way))

    def _read_member(
        self, kind: Kind | None, name: str, value: Json, way: _Way, entries: list[_Entry]
    ) -> None:
        """Add what is to be read of a member of a turn or a part."""
        if type(value) in _NO_TEXT:
            return
        if kind is None:
            if way is not _IN_SAID or not is_id(value):
                entries += [(name, way), (value, way)]
        elif kind is _FED_KIND:
            entries.append((value, _IN_FED))
        elif kind is _SAID_KIND:
            is_call = way is _IN_FED and name == "input" and isinstance(value, dict)
            entries.append((value, _WORDS if is_call else way))
        elif kind is Kind.WORDS:
            entries.append((value, _WORDS))
        elif kind is _LABEL or kind is Kind.SEALED:
            texts = (value,) if isinstance(value, str) else texts_in(value)
            entries += [(text, way) for text in texts if is_text(text, kind)]
        elif kind in MEDIA and isinstance(value, dict) and not payload_of(value):
            entries.append((value, way))
        else:
            entries += self._media(kind, value, way)

    def _read_words(self, members: dict[str, Json], entries: list[_Entry]) -> None:
        """Add what is to be read of JSON that a model reads as it is, but names of servers."""
        for name, value in members.items():
            kind = kind_of(name)
            if kind is None:
                entries.append((name, _WORDS))
            if kind is Kind.REFERENCE and not isinstance(value, dict):
                self._opaque += opaque_in(kind, value)
            elif kind is not Kind.LABEL or not isinstance(value, str) or is_text(value, kind):
                entries.append((value, _WORDS))

    def _media(self, kind: Kind, value: Json, way: _Way) -> list[_Entry]:
        """Take what is no text, and return what there is beside it, and what is."""
        if len(self._opaque) > MOST_OPAQUE:
            raise TooMuchError(f"Expected at most {MOST_OPAQUE} pictures, files and the like.")
        texts = list[str]()
        self._opaque += opaque_in(kind, value, texts)
        read: list[_Entry] = [(text, _IN_FED) for text in texts]
        if isinstance(value, str) or kind not in MEDIA:
            return read
        held = value if isinstance(value, list) else [value]
        return [*read, *((rest_of(each), way) for each in held if isinstance(each, dict))]

    def _say(self, text: str, channel: Channel) -> None:
        if not text:
            return
        if text.startswith(PICTURES) and measure_input(text)[1]:
            if not (found := text_of_file(text)):
                self._opaque.append(opaque_of("image" if is_picture(text) else "file", text))
                return
            text = found
        if channel is not self._channel:
            self._end()
            self._channel = channel
        self._texts.append(text)

    def _say_all(self, texts: list[str], way: _Way) -> None:
        together = "\n".join(texts)
        if any(mark in together for mark in PICTURES):
            for text in texts:
                self._say(text, way.channel)
                if way.each:
                    self._end()
            return
        if way.each or way.channel is not self._channel:
            self._end()
            self._channel = way.channel
        said = filter(None, texts)
        if way.each:
            self._segments += map(partial(Segment, way.channel), said)
        else:
            self._texts += said

    def _end(self) -> None:
        texts = self._texts
        if texts:
            text = texts[0] if len(texts) == 1 else "\n".join(texts)
            self._segments.append(Segment(self._channel, text))
            self._texts = []


def _place(member: tuple[str, Json]) -> int:
    name = fold(member[0])
    if name == "text" and not isinstance(member[1], dict):  # a prompt, or the form of an answer
        return OTHERS
    return ORDER.get(name, OTHERS)
