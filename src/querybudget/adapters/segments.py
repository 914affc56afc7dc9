"""What the model reads in a request: `Call.segments` and `Call.opaque`, for every dialect.

One reader for all: names of members are folded, and `segment_names` says what each holds. Whatever
it does not name is read too, names of members included, since a server may read it. Each turn, tool
and prompt is a segment; texts of one channel that stand together in a turn are one, a line each.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TypeAlias, cast

import msgspec

from querybudget.adapters import lax
from querybudget.adapters.base import Call, Channel, Opaque, Segment, Target
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
from querybudget.adapters.part_shapes import SHAPES, are_figures, only_texts, text_channel
from querybudget.adapters.readings import TooMuchError
from querybudget.adapters.request import Request
from querybudget.adapters.segment_names import (
    FED,
    HOLDERS,
    ORDER,
    OTHERS,
    SETTINGS,
    Kind,
    channel_of,
    is_fed,
    is_id,
    is_role,
    is_text,
    kind_of,
)

_SAID, _FED = Channel.SAID, Channel.FED
_NUMBERS = frozenset({bool, float, int})
_COUNTS = frozenset({float, int})
_NO_TEXT = frozenset({bool, type(None)})
_TEXTS = {str}
_FEW = 2  # members of JSON that is no more than a text, or of figures that may be one

_Members: TypeAlias = "Iterable[tuple[str, Json]]"

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


class _End:
    """Ends a segment."""


_END = _End()
_Entry: TypeAlias = "tuple[Json | _End, _Way]"


def add_texts(call: Call, target: Target, request: Request, **decoded: Json) -> None:
    """Set what the model reads in a request, if it is wanted.

    Args:
        call: The request's call.
        target: Where it is sent.
        request: Its members.
        decoded: Those of them that are decoded already.

    Raises:
        BodyError: A member is no JSON that every reader takes.
    """
    if not target.texts:
        return
    reader = Reader()
    members: list[tuple[str, Json]] = []
    for name in request.texts():
        if fold(name) in SETTINGS:
            continue
        if name in decoded:
            members.append((name, decoded[name]))
        elif numbers := request.numbers(name):
            reader.numbers(numbers)
        else:
            members.append((name, request.value(name)))
    reader.request(members)
    call.segments, call.opaque = reader.found()


def texts_of(
    document: Json, prompts: Iterable[Json] = ()
) -> tuple[tuple[Segment, ...], tuple[Opaque, ...]]:
    """Return what the model reads in a request.

    Args:
        document: The request, decoded.
        prompts: Values in it that are prompts, whatever their members are called.
    """
    reader = Reader()
    for prompt in prompts:
        reader.prompt(prompt)
    if isinstance(document, dict):
        reader.request(document.items())
    else:
        reader.prompt(document)
    segments, opaque = reader.found()
    # The document has the prompts again.
    return tuple(dict.fromkeys(segments)), tuple(dict.fromkeys(opaque))


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

    def request(self, members: _Members) -> None:
        """Read the members of a request."""
        requests = [members]
        for request in requests:
            named = [(name, value) for name, value in request if value is not None]
            if len(named) > 1:
                named.sort(key=_place)
            for name, value in named:
                self._member(fold(name), value, requests)

    def numbers(self, data: bytes) -> None:
        """Take a list of numbers, as JSON."""
        kind = Kind.EMBEDDINGS if b"." in data else Kind.TOKENS
        self._opaque.append(opaque_of(OPAQUE[kind], data))

    def prompt(self, value: Json) -> None:
        """Read a prompt, or a list of them."""
        self._walk(value, _EACH_SAID)

    def _member(self, name: str, value: Json, requests: list[_Members]) -> None:
        if name in SETTINGS:
            return
        if name in HOLDERS:
            held = value if isinstance(value, list) else [value]
            inner = [each for each in held if isinstance(each, dict)]
            requests += [each.items() for each in inner if not SETTINGS.issuperset(map(fold, each))]
            if len(inner) < len(held):
                self._walk([each for each in held if not isinstance(each, dict)], _EACH_SAID)
            return
        kind = kind_of(name)
        if kind in OPAQUE:
            self._walk(self._media(kind, value), _EACH_SAID)
        elif name in FED or kind is Kind.FED or (name == "text" and isinstance(value, dict)):
            self._walk(value, _EACH_WORDS if kind is Kind.WORDS else _EACH_FED)
        elif kind is not None or name in ORDER or not is_id(value):
            if name == "prompt" and isinstance(value, dict) and "id" in value:  # a stored one
                self._opaque += opaque_in(Kind.REFERENCE, value["id"])
            self._walk(value, _EACH_SAID)

    def _walk(self, value: Json, way: _Way) -> None:
        pending: list[_Entry] = [(value, way)]
        while pending:
            found, way = pending.pop()
            kind = type(found)  # asking what each is costs more than all else
            if kind is str:
                self._say(cast("str", found), way.channel)
            elif kind is dict:
                self._object(cast("dict[str, Json]", found), way, pending)
            elif kind is list:
                self._list(cast("list[Json]", found), way, pending)
            elif kind is _End:
                self._end()
            elif kind in _COUNTS:
                self._say(str(found), way.channel)
            if way.each:
                self._end()

    def _list(self, items: list[Json], way: _Way, pending: list[_Entry]) -> None:
        if len(items) == 1 and type(items[0]) is dict:
            pending.append((items[0], way))
            return
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
            if not way.words and not kinds.isdisjoint(_NUMBERS):  # token ids among texts
                self._numbers([item for item in items if type(item) in _NUMBERS], way)
                items = [item for item in items if type(item) not in _NUMBERS]
            done = 0
            for item in items:
                if type(item) is not dict or not self._is_simple(item, way):
                    break
                done += 1
            pending += [(item, way) for item in reversed(items[done:] if done else items)]

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
        if not isinstance(text, str):
            return way.channel is _SAID and len(members) > _FEW and are_figures(members, shape)
        channel = text_channel(members, shape, way.channel, words=way.words)
        if channel is None:
            return False
        self._say(text, channel)
        if way.each:
            self._end()
        return True

    def _object(self, members: dict[str, Json], way: _Way, pending: list[_Entry]) -> None:
        entries: list[_Entry] = []
        while not self._is_simple(members, way):
            if way.words:
                self._read_words(members, entries)
            else:
                self._read_part(members, way.channel, entries)
            if way.each or len(entries) != 1 or not isinstance(only := entries[0][0], dict):
                break
            members, way = only, entries.pop()[1]
        if not entries or {type(value) for value, _ in entries} == _TEXTS:  # nothing to go into
            if way.each:
                self._end()
            for text, read in entries:
                self._say(cast("str", text), read.channel)
            return
        if way.each:
            pending.append((_END, _IN_SAID))
        entries.reverse()
        pending += entries

    def _read_part(self, members: dict[str, Json], channel: Channel, entries: list[_Entry]) -> None:
        """Add what is to be read of a turn or a part."""
        role, kind = members.get("role"), members.get("type")
        if isinstance(role, str):
            channel = channel_of(role)
            if not is_role(role):
                entries.append((role, _IN_SAID))
        elif isinstance(kind, str) and is_fed(kind):
            channel = _FED
        shape = SHAPES[tuple(members)]
        if kind == "item_reference" or (shape.media and (kind != "text" or "source" in members)):
            members, opaque = part_without(lax.text(kind), members)
            self._opaque += opaque
            shape = SHAPES[tuple(members)]
        way = _IN_FED if channel is _FED else _IN_SAID
        if role is not None and not isinstance(role, str):
            self._read_member(Kind.LABEL, "role", role, way, entries)
        for name, holds in shape.members:
            value = members[name]
            if holds is not Kind.LABEL or not isinstance(value, str):
                self._read_member(holds, name, value, way, entries)
            elif is_text(value, holds):
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
        elif kind is Kind.SAID:
            is_call = way is _IN_FED and name == "input" and isinstance(value, dict)
            entries.append((value, _WORDS if is_call else way))
        elif kind is Kind.FED or kind is Kind.WORDS:
            entries.append((value, _IN_FED if kind is Kind.FED else _WORDS))
        elif kind is Kind.LABEL or kind is Kind.SEALED:
            texts = (value,) if isinstance(value, str) else texts_in(value)
            entries += [(text, way) for text in texts if is_text(text, kind)]
        elif kind in MEDIA and isinstance(value, dict) and not payload_of(value):
            entries.append((value, way))
        else:
            entries += [(rest, way) for rest in self._media(kind, value)]

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

    def _media(self, kind: Kind, value: Json) -> list[Json]:
        """Take what is no text, and return what there is beside it."""
        if len(self._opaque) > MOST_OPAQUE:
            raise TooMuchError(f"Expected at most {MOST_OPAQUE} pictures, files and the like.")
        self._opaque += opaque_in(kind, value)
        if isinstance(value, str) or kind not in MEDIA:
            return []
        held = value if isinstance(value, list) else [value]
        return [rest_of(each) for each in held if isinstance(each, dict)]

    def _say(self, text: str, channel: Channel) -> None:
        if not text:
            return
        if text.startswith(PICTURES) and measure_input(text)[1]:
            self._opaque.append(opaque_of("image" if is_picture(text) else "file", text))
            return
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
