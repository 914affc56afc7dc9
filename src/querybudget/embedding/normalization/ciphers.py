"""Undoes the ciphers that a model reads at sight: shifted, mirrored and reversed letters."""

# ruff: noqa: RUF001 - letters that look like others are what this is about
from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from querybudget.embedding.normalization.wordplay import game_of

_LATIN = "abcdefghijklmnopqrstuvwxyz"
_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
_SIGNS = "".join(map(chr, range(33, 127)))
_WORDS = re.compile(r"[^\W\d_]{4,}").findall
_PIG = re.compile(r"[a-z]{2,}ay").fullmatch
_LATIN_WORDS = re.compile(r"[A-Za-z]+").sub
_WHOLE_WORDS = re.compile(r"\S+").sub
_LETTERS = re.compile(r"[^\W\d_]+").sub
_TIDY = re.compile(r"(?:^|[.!?]\s+|\n)[A-ZА-Я]|[\w)\"'][.!?](?=\s|$)").findall
_VOWELS = "aeiou"
_SAMPLE = 16  # words that tell a cipher
_LEAST = 3  # known words among them once the cipher is undone
_SHARE = 0.35  # share of them that is known then
_ROT47_SHARE = 0.5  # share of them that is known once ROT47 is undone

_SHORTEST = 4  # letters of a word that may be ciphered
_FIRST_LETTERS = {
    first: bytes((code - ord(first)) % 26 if chr(code) in _LATIN else code for code in range(256))
    for first in _LATIN
}
"""Tables that shift a word so that it begins with the first letter of the alphabet, as 0."""

Cipher = Callable[[str], str]
Knows = Callable[[str], bool]


def words_by_shift(vocabulary: Iterable[str]) -> dict[int, str]:
    """Return the first letters of known words, by a hash that a word shares with all its shifts.

    One look-up of a word thus says by which of Caesar's ciphers it becomes a known one.
    """
    found: dict[int, str] = {}
    for word in vocabulary:
        if len(word) >= _SHORTEST and word.isascii() and word.isalpha() and word.islower():
            shape = _shape(word)
            found[shape] = found.get(shape, "") + word[0]
    return found


def _shape(word: str) -> int:
    return hash(word.encode().translate(_FIRST_LETTERS[word[0]]))


def cipher_of(text: str, knows: Knows, by_shift: Mapping[int, str]) -> Cipher | None:
    """Return a function that undoes the cipher of a text's unknown words; None if they have none.

    Args:
        text: Some of it may be readable.
        knows: Whether a word in lower case is known.
        by_shift: Known words, as `words_by_shift` returns them.
    """
    words = [
        word
        for word in dict.fromkeys(_WORDS(text.lower()))
        if (word.isascii() or (min(word) >= _CYRILLIC[0] and max(word) <= _CYRILLIC[-1]))
        and not knows(word)
    ]
    words = words[:: max(1, len(words) // _SAMPLE)][:_SAMPLE]
    for ascii_words in (True, False):
        alike = [word for word in words if word.isascii() == ascii_words]
        needed = max(_LEAST, _SHARE * len(alike))
        if len(alike) >= needed:
            cipher = _of_words(alike, needed, knows, by_shift)
            if cipher is not None:
                return cipher
    return _rot47(text, knows)


def _of_words(
    words: Sequence[str], needed: float, knows: Knows, by_shift: Mapping[int, str]
) -> Cipher | None:
    mirrored = [word[::-1] for word in words]
    if sum(map(knows, mirrored)) >= needed:
        return _reversed
    if 2 * sum(_PIG(word) is not None for word in words) > len(words):
        plain = _unpigged(knows)
        if sum(knows(_LATIN_WORDS(plain, word)) for word in words) >= needed:
            return functools.partial(_LATIN_WORDS, plain)
    if not words[0].isascii():
        return _of_letters(_CYRILLIC, range(len(_CYRILLIC)), words, needed, knows)
    game = game_of(words, needed, knows)
    if game is not None:
        return game
    # Only shifts that make enough words known are tried; Atbash always is.
    shifts = {0, *_shifts(words, needed, by_shift), *_shifts(mirrored, needed, by_shift)}
    return _of_letters(_LATIN, sorted(shifts), words, needed, knows)


def _shifts(words: Sequence[str], needed: float, by_shift: Mapping[int, str]) -> list[int]:
    """Return the shifts of the alphabet that make as many words known ones as are needed."""
    counts = [0] * len(_LATIN)
    for word in words:
        for first in by_shift.get(_shape(word), ""):
            counts[ord(first) - ord(word[0])] += 1
    return [shift for shift, count in enumerate(counts) if count >= needed]


def _of_letters(
    letters: str, keys: Iterable[int], words: Sequence[str], needed: float, knows: Knows
) -> Cipher | None:
    joined = " ".join(words)
    mirrored = joined[::-1]
    for key in keys:
        others = _key(letters, key)
        # The vocabulary spells й without its mark.
        table = _table(letters, others.replace("й", "и"))
        if sum(map(knows, joined.translate(table).split())) >= needed:
            return _undone(letters, others)
        if sum(map(knows, mirrored.translate(table).split())) >= needed:
            undone = _undone(letters, others)
            return lambda text: _reversed(undone(text))
    return None


def _undone(letters: str, others: str) -> Cipher:
    table = _table(letters, others)
    return lambda text: text.translate(table)


def _rot47(text: str, knows: Knows) -> Cipher | None:
    """Return a function that undoes ROT47, which shifts digits and signs too."""
    tokens = [
        token
        for token in dict.fromkeys(text.split())
        if len(token) >= _SHORTEST and not token.isalpha()
    ]
    tokens = tokens[:: max(1, len(tokens) // _SAMPLE)][:_SAMPLE]
    table = _table(_SIGNS, _SIGNS[47:] + _SIGNS[:47])
    words = [token.translate(table).strip(".,:;?!'\"()").lower() for token in tokens]
    known = sum(word.isalpha() and knows(word) for word in words)
    if known < max(_LEAST, _ROT47_SHARE * len(words)):
        return None
    return lambda text: text.translate(table)


def _reversed(text: str) -> str:
    """Return text read backwards: as a whole, line by line or word by word, as is tidiest."""
    lines = "\n".join(line[::-1] for line in text.split("\n"))
    words = _WHOLE_WORDS(_mirror_image, text)
    letters = _LETTERS(_mirror_image, text)
    return max((text[::-1], lines, letters, words), key=lambda way: len(_TIDY(way)))


def _mirror_image(found: re.Match[str]) -> str:
    return found[0][::-1]


def _unpigged(knows: Knows) -> Callable[[re.Match[str]], str]:
    """Return a function that undoes Pig Latin: ``igpay`` is pig, ``eggway`` and ``eggay`` egg."""

    def plain(found: re.Match[str]) -> str:
        stem = found[0].lower().removesuffix("ay")
        if len(stem) == len(found[0]) or not stem:
            return found[0]
        if stem[-1:] in "wy" and stem[:1] in _VOWELS and knows(stem[:-1]):
            return stem[:-1]
        for moved in range(min(3, len(stem) - 1), -1, -1):
            start, rest = stem[len(stem) - moved :], stem[: len(stem) - moved]
            if not any(letter in _VOWELS for letter in start) and knows(start + rest):
                return start + rest
        if knows(stem[-1:] + stem[:-1]):
            return stem[-1:] + stem[:-1]
        return found[0]

    return plain


def _key(letters: str, key: int) -> str:
    """Return the letters that an alphabet stands for: by Atbash for key 0, else by a shift."""
    return letters[key:] + letters[:key] if key else letters[::-1]


@functools.cache
def _table(letters: str, others: str) -> dict[int, int]:
    if letters == _SIGNS:
        return str.maketrans(letters, others)
    return str.maketrans(letters + letters.upper(), others + others.upper())
