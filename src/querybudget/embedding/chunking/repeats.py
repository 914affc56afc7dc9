"""Takes off what a caller has sent before: a constant preamble, ending or passage of its texts.

What was sent is known by keyed hashes of the characters before the ends of words, as bits of a
bitmap per caller: no text is kept, and the bitmap does not grow.
"""

from __future__ import annotations

import functools
import re
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from cachetools import LRUCache

from querybudget.embedding.chunking.chunks import UNSPACED, kinds
from querybudget.embedding.chunking.habits import Habits
from querybudget.embedding.kernel import KERNEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD, TAIL = 1_500, 500
"""Characters at the start and at the end of a text that are compared; chunks of what lies between
repeat by themselves."""

CALLERS = 1_024
"""Callers that are remembered, at 12 KB each, of which a third are the counters of `Habits`."""

EDGE, PASSAGE = 24, 64
"""Characters of a repeated preamble or ending, and of a passage elsewhere, at least."""

CLAUSE = 48
"""Characters of a preamble or an ending that is no whole sentence or clause, at least."""

_GAP = 24  # characters that may differ inside a preamble: a name, a topic
_COVERED = 0.6  # share of a preamble that was sent before, at least
_WINDOW = 16  # characters before the end of a word that are hashed
_DENSE_WINDOW, _DENSE = 6, 0.4  # in scripts that say as much in fewer characters
_BITS = 15  # two to this power is the size of a bitmap
_RENEWED = 3_000  # ends of words after which a bitmap is the old one
_RUN = re.compile(rb"\x01{3,}").finditer  # fewer may be set by chance
_LEFT = 6  # letters and digits that are worth looking at
_SAYS_SOMETHING = re.compile(rf"(?:[\W_]*[^\W_]){{{_LEFT}}}").match
_CLAUSES = re.compile(r"[.:;!?](?=\s)|[\n\u3002\uff01\uff1f\uff1a]").finditer
_SIGNS = re.compile(r"[^\w\s]{0,24}").match
_REST_OF_WORD = re.compile(r"(?<=\w)\w{0,24}\s*").match

Span = tuple[int, int]


class _Sent:
    """What one caller has sent: hashes as bits, the recent ones and those before."""

    __slots__ = ("count", "habits", "old", "recent")

    def __init__(self, seed: int) -> None:
        self.habits = Habits(seed)
        self.recent = np.zeros(1 << _BITS - 3, np.uint8)
        self.old = np.zeros_like(self.recent)
        self.count = 0

    def meets(self, hashes: NDArray[np.uint32]) -> bytes:
        """Return for each hash whether it was sent before, as bytes; then record them."""
        places, bits = hashes >> np.uint32(3), (hashes & np.uint32(7)).astype(np.uint8)
        held = self.recent.take(places) | self.old.take(places)
        met = (held >> bits & 1).tobytes()
        if self.count + len(hashes) > _RENEWED:
            self.old, self.recent = self.recent, np.zeros_like(self.recent)
        np.bitwise_or.at(self.recent, places, np.left_shift(np.uint8(1), bits))
        self.counted(len(hashes))
        return met

    def counted(self, hashes: int) -> None:
        """Count hashes that were recorded, from 0 after the bitmap became the old one."""
        renewed = self.count + hashes > _RENEWED
        self.count = hashes if renewed else self.count + hashes


class Repeats:
    """Remembers what callers have sent, and takes it off what they send next.

    Args:
        key: Secret of the deployment.
        callers: Number of callers that are remembered.
    """

    def __init__(self, key: bytes, callers: int = CALLERS) -> None:
        digest = blake2b(key, digest_size=8, person=b"repeats").digest()
        factor = int.from_bytes(digest[:4], "little") | 5
        self._mix = np.uint32(int.from_bytes(digest[4:], "little") | 1)
        self._powers = _powers(factor)
        self._inverses = _powers(pow(factor, -1, 1 << 32))
        self._sent: LRUCache[str, _Sent] = LRUCache(callers)
        self._latest: tuple[str, _Sent] | None = None
        self._lock = Lock()  # large calls are read in threads

    def without(self, caller: str, text: str) -> str:
        """Return what is new in a text; the whole text if that is next to nothing.

        The first of several texts that share a preamble is new as a whole.

        Args:
            caller: Key of the caller's identity.
            text: What it sends.
        """
        if len(text) < EDGE:
            return text
        sent = self._sent_by(caller)
        if len(text) <= HEAD + TAIL:
            new = self._new(sent, text, first=True, last=True)
        else:
            head = self._new(sent, text[:HEAD], first=True, last=False)
            tail = self._new(sent, text[-TAIL:], first=False, last=True)
            new = head + text[HEAD:-TAIL] + tail
        return new if len(new) == len(text) or _says_something(new) else text

    def without_habits(self, caller: str, text: str) -> str:
        """Return a text without the phrases that most of the caller's texts begin or end with.

        Args:
            caller: Key of the caller's identity.
            text: What it says.
        """
        new = self._sent_by(caller).habits.without(text)
        return new if len(new) == len(text) or _says_something(new) else text

    def _sent_by(self, caller: str) -> _Sent:
        latest = self._latest
        if latest is not None and latest[0] == caller:  # then it is the cache's latest, too
            return latest[1]
        with self._lock:
            found = self._sent.get(caller)
            if found is None:
                found = self._sent[caller] = _Sent(int(self._mix))
            self._latest = caller, found
        return found

    def _new(self, sent: _Sent, text: str, *, first: bool, last: bool) -> str:
        if KERNEL is not None:
            spans, count, dense = KERNEL.met(
                text,
                _folds(),
                kinds(),
                self._powers,
                self._inverses,
                int(self._mix),
                sent.recent,
                sent.old,
                _RENEWED - sent.count,
            )
            sent.counted(count)
        else:
            spans, dense = self._met_words(sent, text)
        if not spans:
            return text
        return _cut_out(text, _taken(text, spans, first=first, last=last, dense=dense))

    def _met_words(self, sent: _Sent, text: str) -> tuple[list[Span], bool]:
        """Return the stretches of a text that were sent before, and whether its script is dense."""
        codes = _folded(text)
        ends, dense = _ends(codes, ascii_only=text.isascii())
        if not len(ends):
            return [], dense
        window = _DENSE_WINDOW if dense else _WINDOW
        starts = np.maximum(ends - window, 0)
        sums = np.zeros(len(codes) + 1, np.uint32)
        np.cumsum(codes * self._powers[: len(codes)], dtype=np.uint32, out=sums[1:])
        hashes = (sums.take(ends) - sums.take(starts)) * self._inverses.take(starts)
        hashes *= self._mix
        hashes >>= np.uint32(32 - _BITS)
        met = sent.meets(hashes)
        if b"\1\1\1" not in met:
            return [], dense
        spans = [(int(starts[run.start()]), int(ends[run.end() - 1])) for run in _RUN(met)]
        return spans, dense


def _taken(text: str, spans: list[Span], *, first: bool, last: bool, dense: bool) -> list[Span]:
    """Return the stretches to take off, of those that were sent before."""
    scale, size = _DENSE if dense else 1.0, len(text)
    begin, stop = 0, size
    if first:
        begin = _preamble(text, _reach(spans, scale), scale)
    if last:
        mirrored = [(size - end, size - start) for start, end in reversed(spans)]
        stop = size - _ending(text, _reach(mirrored, scale), scale)
    taken = [(0, begin)] if begin else []
    for start, end in spans:
        inner = max(start, begin), min(end, stop)
        if inner[1] - inner[0] >= PASSAGE * scale and begin < stop:
            taken.append((_at_word(text, inner[0]), inner[1]))
    if stop < size:
        taken.append((max(stop, begin), size))
    return taken


def _reach(spans: list[Span], scale: float) -> int:
    """Return how far from the edge of a text all but short stretches was sent before."""
    reached = covered = 0
    for start, end in spans:
        if start > reached + _GAP * scale:
            break
        covered += end - max(start, reached)
        reached = end
    return reached if covered >= max(EDGE * scale, _COVERED * reached) else 0


def _preamble(text: str, reach: int, scale: float) -> int:
    """Return where the preamble ends: with a clause, unless it is long and has none."""
    end = reach + _signs(text, reach)
    if end < EDGE * scale:
        return 0
    clauses = [clause.end() for clause in _CLAUSES(text, 0, end + 1) if clause.end() <= end]
    if clauses and clauses[-1] >= EDGE * scale:
        return clauses[-1]
    return end if reach >= CLAUSE * scale else 0


def _signs(text: str, start: int) -> int:
    """Return how many signs that belong to no word stand there."""
    found = _SIGNS(text, start)
    return 0 if found is None else len(found[0])


def _ending(text: str, reach: int, scale: float) -> int:
    """Return how many characters the ending has: whole clauses, unless it is long."""
    size = len(text)
    if reach < EDGE * scale:
        return 0
    start = size - reach
    clause = next(_CLAUSES(text, max(0, start - 1), size - 1), None)
    if clause is not None and size - clause.end() >= EDGE * scale:
        return size - clause.end()
    return size - _at_word(text, start) if reach >= CLAUSE * scale else 0


def _at_word(text: str, start: int) -> int:
    """Return where the first whole word from there on starts."""
    rest = _REST_OF_WORD(text, start)
    return start if rest is None else rest.end()


def _cut_out(text: str, taken: list[Span]) -> str:
    if not taken:
        return text
    kept: list[str] = []
    at = 0
    for start, end in taken:
        kept.append(text[at:start].strip())
        at = end
    kept.append(text[at:].strip())
    return "\n".join(part for part in kept if part)


def _says_something(text: str) -> bool:
    return _SAYS_SOMETHING(text, 0, 20 * _LEFT) is not None


def _folded(text: str) -> NDArray[np.uint32]:
    """Return code points of a text without case, digits, or kinds of punctuation."""
    if text.isascii():
        signs = text.encode("ascii").translate(_folds())
        return np.frombuffer(signs, np.uint8).astype(np.uint32)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).copy()
    plain = codes < 0x80  # noqa: PLR2004 - ASCII
    codes[plain] = np.frombuffer(_folds(), np.uint8).take(codes[plain])
    return codes


@functools.cache
def _folds() -> bytes:
    signs = [ord(chr(sign).lower()) if chr(sign).isalpha() else 32 for sign in range(128)]
    for digit in b"0123456789":
        signs[digit] = ord("0")
    return bytes(signs) + bytes(range(128, 256))


def _ends(codes: NDArray[np.uint32], *, ascii_only: bool) -> tuple[NDArray[np.intp], bool]:
    """Return where words end, and whether most characters are words by themselves."""
    inside = codes != 32  # noqa: PLR2004 - a space
    ends = np.empty(len(codes), np.bool_)
    ends[-1] = inside[-1]
    np.greater(inside[:-1], inside[1:], out=ends[:-1])
    dense = False
    if not ascii_only:
        unspaced = (kinds().take(codes, mode="clip") & 7) == UNSPACED
        dense = 3 * int(np.count_nonzero(unspaced)) > len(codes)
        ends |= unspaced
    return np.flatnonzero(ends) + 1, dense


def _powers(factor: int) -> NDArray[np.uint32]:
    powers = np.full(HEAD + TAIL + 1, factor, np.uint32)
    powers[0] = 1
    return np.multiply.accumulate(powers, dtype=np.uint32)
