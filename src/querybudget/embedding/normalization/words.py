"""Tells readable text from what is no language, by whole words that the embedding knows."""

from __future__ import annotations

import functools
import math
import re
import string
from collections.abc import Callable, Collection, Iterable
from itertools import compress

import numpy as np

from querybudget.embedding.kernel import FOLDED, PLAIN, RAW, READABLE, Lexicon
from querybudget.embedding.normalization import ciphers, sound, spelling, wordplay
from querybudget.embedding.normalization.letters import BEGINNING, LONGEST_WORD, with_run
from querybudget.embedding.normalization.mending import Mender
from querybudget.embedding.normalization.spelling import LONGEST, SHORTEST
from querybudget.embedding.wordpiece import UNSPACED, normalise

LONG = 4
"""Letters of a word that says something: of three random letters, one in six is a word."""

_LETTERS = re.compile(rf"(?:(?![{UNSPACED}])[^\W\d_]){{{LONG},}}").findall
_LATIN_LETTERS = re.compile(rf"[a-z]{{{LONG},}}").findall
_LATIN = re.compile(r"[A-Za-z]+").findall
_BLOB = re.compile(r"[A-Za-z0-9+=]{24,}").findall
_MAY_BE_BLOB = with_run(24, string.ascii_letters + string.digits + "+=")
_CODE_WORD = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}").findall
_ORDINARY = 0.6  # share of words that are known in text with nothing to fold
_STRETCH = bytes(4)  # longer words in a row that are all unknown
_SCARCE = 8  # words of which one at least is longer, in ordinary text
_SHORT = 24  # characters of a text without longer words that is ordinary
_ONE, _FEW = b"\1", b"\2"  # letters of a word: one, or fewer than `LONG`
_ARE_SHORT = bytes([0, 1, 2, 2]) + bytes(252)
_ALONE = _ONE * 5  # letters in a row that stand alone
_SHORT_WORDS = _FEW * 12  # short words in a row, which may be numbers for characters
_ESCAPES = re.compile(r"\\[xu]|&#|%[267CDEcde]").search
_SIGNS = 10  # words of dots and dashes in a text
_ARE_LONG = bytes(LONG) + _ONE * (256 - LONG)
_LONGEST = 24  # characters of a word that may hold something
_USUAL = bytes(range(_LONGEST + 1))  # lengths of other words
_MINIMUM = 40  # letters of a text that may be no language
_KNOWN = 0.12  # share of known letters above which a text is a language
_FEW_LETTERS = 6  # different letters of a text such as a sequence of a genome, at most
_UNLIKELY = -5.4  # mean log2 of the likelihood of its letters, at which a text is no language
_BLOBS = 0.7  # share of a text in data that is not decoded, at least
_LARGE = 60  # characters of data that is not decoded, at least
_TOKENS = 24  # numbers of a list of token ids, at least
_TOKEN_DIGITS = 6  # digits of a token id, at most
_WIDE = 1_000  # token ids from here on are rare among other lists of numbers
_CODE = 0.6  # share of a long word that consists of words, above which it is a name or a path


TRIMMED = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\u2018\u201c\u201d\u2013\u2014\u2026'
"""Punctuation, which is no part of a word."""

DROPPED_SIGNS = "'\u2019"
"""Apostrophes, without which words are read."""

_BARE = dict.fromkeys(map(ord, TRIMMED), " ") | dict.fromkeys(map(ord, DROPPED_SIGNS))
_TABLES = (
    "begins",
    "by_consonants",
    "by_inner_letters",
    "by_letter_sounds",
    "by_letters",
    "by_shift",
    "by_sound",
    "mender",
    "_followers",
)


class Reader:
    """Reads texts as words of one vocabulary.

    Args:
        vocabulary: Words as `normalise` spells them.
        lexicon: The compiled form of the same vocabulary, if there is one.

    Attributes:
        knows: Whether a word is in the vocabulary.
        is_prepared: Whether `prepare` was called.
    """

    def __init__(self, vocabulary: Collection[str], lexicon: Lexicon | None = None) -> None:
        self.knows: Callable[[str], bool] = vocabulary.__contains__
        self._vocabulary = vocabulary
        self._lexicon = lexicon
        # A kernel that was built from an older source has no such functions.
        self._unknown: Callable[[str], list[str]] | None = getattr(lexicon, "unknown", None)
        self._unknown_if_plain: Callable[[str], list[str] | None] | None = getattr(
            lexicon, "unknown_if_plain", None
        )
        self.is_prepared = False

    def prepare(self) -> None:
        """Make the tables that are otherwise made on first use."""
        for table in _TABLES:
            getattr(self, table)
        self.is_prepared = True

    def is_plain(self, text: str) -> bool:
        """Return whether a text is surely ordinary. It is quick, and returns False if in doubt."""
        if _has_escapes(text) or _signs(text) > _SIGNS:
            return False
        text = text.lower()
        if self._lexicon is not None:
            return self._lexicon.reads(text, PLAIN)
        return self._is_plain(text)

    def _is_plain(self, text: str) -> bool:
        """Do what `is_plain` does, of lower case."""
        words = text.translate(_BARE).split()
        try:
            sizes = bytes(map(len, words))
        except ValueError:  # a word of more than 255 characters
            return False
        if sizes.translate(None, _USUAL):
            return False
        short = sizes.translate(_ARE_SHORT)
        if _ALONE in short or _SHORT_WORDS in short.replace(_ONE, _FEW):
            return False
        longer = [*compress(words, sizes.translate(_ARE_LONG))]
        if _SCARCE * len(longer) <= len(words):
            return len(text) < _SHORT
        return self._are_known(longer)

    def is_readable(self, text: str) -> bool:
        """Return whether most longer words of a text are known, and no stretch of it is unread."""
        text = text.lower()
        if self._lexicon is not None:
            return self._lexicon.reads(text, READABLE)
        words = text.translate(_BARE).split()
        longer = [word for word in words if len(word) >= LONG]
        return _SCARCE * len(longer) > len(words) and self._are_known(longer)

    def _are_known(self, words: list[str]) -> bool:
        known = bytes(map(self.knows, words))
        return known.count(1) >= _ORDINARY * len(known) and _STRETCH not in known

    def reads(self, word: str) -> bool:
        """Return whether a word is known, in whatever case and with whatever accents."""
        return self.knows(word) or self.knows(word.lower() if word.isascii() else normalise(word))

    @functools.cached_property
    def begins(self) -> dict[str, int]:
        """The length of the longest word by its beginning, of words in Latin letters."""
        longest: dict[str, int] = {}
        for word in self._vocabulary:
            if len(word) >= BEGINNING and word.isascii() and word.isalpha():
                start, size = word[:BEGINNING], min(len(word), LONGEST_WORD)
                if size > longest.get(start, 0):
                    longest[start] = size
        return longest

    def unknown(self, text: str) -> Collection[str]:
        """Return the words of a text that are not known, and may be misspelt, in lower case."""
        text = text.lower()
        if self._unknown is not None:
            return dict.fromkeys(self._unknown(text)).keys()
        return dict.fromkeys(
            word
            for word in text.translate(_BARE).split()
            if SHORTEST <= len(word) <= LONGEST
            and word.isascii()
            and word.isalnum()
            and not word.isdigit()
            and not self.knows(word)
        ).keys()

    def unknown_if_plain(self, text: str) -> Collection[str] | None:
        """Return what `unknown` returns if `is_plain`, or else None."""
        if self._unknown_if_plain is None:
            return self.unknown(text) if self.is_plain(text) else None
        if _has_escapes(text) or _signs(text) > _SIGNS:
            return None
        unknown = self._unknown_if_plain(text.lower())
        return None if unknown is None else dict.fromkeys(unknown).keys()

    @functools.cached_property
    def by_letters(self) -> dict[int, tuple[str, ...]]:
        """Frequent words by their letters, as `spelling.by_letters` returns them."""
        return spelling.by_letters(spelling.frequent(self._vocabulary))

    @functools.cached_property
    def by_consonants(self) -> dict[str, str]:
        """Frequent words by their consonants, as `spelling.by_consonants` returns them."""
        return spelling.by_consonants(spelling.frequent(self._vocabulary))

    @functools.cached_property
    def mender(self) -> Mender:
        """What guesses the words of a text most of whose unknown words were changed."""
        return Mender(self._vocabulary)

    @functools.cached_property
    def by_inner_letters(self) -> dict[int, str]:
        """Words of the vocabulary by what `wordplay.shuffled` leaves of them."""
        return wordplay.words_by(wordplay.shuffled, self._vocabulary)

    @functools.cached_property
    def by_shift(self) -> dict[int, str]:
        """First letters of words of the vocabulary, as `ciphers.words_by_shift` returns them."""
        return ciphers.words_by_shift(self._vocabulary)

    @functools.cached_property
    def by_letter_sounds(self) -> dict[int, str]:
        """Words of the vocabulary by what `wordplay.roughly` leaves of them."""
        return wordplay.words_by(wordplay.roughly, self._vocabulary)

    @functools.cached_property
    def by_sound(self) -> dict[int, str]:
        """Frequent English words by their sound, as `sound.by_sound` returns them."""
        return sound.by_sound(spelling.frequent(self._vocabulary))

    def share(self, text: str) -> float:
        """Return the share of a text's longer words that are known, by letters."""
        if self._lexicon is not None:
            share = self._lexicon.share(text, RAW)
            if share is None:
                text = normalise(text)
                share = self._lexicon.share(text, FOLDED)
            if share is not None:
                return share
        words = _LATIN_LETTERS(text.lower()) if text.isascii() else _LETTERS(normalise(text))
        total = len("".join(words))
        return len("".join(filter(self.knows, words))) / total if total else 0.0

    def is_language(self, text: str) -> bool:
        """Return False if a text is no language: random letters, digests, undecoded data.

        A language that the vocabulary lacks is one, and so are code, tables and numbers.
        """
        if _are_tokens(text):
            return False
        size = len("".join(text.split()))
        blobs = _BLOB(text) if _MAY_BE_BLOB(text) else ()
        data = sum(len(blob) for blob in blobs if not is_code(blob))
        if data >= max(_BLOBS * size, _LARGE):
            return len(set(text.lower())) <= _FEW_LETTERS
        latin = _LATIN(text)
        letters = len("".join(latin))
        if letters < _MINIMUM or 2 * letters < size or self.share(text) > _KNOWN:
            return True
        if len(set("".join(latin).lower())) <= _FEW_LETTERS:
            return True
        return self._likelihood(latin) > _UNLIKELY

    def _likelihood(self, words: Iterable[str]) -> float:
        """Return the mean logarithm, to base 2, of how likely each letter follows the last."""
        table = self._followers
        total, count = 0.0, 0
        for word in words:
            if len(word) >= LONG:
                last = " "
                for letter in word.lower():
                    total += table[last + letter]
                    last = letter
                total += table[last + " "]
                count += len(word) + 1
        return total / count if count else 0.0

    @functools.cached_property
    def _followers(self) -> dict[str, float]:
        """How likely a letter follows another, learnt from the vocabulary on first use."""
        words = [
            word
            for word in self._vocabulary
            if len(word) >= LONG and word.isascii() and word.isalpha()
        ]
        # Two spaces between words: no pair is one of two words.
        found = np.frombuffer(f" {'  '.join(words)} ".encode(), np.uint8)
        counts = np.bincount(found[:-1].astype(np.intp) << 8 | found[1:], minlength=1 << 16)
        letters = " abcdefghijklmnopqrstuvwxyz"
        pairs = {a + b: int(counts[ord(a) << 8 | ord(b)]) for a in letters for b in letters}
        pairs["  "] = 0
        table: dict[str, float] = {}
        for first in letters:
            total = sum(pairs[first + letter] + 1 for letter in letters)
            for letter in letters:
                table[first + letter] = math.log2((pairs[first + letter] + 1) / total)
        return table


def _has_escapes(text: str) -> bool:
    """Return whether characters may stand in a text by their codes."""
    return ("%" in text or "\\" in text or "&#" in text) and _ESCAPES(text) is not None


def _signs(text: str) -> int:
    return text.count(" -") + text.count(" .")


def is_code(blob: str) -> bool:
    """Return whether a long word is made of words, as names in programs and paths are."""
    return sum(map(len, _CODE_WORD(blob))) > _CODE * len(blob)


def _are_tokens(text: str) -> bool:
    """Return whether a text is a list of token ids: it says nothing, but a server may read it."""
    numbers = text.strip().strip("[]").split(",")
    if len(numbers) < _TOKENS:
        return False
    digits = [number.strip() for number in numbers if number.strip()]
    if not all(each.isdecimal() and len(each) <= _TOKEN_DIGITS for each in digits):
        return False
    wide = sum(int(each) >= _WIDE for each in digits)
    return 2 * wide > len(digits) and 2 * len(set(digits)) > len(digits)
