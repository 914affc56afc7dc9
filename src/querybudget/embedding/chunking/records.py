"""Takes a text that holds records apart: strings of JSON, of code and of tables, lines of a chat.

A task among records of something else would be read together with these, in one chunk. So each
record is read as if it were a text of its own, and so is what is around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import cast

import msgspec

FEWEST = 3
"""Strings of JSON, and lines of a chat, that are records."""

SHORTEST = 16
"""Characters of a record; a shorter one belongs to the record before it."""

SAYS = 6
"""Words of a quoted string that says something, at least."""

DENSE = 2.5
"""Bytes per character of scripts in which a few characters say something."""

MOST = 64
"""Records of a text that are read one by one. A text of more is read as any other."""

MOST_OTHERS = 4
"""Numbers and the like of JSON that is no more than the frame of its strings."""

LONGEST = 1 << 16
"""Characters of a text that is read as JSON, at most."""

SPOKEN = 0.6
"""Share of the lines of a chat that begin with who speaks, at least."""

CODE = 40
"""Characters of a chat per sign of a programming language, at least."""

_SIGNS_OF_ELEMENT = 5  # such as "<a>" and "</a>", which are no code here

_JSON = re.compile(r"(?:^|\n)[ \t]*([\[{])").search
_OPEN = r"(?:^|[\[{(,:=;|\t])[ ]*"
_QUOTED = re.compile(
    _OPEN + r'"(?P<string>(?:[^"\\]|\\.){10,}+)"[ ]*(?=[,\]}):;|\t\n]|\Z)', re.MULTILINE
).finditer
_SPEAKERS = re.compile(
    r"^[ \t]*(?:[-*\u2022][ \t]+)?(?:[\[(][^\])\n]{1,24}[\])][ \t]*)?"
    r"(?:<[^<>\n]{1,24}>[ \t]*|[^\W\d_](?:[^\W\d]|[ .'()-]){0,23}:[ \t]+)(?=\S)",
    re.MULTILINE,
).finditer
_SPEAKER = re.compile(r"\n[^:>\n]{1,52}[:>]").search
_SIGNS = b"{}();=<>_/\\|`"
_WORDS = re.compile(r"[^\W\d_]+").findall


def records(text: str) -> Sequence[str]:
    """Return what a text holds as records, and what is around them; or the text alone.

    JSON with one or two strings is read as these: the rest is their frame.

    Args:
        text: What somebody says.
    """
    found: Sequence[str] = ()
    if "[" in text or "{" in text:
        found = _of_json(text)
    if not found and '"' in text:
        found = _of_quoted(text)
    if not found and "\n" in text and _SPEAKER(text) is not None:
        found = _of_speakers(text)
    return found if 0 < len(found) <= MOST else (text,)


def _of_json(text: str) -> Sequence[str]:
    begin = _JSON(text)
    if begin is None:
        return ()
    start, stop = begin.start(1), max(text.rfind("]"), text.rfind("}")) + 1
    values = json_values(text[start:stop])
    strings = [one for one in values if isinstance(one, str)]
    before, after = text[:start].strip(), text[stop:].strip()
    long = [one for one in strings if _says_something(one)]
    if len(long) > 1:
        others = "\n".join(one for one in strings if not _says_something(one))
        return [one for one in (before, *long, others, after) if one]
    few = 0 < sum(len(one) >= SHORTEST for one in strings) < FEWEST
    if not few or len(values) - len(strings) > MOST_OTHERS:
        return ()
    return ("\n".join(one for one in (before, *strings, after) if one),)


def json_values(text: str) -> list[object]:
    """Return the values of a text that is JSON, and the names of members that may be sentences."""
    bare = text.strip()
    if bare[:1] not in {"[", "{"} or bare[-1:] not in {"]", "}"} or len(bare) > LONGEST:
        return []
    try:
        left: list[object] = [msgspec.json.decode(bare)]
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return []
    values: list[object] = []
    while left:
        one = left.pop()
        if isinstance(one, dict):
            for name, value in reversed(cast("dict[str, object]", one).items()):
                left.append(value)
                if len(name) >= SHORTEST:
                    left.append(name)
        elif isinstance(one, list):
            left.extend(reversed(cast("list[object]", one)))
        else:
            values.append(one)
    return values


def signs_of_code(text: str) -> int:
    """Return how many signs of programming languages a text has."""
    signs = text.encode("ascii", "replace")
    return len(signs) - len(signs.translate(None, _SIGNS))


def _of_quoted(text: str) -> Sequence[str]:
    """Return the strings in code or in a table that say something, and what is around them."""
    found = [one for one in _QUOTED(text) if _says_something(one["string"])]
    if not found:
        return ()
    ends = [0, *(one.end() for one in found)]
    starts = [*(one.start() for one in found), len(text)]
    around = " ".join(text[end:start].strip() for end, start in zip(ends, starts, strict=True))
    strings = [_unescaped(one["string"]) for one in found]
    return [*strings, around] if len(around) >= SHORTEST else strings


def _says_something(string: str) -> bool:
    return len(_WORDS(string)) >= SAYS or len(string.encode("utf-8", "replace")) >= DENSE * len(
        string
    )


def _unescaped(string: str) -> str:
    try:
        return msgspec.json.decode(f'"{string}"', type=str)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return string


def _of_speakers(text: str) -> Sequence[str]:
    marks = [*_SPEAKERS(text)]
    elements = sum("<" in mark[0] for mark in marks)
    signs = signs_of_code(text) - _SIGNS_OF_ELEMENT * elements
    lines = text.count("\n") + 1 - text.count("\n\n")
    if len(marks) < max(FEWEST, SPOKEN * lines) or signs * CODE > len(text):
        return ()
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    parts = [text[: marks[0].start()]]
    parts += [text[mark.start() : end] for mark, end in zip(marks, ends, strict=True)]
    parts[-1:] = parts[-1].partition("\n")[::2]  # what is behind the chat
    return [*_long_enough(parts)]


def _long_enough(parts: Sequence[str]) -> Iterator[str]:
    before: list[str] = []  # joined once: a chat may have any number of short lines
    for part in filter(None, map(str.strip, parts)):
        if before and len(part) >= SHORTEST:
            yield " ".join(before)
            before = []
        before.append(part)
    if before:
        yield " ".join(before)
