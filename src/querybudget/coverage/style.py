"""Plain facts of one ask: how it is put, not what it is about.

A list made for training is put differently from what people and programs ask in the course of
their day: whole sentences, no "I", no "and that one?", an instruction or a choice of answers. No
single fact tells much, and none is enough to flag anybody (`querybudget.coverage.score` bounds what
they can add together). Only the beginning of an ask is read. A fact that a language does not have
(capital letters in Chinese) is given the value that says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from zlib import crc32

from querybudget.coverage import lexicon

__all__ = ["READ", "TRAITS", "WORDS", "facts"]

READ = 400
"""Characters of an ask that are looked at."""

WORDS = 2048
"""Bits of the bitmap of words."""

TRAITS = (
    "size",
    "question",
    "sentence",
    "capital",
    "lower",
    "first_person",
    "courtesy",
    "reference",
    "interrogative",
    "instruction",
    "lines",
    "options",
    "digits",
    "capitals",
    "symbols",
    "reasoning",
    "judging",
    "format",
    "short",
    "commas",
    "word_length",
    "second_person",
    "quotes",
    "variety",
)
"""Names of the facts, in their order. Yes and no are 100 and 0, shares are in percent; `size` is
16 log2 of the characters, `word_length` is in tenths of a character."""

NEUTRAL_CAPITAL, NEUTRAL_LOWER, NEUTRAL_LENGTH = 60, 35, 43
"""What usual callers show on average, for scripts that have no such thing."""

SHORT = 22
"""Characters of a short ask."""

_WORD = re.compile(r"[^\W_]+")
_DENSE = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)
"""Scripts of which a character says as much as two or three letters do."""
_OPTIONS = re.compile(r"(?:^|\s)\(?A[).:]\s[^\n]{0,300}?\s+\(?B[).:]\s")
_MOST = 48
"""Words looked at."""
_ASKS, _ENDS = frozenset("?？؟"), frozenset(".!:。！।：")  # noqa: RUF001 - full-width ones end too
_DIGITS, _CAPITALS = b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SYMBOLS = b"{};=<>[]()_#*/\\|`$^~"
_KNOWN: dict[str, tuple[int, int]] = {}
_KNOWN_AT_MOST = 1 << 15


def facts(text: str) -> tuple[tuple[int, ...], bytes]:
    """How an ask is put, and which words it has.

    Args:
        text: What is asked.

    Returns:
        The facts in the order of `TRAITS`, and the words as a bitmap of `WORDS` bits,
        little-endian, a word's bit being its CRC-32; both empty for no text.
    """
    shown = text[:READ].strip()
    if not shown:
        return (), b""
    dense = not shown.isascii() and _DENSE.search(shown) is not None
    found = _WORD.findall(shown.lower())
    found = _pairs(found) if dense else found[:_MOST]
    marks, first, bits = _look_up(found)
    if dense:
        for phrase, mark in lexicon.PHRASES:
            if phrase in shown:
                marks |= mark
        first = marks
    return _traits(text, shown, found, marks, first, dense=dense), bits.to_bytes(
        WORDS // 8, "little"
    )


def _traits(
    text: str, shown: str, found: Sequence[str], marks: int, first: int, *, dense: bool
) -> tuple[int, ...]:
    size = len(text) * (5 if dense else 2) // 2
    last = text[-8:].rstrip(" \n\t\"')”」")[-1:]
    latin = shown.encode("ascii", "ignore")
    length, count = len(shown), len(found) or 1
    begins = shown[0]
    upper, lower = begins.isupper(), begins.islower()
    cased = upper or lower or not dense
    return (
        _log(size),
        100 * (last in _ASKS),
        100 * (last in _ENDS),
        100 * upper if cased else NEUTRAL_CAPITAL,
        100 * lower if cased else NEUTRAL_LOWER,
        100 * (marks & lexicon.FIRST > 0),
        100 * (marks & lexicon.COURTESY > 0),
        100 * (marks & lexicon.REFERENCE > 0),
        100 * (first & lexicon.ASKING > 0),
        100 * (first & lexicon.ORDER > 0),
        100 * ("\n" in text),
        100 * _gives_options(text[: 4 * READ]),
        100 * _count(latin, _DIGITS) // length,
        100 * _count(latin, _CAPITALS) // length,
        100 * _count(latin, _SYMBOLS) // length,
        100 * (marks & lexicon.REASONING > 0),
        100 * (marks & lexicon.JUDGING > 0),
        100 * (marks & lexicon.FORMAT > 0),
        100 * (size <= SHORT),
        1000 * (shown.count(",") + shown.count("，")) // length,  # noqa: RUF001 - full-width
        NEUTRAL_LENGTH if dense else 10 * sum(map(len, found)) // count,
        100 * (marks & lexicon.SECOND > 0),
        100 * ('"' in shown or "“" in shown),
        100 * len(set(found)) // count,
    )


def _pairs(found: Sequence[str]) -> list[str]:
    """Scripts without spaces have no words to find: every two neighbouring characters are one."""
    out: list[str] = []
    for word in found:
        if _DENSE.match(word):
            out += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        else:
            out.append(word)
        if len(out) >= _MOST:
            break
    return out[:_MOST]


def _look_up(found: Sequence[str]) -> tuple[int, int, int]:
    """What the words say of themselves, what the first two do, and the bitmap."""
    marks = bits = first = 0
    known = _KNOWN
    for place, word in enumerate(found):
        mark, bit = known.get(word) or _learn(word)
        marks |= mark
        bits |= bit
        if place == 1:
            first = marks
    return marks, first if len(found) > 1 else marks, bits


def _learn(word: str) -> tuple[int, int]:
    """Remembered, bounded by starting afresh: a word costs little to look at again."""
    if len(_KNOWN) >= _KNOWN_AT_MOST:
        _KNOWN.clear()
    bit = 1 << crc32(word.encode("utf-8", "surrogatepass")) % WORDS
    known = _KNOWN[word] = (lexicon.MARKS.get(word, 0), bit)
    return known


def _gives_options(text: str) -> bool:
    # A plain look first: the expression stops at every space.
    likely = "B." in text or "B)" in text or "B:" in text
    return likely and _OPTIONS.search(text) is not None


def _count(text: bytes, which: bytes) -> int:
    return len(text) - len(text.translate(None, which))


def _log(size: int) -> int:
    """16 log2(1 + size), straight between powers of two."""
    bits = (size + 1).bit_length() - 1
    return 16 * bits + ((size + 1) * 16 >> bits) - 16
