"""From text to the rows of a vocabulary: normalisation and BERT's WordPiece."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

CONTINUATION = "##"
"""Prefix of a piece that stands inside a word, not at its start."""

DROPPED = (
    "\u0300-\u036f"  # accents of Latin, Greek and Cyrillic, once decomposed
    "\u0591-\u05bd\u05bf-\u05c7"  # Hebrew points
    "\u0640\u064b-\u0655\u0670"  # Arabic stretching, vowel signs, and hamza on its carriers
    "\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\u00ad"  # invisible characters
)
"""Characters that are removed, as the inside of a regular expression's class.

Marks of other scripts stay: without theirs, words of Hindi, Thai or Japanese are other words.
"""

FOLDED = {"\u03c2": "\u03c3", "\u0131": "i"}  # Greek final sigma, Turkish dotless i
"""Letters whose spelling depends on their position or language alone."""

SEPARATORS = (
    "\x00-\x2f:-@\\[-`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7"  # ASCII and Latin-1
    "\u02c2-\u02df\u037e\u0387\u055a-\u055f\u0589\u05be\u05c0\u05c3\u05f3\u05f4"
    "\u0600-\u060f\u061b-\u061f\u066a-\u066d\u06d4\u0964\u0965\u0970\u0e3f\u0e4f\u0e5a\u0e5b"
    "\u1361-\u1368\u1680\u17d4-\u17db\u2000-\u209f\u20a0-\u20cf\u2100-\u25ff\u27c0-\u2bff"
    "\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d-\u303f\u30a0\u30fb\ue000-\uf8ff\ufd3e\ufd3f"
    "\ufe10-\ufe6f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufff0-\uffff"
)
"""Characters between words, as the inside of a class; they have no vector.

Listed rather than taken from `unicodedata`, so that a text has the same words in every Python.
"""

UNSPACED = (  # Thai to Khmer; pictures, each a word; kana; Han
    "\u0e01-\u0e3e\u0e40-\u0e4e\u0e50-\u0e59\u0e80-\u0eff\u1000-\u109f\u1780-\u17d3"
    "\u2600-\u27bf\U0001f000-\U0001faff"
    "\u3005-\u3007\u3021-\u302f\u3031-\u303c\u3040-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Characters of scripts without spaces between words, as the inside of a class."""

_ASCII = {sign: chr(sign).lower() if chr(sign).isalnum() else " " for sign in range(0x80)}
"""Normalisation and separation of ASCII in one step."""

_TYPOGRAPHY = "\u2019\u2018\u201c\u201d\u2013\u2014\u2026\u2022\xa0"
"""Separators that are the only non-ASCII characters in most English text."""

_WORDS = re.compile(f"[{UNSPACED}]+|[^{SEPARATORS}{UNSPACED}]+").findall
_IS_UNSPACED = re.compile(f"[{UNSPACED}]").match
_DROPPED = re.compile(f"[{DROPPED}]+")
_MAX_WORD = 100  # characters, as in BERT: longer runs are not words
_MAX_CACHED = 1 << 14  # words, at about 200 bytes each
_MAX_CACHED_WORD = 24  # characters
_MAX_CACHED_PIECES = 4  # words cut into more pieces are rare
_DIGIT = re.compile(r"\d").search
_START = 3  # characters of a piece that are looked up before longer ones are tried
_MAX_MARKS = 30  # on one letter: the bound of Unicode's stream-safe text format (UAX 15)
_LETTER_MARKS = "\uff9e\uff9f"  # the two marks that Unicode calls letters, of half-width kana
_SIGN = rf"[\W{_LETTER_MARKS}]"
_MANY_MARKS = re.compile(rf"(?<!{_SIGN}){_SIGN}{{{_MAX_MARKS + 1},}}").sub
_MARKS_IN_A_ROW = re.compile(f"m{{{_MAX_MARKS + 1},}}").finditer
_DECOMPOSED = 3  # letters of a Korean syllable; some signs are whole sentences
_LONGER = 64  # characters by which ligatures and signs may make a text longer


def _without_many_marks(stretch: re.Match[str]) -> str:
    """Drop marks beyond the first in a stretch of signs: normalising sorts them, one by one."""
    text = stretch[0]
    flags = text.translate({ord(sign): _flag(sign) for sign in set(text)})
    kept: list[str] = []
    start = 0
    for run in _MARKS_IN_A_ROW(flags):
        kept.append(text[start : run.start() + _MAX_MARKS])
        start = run.end()
    kept.append(text[start:])
    return "".join(kept)


def _flag(sign: str) -> str:
    return "m" if unicodedata.category(sign)[0] == "M" or sign in _LETTER_MARKS else " "


def normalise(text: str) -> str:
    """Return text in lower case, with compatibility forms and accents folded.

    Equivalent to these steps of the reference tokenizer: NFKD, remove `DROPPED`, lower case, fold
    `FOLDED`, NFC. Marks after the first 30 in a row are dropped, and a text that gets much longer
    is cut.
    """
    size = len(text)
    text = unicodedata.normalize("NFKD", _MANY_MARKS(_without_many_marks, text))
    text = _DROPPED.sub("", text[: _DECOMPOSED * size + _LONGER]).lower()
    for letter, folded in FOLDED.items():
        text = text.replace(letter, folded)
    return unicodedata.normalize("NFC", text)[: size + _LONGER]


def spaced(text: str) -> str:
    """Return a text with spaces for the separators that most English text has beside ASCII's."""
    if not text.isascii():
        for character in _TYPOGRAPHY:
            text = text.replace(character, " ")
    return text


class WordPiece:
    """Cuts text into the pieces of one vocabulary.

    A word is cut into the longest piece at its start, then the longest `##` pieces after it; a word
    that cannot be cut to its end has no rows. A run of a script without spaces is cut into the
    longest pieces from left to right, and characters without a piece are skipped.

    The pieces of a word are cached, except of words that are long, contain a digit or need many
    pieces: these may be secrets.

    Attributes:
        size: Number of pieces in the vocabulary.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.size = len(vocabulary)
        # No word contains a `#`, so the `##` pieces among the heads never match.
        self._heads = dict(zip(vocabulary, range(self.size), strict=True))
        self._heads.pop("", None)
        skip = len(CONTINUATION)
        self._tails = {
            piece[skip:]: row for piece, row in self._heads.items() if piece[:skip] == CONTINUATION
        }
        self._longest = max(map(len, self._heads), default=0)
        self._longest_tails = _longest_by_start(self._tails)
        self._cache: dict[str, tuple[int, ...]] = {}

    @functools.cached_property
    def _lengths(self) -> dict[str, tuple[int, ...]]:
        """Lengths of the unspaced pieces by their first two characters, longest first.

        Built on first use: a service in other scripts never pays for it.
        """
        lengths: dict[str, set[int]] = {}
        for piece in self._heads:
            if len(piece) > 1 and _IS_UNSPACED(piece):
                lengths.setdefault(piece[:2], set()).add(len(piece))
        return {pair: tuple(sorted(known, reverse=True)) for pair, known in lengths.items()}

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """The rows of whole words and of the pieces at the start of one, by their spelling."""
        return self._heads

    def rows(self, text: str) -> list[int]:
        """Return the rows of a text's pieces, in order."""
        text = spaced(text)
        words = text.translate(_ASCII).split() if text.isascii() else _WORDS(normalise(text))
        whole = [*map(self._heads.get, words)]
        rows: list[int] = []
        for row, word in zip(whole, words, strict=True):
            if row is None:
                rows += self._cache.get(word) or self._cut(word)
            else:
                rows.append(row)
        return rows

    def _cut(self, word: str) -> tuple[int, ...]:
        rows = tuple(self._unspaced(word) if _IS_UNSPACED(word) else self._spaced(word))
        short = 0 < len(rows) <= _MAX_CACHED_PIECES and len(word) <= _MAX_CACHED_WORD
        if short and not _DIGIT(word):
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[word] = rows
        return rows

    def _unspaced(self, run: str) -> list[int]:
        row_of, lengths = self._heads.get, self._lengths.get
        rows: list[int] = []
        start, end = 0, len(run)
        while start < end:
            row = None
            for length in lengths(run[start : start + 2], ()):
                # Past the end the slice is shorter; if that is a piece, no longer one fits.
                row = row_of(run[start : start + length])
                if row is not None:
                    start += length
                    break
            else:
                row = row_of(run[start])
                start += 1
            if row is not None:
                rows.append(row)
        return rows

    def _spaced(self, word: str) -> list[int]:
        if len(word) > _MAX_WORD:
            return []
        rows: list[int] = []
        pieces, longest = self._heads, self._longest
        start, end = 0, len(word)
        while start < end:
            for stop in range(min(start + longest, end), start, -1):
                row = pieces.get(word[start:stop])
                if row is not None:
                    rows.append(row)
                    start = stop
                    break
            else:
                return []
            pieces = self._tails
            longest = self._longest_tails.get(word[start : start + _START], _START - 1)
        return rows


def _longest_by_start(pieces: Iterable[str]) -> dict[str, int]:
    """Return the length of the longest piece by its first `_START` characters.

    In a word that is made up, most starts have no piece at all, and nothing longer is tried.
    """
    longest: dict[str, int] = {}
    for piece in pieces:
        start = piece[:_START]
        longest[start] = max(len(piece), longest.get(start, 0))
    return longest
