"""Reads misspelt words as the words that they misspell, where a reader does so at sight.

Letters in the wrong order are a slip that typists make now and then: of 14,957 prompts of honest
callers, six have two such words. A sweep that makes more hides the words that say how it is
phrased.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from querybudget.coverage.lexicon import FORMAT, MARKS

SHORTEST, LONGEST = 3, 24
"""Letters of a word that may be misspelt."""

_PIECES = 24_000  # at the start of the vocabulary: those of English, the most frequent first
_MARKED = 4  # letters of a word that says how a prompt is phrased, and may be misspelt
_OTHER = 5  # letters of any other, unless the letters of all words are shuffled
_SLIPS = 2  # misspelt words of a text from which all of them are read
_GAME, _GAME_SHARE = 3, 0.25  # the same, and their share of unknown words, in shuffled text
_MIXED, _MIXED_SHARE = 5, 0.5  # the same, if first and last letters are shuffled too
_WORDS = re.compile(r"[A-Za-z]+").sub
_WHOLE_WORDS = re.compile(r"(?<![^\W_])[A-Za-z]+(?![^\W_])").sub
_LOWER_WORDS = re.compile("[a-z]{2,}").findall
_VOWELS = re.compile("[aeiou]+").sub
_FEWEST = 20  # letters of a text that says something without vowels
_VOWEL_SHARE = 0.05  # of its letters that are vowels, at most
_READ = 0.6  # share of its words that are known with their vowels, at least


def frequent(vocabulary: Iterable[str]) -> tuple[str, ...]:
    """Return English words: first those that say how a prompt is phrased, then by frequency."""
    pieces = islice(vocabulary, _PIECES)
    known = [word for word in pieces if len(word) > 1 and word.isascii() and word.isalpha()]
    marked = [word for word in known if len(word) >= _MARKED and word in MARKS]
    return tuple(dict.fromkeys((*marked, *known)))


def by_letters(words: Iterable[str]) -> dict[int, tuple[str, ...]]:
    """Return the words that have the same letters, by a hash of these."""
    found: dict[int, tuple[str, ...]] = {}
    for word in words:
        if SHORTEST <= len(word) <= LONGEST:
            key = _key(word)
            found[key] = (*found.get(key, ()), word)
    return found


def by_consonants(words: Iterable[str]) -> dict[str, str]:
    """Return the first of the words that have the same consonants, by these."""
    found: dict[str, str] = {}
    for word in words:
        found.setdefault(_VOWELS("", word), word)
    found.pop("", None)
    return found


def _key(word: str) -> int:
    return hash("".join(sorted(word)))


def corrected(
    text: str, unknown: Collection[str], letters: Mapping[int, Collection[str]], *, plain: bool
) -> str:
    """Return a text with the words that have the letters of its unknown ones in another order.

    Args:
        text: The text.
        unknown: Its words of `SHORTEST` to `LONGEST` letters that are not known, in lower case.
        letters: Words that may be meant, as `by_letters` returns them.
        plain: Whether most words are known, so that their letters cannot all be shuffled.
    """
    alike = {word: meant for word in unknown if (meant := letters.get(_key(word)))}
    if not alike:
        return text
    slips = {word: other for word, meant in alike.items() if (other := _slipped(word, meant))}
    if not plain and _are_shuffled(len(slips), len(alike), len(unknown)):
        slips = {word: slips.get(word) or _nearest(word, meant) for word, meant in alike.items()}
    elif len(slips) < _SLIPS:
        slips = {word: other for word, other in slips.items() if MARKS.get(other, 0) & ~FORMAT}
    if not slips:
        return text
    return _WORDS(lambda word: slips.get(word[0].lower(), word[0]), text)


def _are_shuffled(slips: int, alike: int, unknown: int) -> bool:
    return slips >= max(_GAME, _GAME_SHARE * unknown) or alike >= max(
        _MIXED, _MIXED_SHARE * unknown
    )


def _slipped(word: str, words: Iterable[str]) -> str | None:
    """Return the first word with the same ends, or with two neighbouring letters exchanged."""
    for other in words:
        if len(word) < (_MARKED if other in MARKS else _OTHER):
            continue
        if (word[0] == other[0] and word[-1] == other[-1]) or _is_swapped(word, other):
            return other
    return None


def _is_swapped(word: str, other: str) -> bool:
    at = next(n for n, (one, its) in enumerate(zip(word, other, strict=True)) if one != its)
    return word[at : at + 2] == other[at : at + 2][::-1] and word[at + 2 :] == other[at + 2 :]


def _nearest(word: str, words: Collection[str]) -> str:
    """Return the first word with the same first letter, or the first of all."""
    return next((other for other in words if other[0] == word[0]), next(iter(words)))


def with_vowels(text: str, consonants: Mapping[str, str]) -> str:
    """Return a text that was written without vowels with words that have its consonants.

    Args:
        text: The text. Another language than English comes back as it is.
        consonants: Words that may be meant, as `by_consonants` returns them.
    """
    words = _LOWER_WORDS(text.lower())
    letters = "".join(words)
    most = _VOWEL_SHARE * len(letters)
    if len(letters) < _FEWEST or sum(map(letters.count, "aeiou")) > most:
        return text
    if sum(sign.isalpha() and not sign.isascii() for sign in text) > most:
        return text  # vowels with accents, or other letters
    if sum(word in consonants for word in words) < _READ * len(words):
        return text
    return _WHOLE_WORDS(lambda word: consonants.get(word[0].lower(), word[0]), text)
