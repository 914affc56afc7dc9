"""Tells apart the tasks of a text that packs several: each is about something else.

A text of numbered lines, of blocks between blank lines or separators, or of JSON is cut
into its items. Looked at together, tasks would be one blurred subject.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from querybudget.embedding.chunking.records import json_values, signs_of_code

FEWEST = 3
"""Items of a list, and strings of JSON that are apart."""

FEWEST_BLOCKS = 4
"""Blocks of a text that are items although nothing marks them."""

SHORTEST = 16
"""Characters of an item; a shorter one belongs to the item before it."""

CODE = 40
"""Characters that a list of blocks has per sign of a programming language, at least: a text with
more such signs is code."""

_MARK = re.compile(
    r"^[ \t]*(?:[-*\u2022>][ \t]+)?(?:[^\W\d_]{1,12}[ \t]*)?"
    r"[#(\[\u3010]?\d{1,4}[.):\]\u3011\u3001][ \t]*",
    re.MULTILINE,
)
_NUMBER = re.compile(r"\d{1,4}").findall
_ENDS_OF_MARKS = bytes(
    ord("0" if chr(sign).isdecimal() else "." if chr(sign) in ".):]" else " ")
    for sign in range(128)
).ljust(256)
_STARTS_OF_LINES = bytes(
    ord(
        "\n"
        if sign == ord("\n")
        else "a"
        if chr(sign).isalnum() or chr(sign).isspace() or sign == ord("_")
        else "-"
    )
    for sign in range(128)
).ljust(256)
_BLOCKS = re.compile(r"\n[ \t]*(?:[^\w\s]{2,}[ \t]*)?\n|(?:^|\n)[ \t]*[^\w\s]{3,}[ \t]*(?=\n|$)")


def items(text: str) -> list[str]:
    """Return the items of a text, or the text alone if it is no list."""
    if len(text) < FEWEST * SHORTEST:
        return [text]
    found = _of_json(text) or _of_marks(text)
    if not found and signs_of_code(text) * CODE < len(text):
        found = _of_blocks(text)
    return found or [text]


def numbered(text: str) -> list[str]:
    """Return the items of a list that counts up in equal steps; or the text alone.

    Args:
        text: What comes with what is asked. Its blocks, records and other numbers are those of a
            document.
    """
    if text.count("\n") < FEWEST - 1:
        return [text]
    marks = [*_MARK.finditer(text)]
    numbers = [int(_NUMBER(mark[0])[-1]) for mark in marks]
    steps = {after - before for before, after in pairwise(numbers)}
    counts = len(marks) >= FEWEST and len(steps) == 1 and min(steps) > 0
    return (_between(text, marks) if counts else []) or [text]


def _of_json(text: str) -> list[str]:
    strings = [one for one in json_values(text) if isinstance(one, str) and len(one) >= SHORTEST]
    return strings if len(strings) >= FEWEST else []


def _of_marks(text: str) -> list[str]:
    if text.count("\n") < FEWEST - 1:  # a mark begins a line
        return []
    if text.isascii() and text.encode().translate(_ENDS_OF_MARKS).count(b"0.") < FEWEST:
        return []
    marks = [*_MARK.finditer(text)]
    return _between(text, marks) if len(marks) >= FEWEST else []


def _between(text: str, marks: Sequence[re.Match[str]]) -> list[str]:
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    parts = [text[: marks[0].start()]]
    parts += [text[mark.end() : end] for mark, end in zip(marks, ends, strict=True)]
    return _long_enough(parts, FEWEST)


def _of_blocks(text: str) -> list[str]:
    # Whatever is between blocks begins with the end of a line, or the first with a sign.
    lines = text.encode("ascii", "replace").translate(_STARTS_OF_LINES, b" \t")
    borders = lines.count(b"\n\n") + lines.count(b"\n-") + lines.startswith(b"-")
    if borders < FEWEST_BLOCKS - 1:
        return []
    return _long_enough(_BLOCKS.split(text), FEWEST_BLOCKS)


def _long_enough(parts: list[str], fewest: int) -> list[str]:
    """Return parts of which none is too short; empty if there are fewer than `fewest`."""
    found: list[str] = []
    for part in map(str.strip, parts):
        if found and len(part) < SHORTEST:
            found[-1] = f"{found[-1]} {part}".strip()
        elif part:
            found.append(part)
    return found if len(found) >= fewest else []
