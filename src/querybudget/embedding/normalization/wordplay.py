"""Undoes games with words: letters put in, moved or doubled, and numbers or nothing between."""

from __future__ import annotations

import functools
import itertools
import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from querybudget.embedding.normalization.letters import apart

Game = Callable[[str], str]
"""Returns a word in lower case as it was before a game."""

Knows = Callable[[str], bool]

_LATIN_WORD = re.compile(r"[A-Za-z]+").sub
_LONG_RUN = re.compile(r"(?<![^\W_])[A-Za-z]{12,}(?![^\W_])")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_COUNTER = r"[A-Za-z]{0,2}\d{1,7}"
_TOKENS = re.compile(rf"(?<!\w)(?:({_COUNTER})|([^\W\d_]+))(?!\w)").findall
_COUNTERS = re.compile(rf"(?<!\w){_COUNTER}(?!\w)[\"']?[ \t]*[.:,;)\]=>|-]*").sub
_QUOTED = re.compile(r"[\"']{1,2},?[ \t]*[\"']|[{}]").sub
_SPACES = re.compile(r"\s+").sub
_DOUBLED = re.compile(r"(?:(.)\1)+").fullmatch
_TWICE = re.compile(r"(.)\1").sub
_ECHO = re.compile(r"([aeiou])[^aeiou]{1,2}\1").sub
_STUTTER = re.compile(r"([^aeiou])o\1").sub
_FOREIGN_WORD = re.compile("[\u0370-\u03ff\u0400-\u045f\u10d0-\u10f0]+").sub
_ROUGHLY = str.maketrans("cqwyjfx", "kkviiph")
_ROMAN = dict(
    pair
    for foreign, latin in (
        ("абвгдежзийклмнопрстуфхцчшщыэюя", "abvgdezziiklmnoprstuphkkssieua"),
        ("αβγδεζηθικλμνξοπρσςτυφχψω", "abgdezitiklmnhoprsstuphpo"),
        ("აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ", "abgdevztiklmnopzrstupkgkskkzkkhih"),
    )
    for pair in zip(map(ord, foreign), latin, strict=True)
)
_ROMAN_W = _ROMAN | {ord("ш"): "v"}
_LETTER_BY_LETTER = _ROMAN | dict(zip(map(ord, "фцйыяшхφχγ"), "fcjyqwhfhg", strict=True))
"""Letters as they replace English ones, whatever they sound like."""
_RUN = 12  # letters of a word that may be several
_LEAST_WORDS = 12  # of a text whose words are numbered
_MOST_WORDS = 1.7  # words between two numbers of it, on average
_SOLID = 0.6  # share of letters in long words of a text without spaces
_SAYS, _SAID = 4, 0.4  # letters of words that say something, and their share of all
_EVERYWHERE = 0.6  # share of words that have what was put into all of them
_PUT_IN = (2, 3)  # letters of it
_TRIED = 4
_DIGITS = string.digits.encode()
_KINDS = bytes(
    ord(
        "a"
        if chr(sign).isalpha()
        else "0"
        if chr(sign).isdecimal()
        else "_"
        if chr(sign) == "_"
        else " "
    )
    for sign in range(0x80)
).ljust(256)
"""Letters, digits and the underscore of ASCII as one of each, and everything else as a space."""


def game_of(words: Sequence[str], needed: float, knows: Knows) -> Callable[[str], str] | None:
    """Return a function that undoes the game played with all words of a text; None without one.

    Args:
        words: Some unknown words, in lower case and in ASCII.
        needed: Number of these that must be known without the game.
        knows: Whether a word is known.
    """
    for game in _games(words):
        if sum(map(knows, map(game, words))) >= needed:
            return functools.partial(_played_back, game)
    return None


def _played_back(game: Game, text: str) -> str:
    return _LATIN_WORD(lambda word: game(word[0].lower()), text)


def _games(words: Sequence[str]) -> Iterator[Game]:
    if all(map(_DOUBLED, words)):
        yield lambda word: _TWICE(r"\1", word)
    yield _swapped
    for by in (1, 2, -1, -2):
        yield functools.partial(_turned, by)
    yield lambda word: _ECHO(r"\1", word)
    yield lambda word: _STUTTER(r"\1", word)
    for put in _common(words):
        yield functools.partial(_without, put)
        yield functools.partial(_unmoved, put)


def _swapped(word: str) -> str:
    """Return a word with each two letters in the other order."""
    pairs = map(str.__add__, word[1::2], word[::2])
    return "".join(pairs) + (word[-1] if len(word) % 2 else "")


def _turned(by: int, word: str) -> str:
    return word[by:] + word[:by]


def _without(put: str, word: str) -> str:
    return word.replace(put, "")


def _unmoved(ending: str, word: str) -> str:
    """Return a word without its ending, behind which its first letter had been moved."""
    stem = word.removesuffix(ending)
    return stem[-1:] + stem[:-1] if stem != word else word


def _in_one_line(spaces: re.Match[str]) -> str:
    return " " if "\n" in spaces[0] else spaces[0]


def _common(words: Sequence[str]) -> Iterator[str]:
    """Yield the groups of letters that most words have, the most common first."""
    least = _EVERYWHERE * len(words)
    letters = "".join(["".join({*word}) for word in words])
    common = [letter for letter in {*letters} if letters.count(letter) >= least]
    some = " ".join(words[: len(words) - math.ceil(least) + 1])  # one of them has what most have
    pairs = [pair for pair in map("".join, itertools.product(common, repeat=2)) if pair in some]
    if not any(sum([pair in word for word in words]) >= least for pair in pairs):
        return  # no longer group is in as many
    counts: Counter[str] = Counter()
    for word in words:
        # In the order of the word: which group comes first among equals is the same everywhere.
        counts.update(
            dict.fromkeys(
                word[at : at + size] for size in _PUT_IN for at in range(len(word) - size + 1)
            ).keys()
        )
    for put, count in counts.most_common(_TRIED):
        if count >= least:
            yield put


def words_by(key: Callable[[str], str], vocabulary: Iterable[str]) -> dict[int, str]:
    """Return words that say something by the hash of a key, such as `shuffled`."""
    found: dict[int, str] = {}
    for word in vocabulary:
        if len(word) >= _SAYS and word.isascii() and word.isalpha():
            found.setdefault(hash(key(word)), word)
    return found


def shuffled(word: str) -> str:
    """Return what a word shares with those that have the same letters between the same two."""
    return word[0] + "".join(sorted(word[1:-1])) + word[-1]


def roughly(word: str) -> str:
    """Return a word without what is lost when it is written in another alphabet and back."""
    return word.translate(_ROUGHLY)


def unshuffled(text: str, by_letters: Mapping[int, str]) -> str:
    """Return a text with known words for those that have the same letters, shuffled inside."""

    def plain(found: re.Match[str]) -> str:
        word = found[0].lower()
        return by_letters.get(hash(shuffled(word)), found[0]) if len(word) >= _SAYS else found[0]

    return _LATIN_WORD(plain, text)


def romanised(text: str, by_sound: Mapping[int, str], knows: Knows) -> str:
    """Return a text in another alphabet with the known English words that it spells in it."""

    def plain(found: re.Match[str]) -> str:
        word = found[0].lower()
        latin = word.translate(_LETTER_BY_LETTER)
        if knows(latin):
            return latin
        for table in _ROMAN, _ROMAN_W:
            meant = by_sound.get(hash(word.translate(table)))
            if meant:
                return meant
        return latin

    return _FOREIGN_WORD(plain, text)


def with_spaces_throughout(text: str, knows: Knows, begins: Mapping[str, int]) -> str:
    """Return a text that was written without spaces with spaces between its words."""
    letters = sum(map(str.isalpha, text))
    solid = sum(len(run[0]) for run in _LONG_RUN.finditer(text))
    if solid < max(_SOLID * letters, 2 * _RUN):
        return text

    def spaced(run: re.Match[str]) -> str:
        words = " ".join(apart(part, knows, begins) for part in _CAMEL.split(run[0]))
        said = sum(len(word) for word in words.split() if len(word) >= _SAYS)
        return words if said >= _SAID * len(run[0]) else run[0]

    return _LONG_RUN.sub(spaced, text)


def _may_be_numbered(text: str) -> bool:
    """Return whether each word or two of a text of ASCII may have a number; it is quick."""
    kinds = (b" " + text.encode("ascii")).translate(_KINDS)
    numbers = kinds.count(b" 0") + kinds.count(b"a0") + kinds.count(b"_0")
    if numbers + 1 < _LEAST_WORDS / _MOST_WORDS:
        return False
    words = kinds.count(b" a") - numbers - kinds.count(b"_")  # at least so many are only letters
    return words <= _MOST_WORDS * (numbers + 1)


def unnumbered(text: str) -> str:
    """Return a text of which each word or two has a number without these numbers."""
    if text.isascii() and not _may_be_numbered(text):
        return text
    signs = text.encode("ascii", "replace")
    if len(signs) - len(signs.translate(None, _DIGITS)) < _LEAST_WORDS // 2:
        return text
    runs = words = 0
    inside = False
    for counter, _ in _TOKENS(text):
        words += not counter
        runs += not (counter or inside)
        inside = not counter
    if words < _LEAST_WORDS or words > _MOST_WORDS * runs:
        return text
    bare = _SPACES(_in_one_line, _COUNTERS(" ", text))
    return _QUOTED(" ", bare).strip()
