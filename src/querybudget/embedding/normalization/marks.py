"""Takes off what stands around and between words and says nothing.

Identifiers that are new in each text, pictures and tags between words, and the quotes of words that
are cut into pieces: a model reads the words all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from querybudget.embedding.normalization.wordplay import Knows

_FEWEST = 4
"""Pieces, tags or pictures of a text that are taken off, at least."""

_IDENTIFIER = re.compile(
    r"(?<![0-9A-Za-z_+/=-])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|(?=(?:[A-Za-z]*[0-9]+){3})(?=[0-9]*[A-Za-z])(?:[0-9A-Fa-f]{12,}|[0-9A-Za-z]{16,})"
    r")(?![0-9A-Za-z_+/=-])"
)
_GROUPED = re.compile(
    r"(?<![0-9A-Za-z_+/=-])[0-9A-Za-z]{3,8}(?:-[0-9A-Za-z]{3,8}){2,}(?![0-9A-Za-z_+/=-])"
)
_MIXED = re.compile("[A-Za-z][0-9]|[0-9][A-Za-z]")
_RANDOM = re.compile(r"(?<![0-9A-Za-z_+/=-])[A-Za-z]{16,}(?![0-9A-Za-z_+/=-])")
_TURNS = re.compile("[a-z][A-Z]|[A-Z]{2}[a-z]")
_PER_TURN = 5
"""Letters of a word for each place where its case changes, at most, that is no name of code."""

_MAY_BE_IDENTIFIER = re.compile("[0-9][0-9A-Za-z_-]{5}").search
_KINDS = bytes(
    ord(
        "a"
        if chr(sign).isalpha()
        else "0"
        if chr(sign).isdecimal()
        else "-"
        if sign == ord("-")
        else " "
    )
    for sign in range(128)
).ljust(256)
"""Letters of ASCII as `a`, digits as `0`, and everything else but hyphens as a space."""

_Substitution: TypeAlias = "tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]"
_LETTERS, _LONG = b"a" * 16, b"a" * 12
_UUID = b"-aaaa-aaaa-aaaa-"
"""What `_RANDOM` finds has the first among its kinds, and what `_IDENTIFIER` finds has the second,
once digits are letters. A UUID may be of digits alone; it has the third."""

_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9:_-]{0,15}(?:\s[^<>]{0,40})?/?>")
_PICTURE = re.compile(
    "[\u2190-\u21ff\u2300-\u27bf\u2b00-\u2bff\U0001f000-\U0001f1e5\U0001f200-\U0001faff]"
    "[\ufe0f\u200d\U0001f3fb-\U0001f3ff]*"
)
_COMMAND = re.compile(r"\\[A-Za-z]{1,12}\{|\}")
_TARGET = re.compile(r"\]\([^()\s]{1,200}\)|\[(?=[^\W_])")
_WORD = re.compile(r"[^\W_]+")
_DIGIT_INSIDE = re.compile(r"(?<![^\W_])([A-Za-z]{2,16})[0-9]([A-Za-z]{2,16})(?![^\W_])")
_LINES, _LONGEST_LINE, _SHORTEST_START = 6, 32, 4
"""Lines that begin alike, characters that such a line has of its own on the average, and characters
that are alike."""

_DIGITS = re.compile(r"[0-9]")
_AROUND = (("<", _TAG), ("\\", _COMMAND), ("](", _TARGET))
_MIXED_GROUPS = 2
_MAY_BE_RANDOM = re.compile("[A-Z][a-z]{0,3}[A-Z][a-z]{0,3}[A-Z]").search
_PER_PICTURE, _PER_TAG = 3, 3
"""Words for each picture and tag, at most, where they stand between words."""

_QUOTED = r"""(?:"(?:[^"\\\n]|\\.){0,12}"|'(?:[^'\\\n]|\\.){0,12}')"""
_JOINT = r"\s{0,8}(?:[+,.&]|\.\.|\|\||\\|;?\s{0,2}\w{1,12} {0,2}\+?= {0,2})?\s{0,8}"
_PIECES = re.compile(rf"{_QUOTED}(?:{_JOINT}{_QUOTED}){{5,}}")
_PIECE = re.compile(_QUOTED)
_QUOTES = 12
"""Quotes of a text with such pieces, at least."""

_LISTED = 2
"""Characters of a piece on the average, at most, if commas are between them. Longer strings are
words of a list, unless spaces at their ends show that they are pieces."""

_PER_CUT = 8
"""Pieces for each that begins or ends with a space, at most."""

_CUT_LINES, _LONGEST_PIECE = 8, 9
"""Lines of a text that may be pieces of it, and characters of one on the average with its end."""

_COMMA = re.compile(r"""["']\s*,\s*["']""")
_ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})|\\(.)")


def unmarked(text: str, knows: Knows) -> str:
    """Return a text without marks that say nothing; most often, the text itself.

    Args:
        text: The text.
        knows: Whether a word in lower case is known.
    """
    for sign, marks in _AROUND:
        if text.count(sign) >= _FEWEST:
            text = _bare(text, marks, _PER_TAG)
    if not text.isascii():
        text = _bare(text, _PICTURE, _PER_PICTURE)
    if text.count("\n") >= _LINES - 1:
        text = _without_starts(text)
    # Words with a digit inside do not overlap, so each of them is counted.
    return _without_digits(text, knows) if _kinds(text).count(b"aa0aa") >= _FEWEST else text


def without_identifiers(text: str) -> str:
    """Return a text with a 0 for each word of letters and digits at random.

    Args:
        text: The text, decoded: codes look like identifiers.
    """
    expressions = _of_identifiers(text)
    if not expressions or not (_MAY_BE_IDENTIFIER(text) or _MAY_BE_RANDOM(text)):
        return text
    bare = text
    for expression, meant in expressions:
        bare = expression.sub(meant, bare)
    return bare if 2 * len(bare) >= len(text) else text


def _of_identifiers(text: str) -> list[_Substitution]:
    """Return the expressions that may find a word in a text which they replace; it is quick."""
    kinds = _kinds(text)
    solid = kinds.replace(b"0", b"a")
    mixed = kinds.count(b"a0") + kinds.count(b"0a")  # letters and digits side by side
    found: list[_Substitution] = []
    if (mixed and _LONG in solid) or _UUID in solid:
        found.append((_IDENTIFIER, "0"))
    if mixed >= _MIXED_GROUPS and solid.count(b"a-a") >= _MIXED_GROUPS:
        found.append((_GROUPED, _group))
    if _LETTERS in kinds:
        found.append((_RANDOM, _random))
    return found


def _kinds(text: str) -> bytes:
    return text.encode("ascii", "replace").translate(_KINDS)


def _group(found: re.Match[str]) -> str:
    mixed = sum(_MIXED.search(group) is not None for group in found[0].split("-"))
    return "0" if mixed >= _MIXED_GROUPS else found[0]


def _random(found: re.Match[str]) -> str:
    turns = len(_TURNS.findall(found[0]))
    return "0" if turns * _PER_TURN >= len(found[0]) else found[0]


def _without_digits(text: str, knows: Knows) -> str:
    """Return a text without the digits inside words, if most such words are known without."""
    found = _DIGIT_INSIDE.findall(text)
    if len(found) < _FEWEST:
        return text
    known = sum(knows((start + end).lower()) for start, end in found)
    return _DIGIT_INSIDE.sub(r"\1\2", text) if 2 * known >= len(found) else text


def _without_starts(text: str) -> str:
    """Return a text without what all its lines begin with, but for digits, if they are short."""
    lines = text.split("\n")
    # They begin alike in no more than the shortest of them: this tells most texts from such lists.
    shortest = min(map(len, lines))
    if shortest < _SHORTEST_START or len(text) >= (_LONGEST_LINE + shortest + 1) * len(lines):
        return text
    start = _alike(_DIGITS.sub("0", text).split("\n"))
    own = sum(map(len, lines)) - start * len(lines)
    if start < _SHORTEST_START or own > _LONGEST_LINE * len(lines):
        return text
    return " ".join(line[start:].strip() for line in lines)


def _alike(lines: Sequence[str]) -> int:
    """Return how many characters all lines begin with: those of the first and last by order."""
    first, last = min(lines), max(lines)
    pairs = enumerate(zip(first, last, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(first), len(last)))


def joined(text: str) -> str:
    """Return a text with the pieces of one string together: ``"Ho" + "w do"``, ``["H", "o"]``.

    Lines of a few characters are pieces too, if some begin or end with the space between words.
    """
    lines = text.count("\n") + 1
    if lines >= _CUT_LINES and len(text) < _LONGEST_PIECE * lines:
        pieces = text.split("\n")
        text = "".join(pieces) if _are_cut(pieces) else text
    if text.count('"') < _QUOTES and text.count("'") < _QUOTES:
        return text
    return _PIECES.sub(_together, text)


def _bare(text: str, marks: re.Pattern[str], words: int) -> str:
    """Return a text with spaces for marks, if it has one for so many words."""
    found = marks.findall(text)
    if len(found) < _FEWEST:
        return text
    bare = marks.sub(" ", text)
    beside = len(_WORD.findall(bare))
    if marks is _TAG and beside < len(found) <= 2 * len({*found}):  # they are what it says
        return marks.sub(lambda mark: " ".join(["", *_WORD.findall(mark[0]), ""]), text)
    return bare if words * len(found) >= beside else text


def _together(found: re.Match[str]) -> str:
    """Return quoted pieces as one string."""
    pieces = [_ESCAPED.sub(_meant, piece[1:-1]) for piece in _PIECE.findall(found[0])]
    whole = "".join(pieces)
    listed = _COMMA.search(found[0]) and len(whole) > _LISTED * len(pieces)
    return found[0] if listed and not _are_cut(pieces) else whole


def _are_cut(pieces: list[str]) -> bool:
    """Return whether some of the strings of a list begin or end with a space."""
    cut = sum(piece[:1] == " " != piece[1:2] or piece[-1:] == " " for piece in pieces)
    return cut * _PER_CUT >= len(pieces)


def _meant(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1], 16)) if escaped[1] else escaped[2]
