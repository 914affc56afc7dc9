"""Style features of one prompt: how it is phrased, not what it is about.

A list made for training is phrased differently from what people and programs send in the course of
a day: no "I", no "and that one?", an instruction or a choice of answers. No single feature decides
much, and together they cannot make a caller suspect (`querybudget.coverage.evidence`). Only the
beginning of a chunk is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from zlib import crc32

from querybudget.coverage import lexicon

READ_CHARACTERS = 400
"""Characters of a prompt that are read."""

WORD_BITS = 1024
"""Size of the bitmap of words."""

STYLE_FEATURES = (
    "first_person",
    "courtesy",
    "reference",
    "interrogative",
    "instruction",
    "options",
    "digits",
    "reasoning",
    "judging",
    "format",
    "second_person",
    "variety",
)
"""Names of the features, in order. Yes and no are 100 and 0, shares are in percent. Case,
punctuation and length are not among them: a sweep changes these in one line, and they say no more
than how somebody types."""

_WORD = re.compile(r"[^\W_]+")
_ASCII = bytes(
    ord(chr(sign).lower() if chr(sign).isalnum() else " ") for sign in range(0x80)
).ljust(256)
"""What `_WORD` finds in lower case, in ASCII."""
_DENSE = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)
"""Scripts in which one character carries as much as two or three letters."""
_OPTION = re.compile(r"(?<!\S)\(?([AB])[).:](?=\s)")
_MAX_OPTION = 300
"""Characters of the answer that is called A, at most; it is one line."""
_MAX_WORDS = 48
"""Words that are read."""
_DIGITS = b"0123456789"
_MAX_CACHED = 1 << 15  # words
_BITMAP = (1 << WORD_BITS) - 1


class _Words(dict[str, int]):
    """The bit of each word seen before, and its marks above the bitmap's bits.

    A full cache is cleared, since a word is cheap to look up again.
    """

    def __missing__(self, word: str) -> int:
        if len(self) >= _MAX_CACHED:
            self.clear()
        bit = 1 << crc32(word.encode("utf-8", "surrogatepass")) % WORD_BITS
        entry = self[word] = lexicon.MARKS.get(word, 0) << WORD_BITS | bit
        return entry


_CACHE = _Words()


def style_features(text: str) -> tuple[tuple[int, ...], bytes]:
    """Return the style features and the words of a prompt.

    Returns:
        The features in the order of `STYLE_FEATURES`, and the words as a bitmap of `WORD_BITS`
        bits, little-endian, a word's bit being its CRC-32; both empty for no text.
    """
    start = text[:READ_CHARACTERS].strip()
    if not start:
        return (), b""
    dense = not start.isascii() and _DENSE.search(start) is not None
    if start.isascii():
        words = start.encode("ascii").translate(_ASCII).decode("ascii").split()
    else:
        words = _WORD.findall(start.lower())
    words = _pairs(words) if dense else words[:_MAX_WORDS]
    marks, first, bits = _look_up(words)
    if dense:
        for phrase, mark in lexicon.PHRASES:
            if phrase in start:
                marks |= mark
        first = marks
    features = _features(text, start, words, marks, first)
    return features, bits.to_bytes(WORD_BITS // 8, "little")


def _features(
    text: str, start: str, words: Sequence[str], marks: int, first: int
) -> tuple[int, ...]:
    latin = start.encode("ascii", "ignore")
    return (
        100 * (marks & lexicon.FIRST > 0),
        100 * (marks & lexicon.COURTESY > 0),
        100 * (marks & lexicon.REFERENCE > 0),
        100 * (first & lexicon.ASKING > 0),
        100 * (first & lexicon.ORDER > 0),
        100 * _gives_options(text[: 4 * READ_CHARACTERS]),
        100 * (len(latin) - len(latin.translate(None, _DIGITS))) // len(start),
        100 * (marks & lexicon.REASONING > 0),
        100 * (marks & lexicon.JUDGING > 0),
        100 * (marks & lexicon.FORMAT > 0),
        100 * (marks & lexicon.SECOND > 0),
        100 * len(set(words)) // (len(words) or 1),
    )


def _pairs(words: Sequence[str]) -> list[str]:
    """Split words of scripts without spaces: each pair of neighbouring characters is a word."""
    pairs: list[str] = []
    for word in words:
        if _DENSE.match(word):
            pairs += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        else:
            pairs.append(word)
        if len(pairs) >= _MAX_WORDS:
            break
    return pairs[:_MAX_WORDS]


def _look_up(words: Sequence[str]) -> tuple[int, int, int]:
    """Return the marks of all words, the marks of the first two, and the bitmap."""
    entries = [*map(_CACHE.__getitem__, words)]
    first = every = 0
    for entry in entries[:2]:
        first |= entry
    for entry in entries:
        every |= entry
    return every >> WORD_BITS, first >> WORD_BITS, every & _BITMAP


def _gives_options(text: str) -> bool:
    """Return True if an answer called A is followed by one called B: ``A. yes B. no``."""
    # A cheap test first: the expression stops at every A and B.
    if "B." not in text and "B)" not in text and "B:" not in text:
        return False
    begins: list[int] = []  # where answers called A begin
    for option in _OPTION.finditer(text):
        end = option.start()
        if option[1] == "A":
            begins.append(option.end() + 1)
            continue
        before = [begin for begin in begins[-2:] if begin < end]  # the last may touch the B
        if before and _is_one_answer(text[before[-1] : end]):
            return True
        # What is too long for this B is too long for the next one.
        begins = [begin for begin in begins[-1:] if begin >= end]
    return False


def _is_one_answer(between: str) -> bool:
    answer = between.rstrip()
    # White space must separate the two, and the answer itself may be empty.
    return len(answer) < len(between) and len(answer) <= _MAX_OPTION and "\n" not in answer
