"""From text to the rows of a vocabulary: greedy longest match, as BERT's WordPiece does it."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from querybudget.embedding.normalise import normalise

__all__ = ["CONTINUATION", "SEPARATORS", "UNSPACED", "WordPiece"]

CONTINUATION = "##"
"""Begins a piece of the vocabulary that stands inside a word, not at its start."""

SEPARATORS = (
    "\x00-\x2f:-@\\[-`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7"  # ASCII and Latin-1
    "\u02c2-\u02df\u037e\u0387\u055a-\u055f\u0589\u05be\u05c0\u05c3\u05f3\u05f4"
    "\u0600-\u060f\u061b-\u061f\u066a-\u066d\u06d4\u0964\u0965\u0970\u0e3f\u0e4f\u0e5a\u0e5b"
    "\u1361-\u1368\u1680\u17d4-\u17db\u2000-\u209f\u20a0-\u20cf\u2100-\u25ff\u27c0-\u2bff"
    "\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d-\u303f\u30a0\u30fb\ue000-\uf8ff\ufd3e\ufd3f"
    "\ufe10-\ufe6f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufff0-\uffff"
)
"""Characters between words, as the inside of a class: they carry no vector of their own.

Spelt out, not asked of `unicodedata`: a text has the same words under every Python.
"""

UNSPACED = (  # Thai to Khmer; pictures, each a word; kana; Han
    "\u0e01-\u0e3e\u0e40-\u0e4e\u0e50-\u0e59\u0e80-\u0eff\u1000-\u109f\u1780-\u17d3"
    "\u2600-\u27bf\U0001f000-\U0001faff"
    "\u3005-\u3007\u3021-\u302f\u3031-\u303c\u3040-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Characters of scripts that put no space between words, as the inside of a class."""

_PLAIN = {sign: chr(sign).lower() if chr(sign).isalnum() else " " for sign in range(0x80)}
"""What normalising and separating come to in ASCII, in one step."""

_TYPOGRAPHY = "\u2019\u2018\u201c\u201d\u2013\u2014\u2026\u2022\xa0"
"""Separators that make most of the English text that is not ASCII not so."""

_WORDS = re.compile(f"[{UNSPACED}]+|[^{SEPARATORS}{UNSPACED}]+").findall
_IS_UNSPACED = re.compile(f"[{UNSPACED}]").match
_LONGEST_WORD = 100  # as in BERT: what is longer is no word
_REMEMBERED = 1 << 14  # words; at about 200 bytes each
_LONGEST_REMEMBERED = 24  # characters
_FEW = 4  # pieces: what takes more is no common word
_DIGIT = re.compile(r"\d").search


class WordPiece:
    """Rows of the pieces of a text, over one vocabulary.

    A word is cut into the longest piece that begins it, then the longest `##` pieces that go on;
    one that cannot be cut to its end has no rows. A run of a script without spaces is cut
    into the longest pieces from left to right, and characters without any are passed over.

    How a word was cut is remembered, but never where it is long, has a number in it or takes many
    pieces: that may be somebody's secret.

    Attributes:
        size: Pieces in the vocabulary.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.size = len(vocabulary)
        # No word holds a `#`, so that the `##` pieces among the heads are never found there.
        self._heads = dict(zip(vocabulary, range(self.size), strict=True))
        self._heads.pop("", None)
        skip = len(CONTINUATION)
        self._tails = {
            piece[skip:]: row for piece, row in self._heads.items() if piece[:skip] == CONTINUATION
        }
        self._longest = max(map(len, self._heads), default=0)
        self._known: dict[str, tuple[int, ...]] = {}

    @functools.cached_property
    def _lengths(self) -> dict[str, tuple[int, ...]]:
        """For the first two characters of unspaced pieces: how long those are, longest first.

        Made when the first such text comes: a service in other scripts never pays for it.
        """
        lengths: dict[str, set[int]] = {}
        for piece in self._heads:
            if len(piece) > 1 and _IS_UNSPACED(piece):
                lengths.setdefault(piece[:2], set()).add(len(piece))
        return {pair: tuple(sorted(found, reverse=True)) for pair, found in lengths.items()}

    def rows(self, text: str) -> list[int]:
        """The rows of a text's pieces, in order."""
        if not text.isascii():
            for sign in _TYPOGRAPHY:
                text = text.replace(sign, " ")
        words = text.translate(_PLAIN).split() if text.isascii() else _WORDS(normalise(text))
        whole = [*map(self._heads.get, words)]
        rows: list[int] = []
        for row, word in zip(whole, words, strict=True):
            if row is None:
                rows += self._known.get(word) or self._cut(word)
            else:
                rows.append(row)
        return rows

    def _cut(self, word: str) -> tuple[int, ...]:
        rows = tuple(self._run(word) if _IS_UNSPACED(word) else self._word(word))
        if 0 < len(rows) <= _FEW and len(word) <= _LONGEST_REMEMBERED and not _DIGIT(word):
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[word] = rows
        return rows

    def _run(self, run: str) -> list[int]:
        found, lengths = self._heads.get, self._lengths.get
        rows: list[int] = []
        start, end = 0, len(run)
        while start < end:
            row = None
            for length in lengths(run[start : start + 2], ()):
                # Past the end the slice is shorter; if that is a piece, none can be longer.
                row = found(run[start : start + length])
                if row is not None:
                    start += length
                    break
            else:
                row = found(run[start])
                start += 1
            if row is not None:
                rows.append(row)
        return rows

    def _word(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return []
        rows: list[int] = []
        pieces = self._heads
        start, end = 0, len(word)
        while start < end:
            for stop in range(min(start + self._longest, end), start, -1):
                row = pieces.get(word[start:stop])
                if row is not None:
                    rows.append(row)
                    start = stop
                    break
            else:
                return []
            pieces = self._tails
        return rows
