"""From text to the rows of a vocabulary: greedy longest match, as BERT's WordPiece does it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

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

_WORDS = re.compile(f"([{UNSPACED}]+)|([^{SEPARATORS}{UNSPACED}]+)")
_LONGEST_WORD = 100  # as in BERT: what is longer is no word
_REMEMBERED = 1 << 15  # chunks; at about 200 bytes each
_LONGEST_REMEMBERED = 24  # characters
_FEW = 4  # pieces: what takes more is no common word
_SHORT = 4  # characters: so short, anything is remembered
_DIGIT = re.compile(r"\d").search


class WordPiece:
    """Rows of the pieces of a text, over one vocabulary.

    A word is cut into the longest piece that begins it, then the longest `##` pieces that go on;
    one that cannot be cut to its end has no rows. A run of a script without spaces is cut
    into the longest pieces from left to right, and characters without any are passed over.

    What a common word came to is remembered, never what is long, has a number in it or is cut into
    many pieces: that may be somebody's secret.

    Attributes:
        size: Pieces in the vocabulary.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.size = len(vocabulary)
        self._heads: dict[str, int] = {}
        self._tails: dict[str, int] = {}
        self._longest: dict[str, int] = {}
        self._known: dict[str, tuple[int, ...]] = {}
        for row, piece in enumerate(vocabulary):
            if piece.startswith(CONTINUATION) and len(piece) > len(CONTINUATION):
                self._tails[piece[len(CONTINUATION) :]] = row
            elif piece:
                self._heads[piece] = row
        self._longest_head = max(map(len, self._heads), default=0)
        self._longest_tail = max(map(len, self._tails), default=0)
        for piece in self._heads:
            first = piece[0]
            if len(piece) > self._longest.get(first, 0):
                self._longest[first] = len(piece)

    def rows(self, text: str) -> list[int]:
        """The rows of a text's pieces, in order."""
        known = self._known
        rows: list[int] = []
        for chunk in text.split():
            found = known.get(chunk)
            if found is None:
                found = self._chunk(chunk)
            rows += found
        return rows

    def _chunk(self, chunk: str) -> tuple[int, ...]:
        known = self._known
        rows: list[int] = []
        text = normalise(chunk)
        for match in _WORDS.finditer(text):
            word = match[0]
            found = known.get(word)
            if found is None:
                found = tuple(self._run(word) if match.lastindex == 1 else self._word(word))
                self._remember(word, found)
            rows += found
        cut = tuple(rows)
        self._remember(chunk, cut)
        return cut

    def _remember(self, chunk: str, rows: tuple[int, ...]) -> None:
        plain = 0 < len(rows) <= _FEW and len(chunk) <= _LONGEST_REMEMBERED and not _DIGIT(chunk)
        if not plain and len(chunk) > _SHORT:
            return
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[chunk] = rows

    def _run(self, run: str) -> Iterator[int]:
        heads, longest = self._heads, self._longest
        start, end = 0, len(run)
        while start < end:
            for stop in range(min(start + longest.get(run[start], 0), end), start, -1):
                row = heads.get(run[start:stop])
                if row is not None:
                    yield row
                    start = stop
                    break
            else:
                start += 1

    def _word(self, word: str) -> list[int]:
        whole = self._heads.get(word)
        if whole is not None:
            return [whole]
        if len(word) > _LONGEST_WORD:
            return []
        rows: list[int] = []
        pieces, longest = self._heads, self._longest_head
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
            pieces, longest = self._tails, self._longest_tail
        return rows
