"""Reads English words with letters of phonetics: ``ɛxplaɪn``, ``ðɪs``, ``sɔrtiŋ``.

Some languages use such letters in their own words, so words are read only in a text where most of
those that have one are frequent English words without it.
"""

# ruff: noqa: RUF001, RUF002 - letters that look like others are what this is about
from __future__ import annotations

import itertools
import re
from collections.abc import Container

_READINGS: dict[str, tuple[str, ...]] = {
    "ə": ("a", "e", "u", "o", "i"),
    "ɛ": ("e", "a"),
    "ɪ": ("i", "e"),
    "ɔ": ("o", "a"),
    "ʊ": ("u", "oo", "o"),
    "ʌ": ("u", "o"),
    "æ": ("a", "ae", "e"),
    "ɑ": ("a", "o"),
    "ɒ": ("o", "a"),
    "ɜ": ("e", "i", "u"),
    "ð": ("th", "d"),
    "θ": ("th",),
    "ʃ": ("sh",),
    "ʒ": ("s", "z"),
    "ŋ": ("ng", "n"),
    "ɡ": ("g",),
    "ɹ": ("r",),
}
"""What a letter may stand for, the likeliest first."""

_PAIRS = (("tʃ", "ch"), ("dʒ", "j"))
_SIGNS = "".join(_READINGS)
_HAS_SIGN = re.compile(f"[{_SIGNS}]").search
_MAY_HAVE_SIGN = re.compile(f"[{_SIGNS}{_SIGNS.upper()}]").search
_PARTS = re.compile(f"([{_SIGNS}])").split
_WORDS = re.compile(r"[^\W\d_]+").findall
_WORD = re.compile(r"[^\W\d_]+").sub
_ALIKE = [
    {ord(sign): letters[min(at, len(letters) - 1)] for sign, letters in _READINGS.items()}
    for at in range(3)
]
"""Readings with each letter in the same place of its list, as most texts have them."""
_TRIED = 12  # readings of a word besides
_LONGEST = 24  # letters of a word
_SAYS = 4  # letters of a word that shows how a text is written
_LEAST, _SHARE = 3, 0.6  # such words of a text, and their share of those with a phonetic letter
_SAMPLE = 32  # words by which a text is recognised


def may_be(text: str) -> bool:
    """Return whether a text has letters of phonetics at all."""
    return not text.isascii() and _MAY_HAVE_SIGN(text) is not None


def respelt(text: str, words: Container[str]) -> str:
    """Return a text with English words for those that have letters of phonetics.

    Args:
        text: The text. One in a language that uses such letters comes back as it is.
        words: Frequent English words, in lower case.
    """
    found = [*dict.fromkeys(word for word in map(str.lower, _WORDS(text)) if _HAS_SIGN(word))]
    sample = [word for word in found if len(word) >= _SAYS][:_SAMPLE]
    if sum(_read(word, words) is not None for word in sample) < max(_LEAST, _SHARE * len(sample)):
        return text
    meant = {word: other for word in found if (other := _read(word, words))}
    return _WORD(lambda word: meant.get(word[0].lower(), word[0]), text)


def _read(word: str, words: Container[str]) -> str | None:
    """Return the first of a word's readings that is one of some words."""
    if len(word) > _LONGEST:
        return None
    for pair, letters in _PAIRS:
        word = word.replace(pair, letters)
    for table in _ALIKE:
        meant = word.translate(table)
        if meant in words:
            return meant
    parts = [_READINGS.get(part, (part,)) for part in _PARTS(word)]
    readings = map("".join, itertools.islice(itertools.product(*parts), _TRIED))
    return next((one for one in readings if one in words), None)
