"""Counts the steps of a regular expression that backtracks, and writes texts to make it do so.

Python's `re` does not say how many steps a search takes. This matches the same parsed expression in
the same order, and counts each attempt to match one item at one position. Python's own engine skips
some of them, so it never takes more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from typing import Any, TypeAlias

parser: Any = import_module("re._parser")

_NO_END = 10**9
_SINGLE = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_CATEGORIES = {"DIGIT": re.compile(r"\d"), "SPACE": re.compile(r"\s"), "WORD": re.compile(r"\w")}
_SAMPLES = {"DIGIT": "1", "SPACE": " ", "WORD": "a", "NOT_DIGIT": "b", "NOT_SPACE": "c"}
_OTHERS = "x\n\u0301"


class TooManySteps(Exception):  # noqa: N818 - a verdict, not an error
    """The search takes more steps than any linear one would."""


class Counter:
    """Matches one expression and counts.

    Args:
        pattern: Of text or of bytes, which are matched as Latin-1.
        most: Steps after which `TooManySteps` is raised.
    """

    def __init__(self, pattern: re.Pattern[Any], most: int) -> None:
        source = pattern.pattern
        self._text = source if isinstance(source, str) else source.decode("latin-1")
        flags = pattern.flags & ~re.UNICODE
        self.parsed = parser.parse(self._text, flags)
        self._items = _read(self.parsed)
        self._ignore_case = bool(pattern.flags & re.IGNORECASE)
        self._dot_all = bool(pattern.flags & re.DOTALL)
        self._lines = bool(pattern.flags & re.MULTILINE)
        self.most = most
        self.steps = 0

    def matches(self, text: str, *, whole: bool) -> bool:
        """Return whether `match` finds something, or `fullmatch`."""
        items = (*self._items, *(_END if whole else ()))
        return next(self._sequence(items, 0, text, 0, {}), None) is not None

    def find_all(self, text: str) -> list[tuple[int, int]]:
        """Find what `finditer` finds."""
        found: list[tuple[int, int]] = []
        position, first = 0, self._items[0]
        while position <= len(text):
            if first.name in _SINGLE and not (
                position < len(text) and self._is(first, text[position])
            ):
                self._step()
                position += 1
                continue
            end = next(self._sequence(self._items, 0, text, position, {}), None)
            if end is None:
                position += 1
                continue
            found.append((position, end))
            position = end if end > position else position + 1
        return found

    def _step(self, count: int = 1) -> None:
        self.steps += count
        if self.steps > self.most:
            raise TooManySteps

    def _sequence(
        self, items: _Items, index: int, text: str, position: int, groups: dict[int, Any]
    ) -> Iterator[int]:
        if index == len(items):
            yield position
            return
        item = items[index]
        if item.name in _SINGLE:  # no generator of its own: most items are one character
            self._step()
            if position < len(text) and self._is(item, text[position]):
                yield from self._sequence(items, index + 1, text, position + 1, groups)
            return
        for end in self._item(item, text, position, groups):
            yield from self._sequence(items, index + 1, text, end, groups)

    def _item(  # noqa: C901, PLR0912 - one branch for each kind of item
        self, item: _Item, text: str, position: int, groups: dict[int, Any]
    ) -> Iterator[int]:
        self._step()
        name, value = item.name, item.value
        if name in _REPEATS:
            yield from self._repeat(item, text, position, groups)
        elif name == "SUBPATTERN":
            for end in self._sequence(item.inner[0], 0, text, position, groups):
                groups[value[0]] = text[position:end]
                yield end
        elif name == "BRANCH":
            for branch in item.inner:
                yield from self._sequence(branch, 0, text, position, groups)
        elif name == "ATOMIC_GROUP":
            yield from islice(self._sequence(item.inner[0], 0, text, position, groups), 1)
        elif name in ("ASSERT", "ASSERT_NOT"):
            if self._looks(item, text, position, groups) == (name == "ASSERT"):
                yield position
        elif name == "AT":
            if _is_at(str(value), text, position, lines=self._lines):
                yield position
        elif name == "GROUPREF":
            if text.startswith(groups.get(value, "\0"), position):
                yield position + len(groups[value])
        else:
            raise NotImplementedError(name)

    def _looks(self, item: _Item, text: str, position: int, groups: dict[int, Any]) -> bool:
        direction, items = item.value
        if direction < 0:
            low, high = items.getwidth()
            assert low == high
            position -= low
        if position < 0:
            return False
        return next(self._sequence(item.inner[0], 0, text, position, groups), None) is not None

    def _repeat(
        self, item: _Item, text: str, position: int, groups: dict[int, Any]
    ) -> Iterator[int]:
        name, items = item.name, item.inner[0]
        low, high = int(item.value[0]), min(int(item.value[1]), _NO_END)
        if len(items) == 1 and items[0].name in _SINGLE:
            yield from self._run(name, low, high, items[0], text, position)
        elif name == "POSSESSIVE_REPEAT":
            yield from islice(self._nested(True, low, high, items, text, position, groups), 1)
        else:
            yield from self._nested(name == "MAX_REPEAT", low, high, items, text, position, groups)

    def _run(
        self, name: str, low: int, high: int, item: _Item, text: str, position: int
    ) -> Iterator[int]:
        """Repeat one character."""
        count = 0
        if name == "MIN_REPEAT":
            while count <= high:
                if count >= low:
                    yield position + count
                self._step()
                if position + count >= len(text):
                    return
                if not self._is(item, text[position + count]):
                    return
                count += 1
            return
        end = min(high, len(text) - position)
        while count < end and self._is(item, text[position + count]):
            count += 1
        self._step(min(count + 1, end))  # the one that does not fit is tried too
        last = count if name == "POSSESSIVE_REPEAT" else low
        for taken in range(count, last - 1, -1):
            self._step()
            if taken >= low:
                yield position + taken

    def _nested(
        self,
        greedy: bool,
        low: int,
        high: int,
        items: _Items,
        text: str,
        position: int,
        groups: dict[int, Any],
    ) -> Iterator[int]:
        self._step()
        if not greedy and low <= 0:
            yield position
        if high > 0:
            for end in self._sequence(items, 0, text, position, groups):
                if end > position or low > 0:
                    yield from self._nested(greedy, low - 1, high - 1, items, text, end, groups)
        if greedy and low <= 0:
            yield position

    def _is(self, item: _Item, character: str) -> bool:
        found = item.known.get(character)
        if found is None:
            found = item.known[character] = self._fits(item.name, item.value, character)
        return found

    def _fits(self, name: str, value: Any, character: str) -> bool:
        spellings = (
            (character, character.lower(), character.upper()) if self._ignore_case else (character,)
        )
        if name == "LITERAL":
            return any(ord(one[0]) == value for one in spellings)
        if name == "NOT_LITERAL":
            return all(ord(one[0]) != value for one in spellings)
        if name == "ANY":
            return self._dot_all or character != "\n"
        negated = str(value[0][0]) == "NEGATE"
        return any(_is_in(value, one[0]) for one in spellings) != negated


@dataclass(frozen=True, slots=True)
class _Item:
    """One item of a parsed expression: `inner` are the sequences in it.

    `known` is whether characters fit that were looked at before.
    """

    name: str
    value: Any
    inner: tuple[_Items, ...] = ()
    known: dict[str, bool] = field(default_factory=dict[str, bool])


_Items: TypeAlias = tuple[_Item, ...]


def _read(items: Any) -> _Items:
    return tuple(_Item(str(name), value, _inner(str(name), value)) for name, value in items)


def _inner(name: str, value: Any) -> tuple[_Items, ...]:
    if name in _REPEATS:
        return (_read(value[2]),)
    match name:
        case "SUBPATTERN":
            return (_read(value[3]),)
        case "BRANCH":
            return tuple(_read(branch) for branch in value[1])
        case "ATOMIC_GROUP":
            return (_read(value),)
        case "ASSERT" | "ASSERT_NOT":
            return (_read(value[1]),)
        case _:
            return ()


_END = _read(parser.parse(r"\Z"))


def _is_in(members: Any, character: str) -> bool:
    code = ord(character)
    for member, value in members:
        match str(member):
            case "LITERAL" if code == value:
                return True
            case "RANGE" if value[0] <= code <= value[1]:
                return True
            case "CATEGORY":
                kind = str(value).removeprefix("CATEGORY_")
                found = _CATEGORIES[kind.removeprefix("NOT_")].match(character) is not None
                if found != kind.startswith("NOT_"):
                    return True
            case _:
                pass
    return False


def _is_at(place: str, text: str, position: int, *, lines: bool) -> bool:
    match place:
        case "AT_BEGINNING" if lines:
            return position == 0 or text[position - 1] == "\n"
        case "AT_BEGINNING" | "AT_BEGINNING_STRING":
            return position == 0
        case "AT_END" if lines:
            return position == len(text) or text[position] == "\n"
        case "AT_END":
            return position == len(text) or (position == len(text) - 1 and text[-1] == "\n")
        case "AT_END_STRING":
            return position == len(text)
        case _:
            raise NotImplementedError(place)


# -- Texts that make it backtrack ----------------------------------------------------------------


def witness(items: Any) -> str:
    """A text that an expression matches, or nearly: each repeat once, the last branch."""
    text = ""
    for item, value in items:
        match str(item):
            case "LITERAL":
                text += chr(value)
            case "NOT_LITERAL" | "ANY":
                text += "x"
            case "IN":
                text += next(iter(_members(value)), "x")
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                text += witness(value[2]) * max(1, min(int(value[0]), 12))
            case "SUBPATTERN":
                text += witness(value[3])
            case "BRANCH":
                text += witness(value[1][-1])
            case "ATOMIC_GROUP":
                text += witness(value)
            case _:
                pass
    return text


def alphabet(items: Any) -> list[str]:  # noqa: C901 - one case for each kind of item
    """One character of each kind that an expression tells apart, and some others."""
    found: dict[str, None] = {}

    def walk(items: Any) -> None:
        for item, value in items:
            match str(item):
                case "LITERAL" | "NOT_LITERAL":
                    found[chr(value)] = None
                case "IN":
                    found.update(dict.fromkeys(_members(value)))
                case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                    walk(value[2])
                case "SUBPATTERN":
                    walk(value[3])
                case "BRANCH":
                    for branch in value[1]:
                        walk(branch)
                case "ATOMIC_GROUP":
                    walk(value)
                case "ASSERT" | "ASSERT_NOT":
                    walk(value[1])
                case _:
                    pass

    walk(items)
    return [*found, *(other for other in _OTHERS if other not in found)]


def _members(members: Any) -> list[str]:
    found: list[str] = []
    for member, value in members:
        match str(member):
            case "LITERAL":
                found.append(chr(value))
            case "RANGE":
                found.append(chr(value[0]))
            case "CATEGORY":
                found.append(_SAMPLES.get(str(value).removeprefix("CATEGORY_"), "-"))
            case _:
                pass
    negated = bool(members) and str(members[0][0]) == "NEGATE"
    return ["x", *found[:3]] if negated else found[:4]
