"""Cuts a text into chunks by its own content, so that a change in one place moves no far border.

A border lies where a keyed hash of the characters before it is the highest of its surroundings
(local-maximum chunking: Bjorner, Blass, Gurevich, 2010). Ends of lines outrank ends of sentences,
which outrank ends of words, which outrank all other places.
"""

from __future__ import annotations

import functools
import re
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from querybudget.embedding.kernel import KERNEL
from querybudget.embedding.wordpiece import UNSPACED as UNSPACED_SIGNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE = 400
"""Characters of a text that is one chunk, at most."""

MINIMUM, MAXIMUM = 120, 1_000
"""Characters of a chunk of a longer text."""

_AROUND = 192  # characters on either side that a border must rank highest in
_SPLIT = 384  # characters of the parts that a stretch without a border is cut into, at least
_STEPS = (1, 2, 4)  # a hash covers the eight characters before a border
_INSIDE, UNSPACED, _WORD, _SENTENCE, _LINE = range(5)
_CLASS_SHIFT = 29
_RUNS = re.compile(f"[{UNSPACED_SIGNS}]+").finditer
_PLANE = 0x10000  # characters of Unicode's first plane, which has nearly all scripts


def codes_of(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8).astype(np.uint32)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class Cutter:
    """Cuts texts at borders that depend on a key.

    Args:
        key: Secret of the deployment: who does not have it does not know the borders.
    """

    def __init__(self, key: bytes) -> None:
        digest = blake2b(key, digest_size=12, person=b"chunks").digest()
        self._spread, self._step, self._mix = (
            np.uint32(int.from_bytes(digest[i : i + 4], "little") | 1) for i in (0, 4, 8)
        )

    def cut(self, text: str) -> list[str]:
        """Return the chunks of a text, in order; joined, they are the text. None for no text."""
        size = len(text)
        if size <= WHOLE:
            return [text] if text else []
        if KERNEL is not None:
            ends = KERNEL.ends(text, kinds(), int(self._spread), int(self._step), int(self._mix))
            return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return self._cut(text)

    def _cut(self, text: str) -> list[str]:
        size = len(text)
        ranks = self._ranks(text)
        borders = _borders(ranks)
        chunks: list[str] = []
        start = 0
        for border in (*borders, size):
            if size - border < MINIMUM:
                border = size  # noqa: PLW2901 - what is left would be too short
            if border - start < MINIMUM:
                continue
            while border - start > MAXIMUM:
                end = start + _SPLIT + int(ranks[start + _SPLIT : start + 2 * _SPLIT].argmax())
                chunks.append(text[start:end])
                start = end
            chunks.append(text[start:border])
            start = border
            if border == size:
                break
        return chunks

    def _ranks(self, text: str) -> NDArray[np.uint32]:
        """Return the rank of a border in front of each character, by its kind, then by hash."""
        codes = codes_of(text)
        hashes = codes * self._spread
        hashes ^= hashes >> np.uint32(15)
        factor = self._step
        for step in _STEPS:
            # A hash of twice as many characters, from two neighbouring ones.
            wider = hashes.copy()
            wider[step:] += hashes[:-step] * factor
            hashes = wider
            factor = np.uint32(int(factor) ** 2 & 0xFFFFFFFF)
        hashes ^= hashes >> np.uint32(16)
        hashes *= self._mix
        hashes >>= np.uint32(32 - _CLASS_SHIFT)
        hashes |= _classes(text, codes)
        ranks = np.empty_like(hashes)
        ranks[0] = 0
        ranks[1:] = hashes[:-1]
        return ranks


def _borders(ranks: NDArray[np.uint32]) -> list[int]:
    """Return where a rank is higher than those before it, and no lower than those after."""
    size = len(ranks)
    highest = np.zeros(size + 2 * _AROUND, np.uint32)
    highest[_AROUND : _AROUND + size] = ranks
    width = 1
    while width < _AROUND:
        step = min(width, _AROUND - width)
        highest = np.maximum(highest[:-step], highest[step:])
        width += step
    # Now each entry is the highest of the `_AROUND` ranks from there on.
    border = (ranks > highest[:size]) & (ranks >= highest[_AROUND + 1 : _AROUND + 1 + size])
    found: list[int] = np.flatnonzero(border).tolist()
    return found


def _classes(text: str, codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the kind of a border after each character, in the bits above the hash."""
    if text.isascii():
        found = np.frombuffer(text.encode("ascii").translate(_kinds_of_ascii()), np.uint8)
    else:
        found = kinds().take(codes, mode="clip")
    classes = (found & 7).astype(np.uint32)
    # A space behind a full stop ends a sentence.
    classes[1:] += (found[:-1] >> 3) & (found[1:] == _WORD)
    classes <<= np.uint32(_CLASS_SHIFT)
    return classes


@functools.cache
def kinds() -> NDArray[np.uint8]:
    """Return the kind of border after each character; bit 3 marks those that end sentences."""
    table = np.zeros(_PLANE, np.uint8)
    for found in _RUNS("".join(map(chr, range(_PLANE)))):
        table[found.start() : found.end()] = UNSPACED
    table[0xFFFF] = UNSPACED  # stands for the further planes: Han and pictures
    for signs, kind in (
        (" \t\xa0\u3000", _WORD),
        ("\u3001\uff0c", _WORD),
        ("\u3002\uff01\uff1f\uff1b\uff1a\u0964\u0965\u06d4\u1362", _SENTENCE),
        ("\n\r\x0b\x0c\x85\u2028\u2029", _LINE),
    ):
        for sign in signs:
            table[ord(sign)] = kind
    for sign in ".!?;:\u061f\u037e\u2026":
        table[ord(sign)] = 1 << 3
    return table


@functools.cache
def _kinds_of_ascii() -> bytes:
    return kinds()[:256].tobytes()
