"""Takes off the short phrases that a caller's texts often begin or end with.

`Repeats` tells a preamble by what was sent once before. A phrase of a few words may be that by
chance, so here phrases are counted: one that comes again and again says nothing of what is asked.
A clause counts wherever a sign ends it. Words that no sign ends count only if most texts begin, or
end, with them.
"""

from __future__ import annotations

import re
from zlib import crc32

SHORT = 48
"""Characters of a phrase, at most. Longer ones are repeats."""

OFTEN = 3
"""Texts with a clause, among the latest few hundred, after which it is taken off."""

MOST = 4
"""Clauses that are taken off each end of a text, at most."""

CONSTANT = 0.75
"""Share of the latest texts that begin or end with the same words, from which on they are taken
off."""

FEWEST = 8
"""Texts from which on a share says something."""

LATEST_CLAUSES, LATEST_WORDS = 256, 32
"""Texts after which each clause, and each row of words, counts half."""

_COUNTERS = 1 << 11
_LAST = 255
_HALVED = bytes(count >> 1 for count in range(256))
_ENDED = r"\n|[\u3002\uff01\uff1f\uff1a\uff0c]"
_OPENING = re.compile(
    rf"(?:[^.,:;!?\n\u3002\uff01\uff1f\uff1a\uff0c]|[.,:;!?](?!\s)){{1,{SHORT}}}"
    rf"(?:[.,:;!?](?=\s)|\s[-\u2013\u2014](?=\s)|{_ENDED})\s*"
).match
_INNER = re.compile(rf"(?:[.,:;!?)\"'\u201d]\s|{_ENDED})\s*").finditer
_NUMBERS = re.compile(r"\d+").sub


class _Counts:
    """Counts by hash. Each is the lower of two in one table, so a chance hit hardly matters.

    The source is Cormode and Muthukrishnan, An improved data stream summary: the count-min sketch
    and its applications, 2005.
    """

    __slots__ = ("_counts", "_latest", "texts")

    def __init__(self, latest: int) -> None:
        self._counts, self._latest, self.texts = bytearray(_COUNTERS), latest, 0

    def before(self, mark: int) -> int:
        """Return how often a hash of 32 bits was counted before, at most; count it."""
        counts, one, other = self._counts, mark % _COUNTERS, (mark >> 16) % _COUNTERS
        first, second = counts[one], counts[other]
        count = first if first < second else second  # noqa: FURB136 - quicker
        if count < _LAST:
            if first == count:
                counts[one] = count + 1
            if second == count:
                counts[other] = count + 1
        return count

    def next_text(self) -> None:
        """Let everything count half after enough texts."""
        self.texts += 1
        if self.texts == self._latest:
            self._counts, self.texts = self._counts.translate(_HALVED), self.texts // 2


class Habits:
    """Counts what one caller begins and ends its texts with. No text is kept.

    Args:
        seed: Secret number of the deployment.
    """

    __slots__ = ("_clauses", "_seed", "_words")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._clauses, self._words = _Counts(LATEST_CLAUSES), _Counts(LATEST_WORDS)

    def without(self, text: str) -> str:
        """Return a text without the phrases that recur, and count those that it has.

        It may be empty.

        Args:
            text: What the caller says.
        """
        begin, stop = self._first_clauses(text), self._last_clauses(text)
        if begin < stop:
            begin += self._same(text[begin : min(stop, begin + SHORT)], 0)
            stop -= self._same(text[max(begin, stop - SHORT) : stop], 1)
        self._clauses.next_text()
        self._words.next_text()
        return text[begin:stop]

    def _first_clauses(self, text: str) -> int:
        at = 0
        for _ in range(MOST):
            found = _OPENING(text, at)
            if found is None or not self._recurs(found[0], 0):
                break
            at = found.end()
        return at

    def _last_clauses(self, text: str) -> int:
        stop = len(text)
        for _ in range(MOST):
            start = max(0, stop - 2 * SHORT)
            last = start + len(text[start:stop].rstrip()) - 1
            starts = [found.end() for found in _INNER(text, max(0, last - SHORT), max(0, last))]
            if not starts or not self._recurs(text[starts[-1] : stop], 1):
                break
            stop = starts[-1]
        return stop

    def _recurs(self, clause: str, side: int) -> bool:
        """Return whether texts often had a clause on that side; count it."""
        words = _NUMBERS("0", clause.strip().lower()).encode("utf-8", "surrogatepass")
        return self._clauses.before(crc32(words, self._seed ^ side)) >= OFTEN

    def _same(self, text: str, side: int) -> int:
        """Return how many characters the words have that most texts have there; count them."""
        words, encoded = text.split(" "), text.encode("utf-8", "surrogatepass").split(b" ")
        if side:
            words.reverse()
            encoded.reverse()
        del words[-1]  # it may be cut
        taken = at = 0
        mark, common, before = self._seed ^ side, True, self._words.before
        least = CONSTANT * max(FEWEST, self._words.texts)
        for word, letters in zip(words, encoded, strict=False):
            mark = crc32(letters, mark)
            common = before(mark) >= least and common
            if common:
                if at:  # many people often begin with the same word
                    taken = at + len(word) + 1
                at += len(word) + 1
        return taken
