"""Takes off the short phrases that a caller's texts often begin or end with.

`Repeats` tells a preamble by what was sent once before. A phrase of a few words may be that by
chance, so here phrases are counted: one that comes again and again says nothing of what is asked.
A clause counts wherever a sign ends it. Words that no sign ends count only if most texts begin, or
end, with them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from zlib import crc32

from querybudget.embedding.kernel import KERNEL

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
COUNTED: Callable[[str, int, int, bytearray], bytes] | None = getattr(KERNEL, "counted", None)
"""Of the kernel, unless there is none or it was built from an older source."""


class Counts:
    """Counts by hash. Each is the lower of two in one table, so a chance hit hardly matters.

    The source is Cormode and Muthukrishnan, An improved data stream summary: the count-min sketch
    and its applications, 2005.

    Args:
        latest: Texts after which each counts half.

    Attributes:
        counts: The table.
        texts: Texts that count.
    """

    __slots__ = ("_latest", "counts", "texts")

    def __init__(self, latest: int) -> None:
        self.counts, self._latest, self.texts = bytearray(_COUNTERS), latest, 0

    def before(self, mark: int) -> int:
        """Return how often a hash of 32 bits was counted before, at most; count it."""
        counts, one, other = self.counts, mark % _COUNTERS, (mark >> 16) % _COUNTERS
        first, second = counts[one], counts[other]
        count = first if first < second else second  # noqa: FURB136 - quicker
        if count < _LAST:
            if first == count:
                counts[one] = count + 1
            if second == count:
                counts[other] = count + 1
        return count

    def counted(self, text: str, mark: int, side: int) -> bytes:
        """Count each word but the last, which may be cut, with those before it.

        Args:
            text: The words, between spaces.
            mark: What the hashes begin with.
            side: 1 to go from the last word to the first.

        Returns:
            How often each was counted before, at most.
        """
        if COUNTED is not None:
            return COUNTED(text, mark, side, self.counts)
        words = text.encode("utf-8", "surrogatepass").split(b" ")
        if side:
            words.reverse()
        del words[-1]
        marks = itertools.accumulate(words, lambda last, word: crc32(word, last), initial=mark)
        return bytes(map(self.before, itertools.islice(marks, 1, None)))

    def next_text(self) -> None:
        """Let everything count half after enough texts."""
        self.texts += 1
        if self.texts == self._latest:
            self.counts, self.texts = self.counts.translate(_HALVED), self.texts // 2


class Habits:
    """Counts what one caller begins and ends its texts with. No text is kept.

    Args:
        seed: Secret number of the deployment.
    """

    __slots__ = ("_clauses", "_seed", "_words")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._clauses, self._words = Counts(LATEST_CLAUSES), Counts(LATEST_WORDS)

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
        mark, least = self._seed ^ side, CONSTANT * max(FEWEST, self._words.texts)
        before = self._words.counted(text, mark, side)
        if not before or before[0] < least:
            return 0
        taken = at = 0
        words = text.split(" ")
        for word, count in zip(reversed(words) if side else words, before, strict=False):
            if count < least:
                break
            if at:  # many people often begin with the same word
                taken = at + len(word) + 1
            at += len(word) + 1
        return taken
