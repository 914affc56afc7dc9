"""Chooses which of too many chunks are looked at, as the key of a deployment draws them."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from heapq import nsmallest
from typing import Protocol
from zlib import crc32

from querybudget.adapters.base import Channel
from querybudget.coverage.observation import MAX_CHUNKS

SAID_FIRST = MAX_CHUNKS // 2
"""New chunks of what is said that are looked at before any of what is fed to the model."""

_DIGEST_BITS = 64
_DIGEST_MASK = (1 << _DIGEST_BITS) - 1
_SORTED = 4_096  # numbers that are sorted to find the smallest, at most
_WORDS = re.compile(r"[^\W\d_]{3,}").findall
_ASCII_WORDS = re.compile(rb"[a-z]{3,}").findall


class _NewChunk(Protocol):
    """A chunk that is new: how it gets into the prompt, and its text."""

    @property
    def channel(self) -> Channel: ...

    @property
    def text(self) -> str: ...


def chosen_of(parts: Mapping[int, _NewChunk], sent: Collection[int], seed: int) -> Collection[int]:
    """Return the digests of what is looked at, as the key draws them.

    Up to `SAID_FIRST` of what is newly said come first, then what else is new, then what was sent
    before.
    """
    if len(parts) + len(sent) <= MAX_CHUNKS:
        return {*parts, *sent}
    if len(parts) <= MAX_CHUNKS:
        return {*parts, *_smallest(MAX_CHUNKS - len(parts), sent)}
    ranks = _ranked(parts, seed)
    said = [digest for digest, part in parts.items() if part.channel is Channel.SAID]
    chosen = set(nsmallest(SAID_FIRST, said, key=ranks.__getitem__))
    others = [digest for digest in parts if digest not in chosen]
    chosen.update(nsmallest(MAX_CHUNKS - len(chosen), others, key=ranks.__getitem__))
    return chosen


def _smallest(count: int, numbers: Collection[int]) -> list[int]:
    """Return the smallest of some digests; to sort them is quicker unless they are very many."""
    if len(numbers) > _SORTED:
        return nsmallest(count, numbers)
    # Digests are spread evenly, so nearly always so many of them are below this.
    bound = (2 * count << _DIGEST_BITS) // len(numbers)
    low = [number for number in numbers if number < bound]
    return sorted(low if len(low) >= count else numbers)[:count]


def _ranked(parts: Mapping[int, _NewChunk], seed: int) -> dict[int, tuple[int, float]]:
    """Return the rank of each chunk; those of the lowest ranks are looked at.

    Of chunks that have most words in common, the first comes before the second of any others: so
    much that says the same hides nothing. Otherwise a long chunk is likelier to be chosen than a
    short one, so that what hides a text has to be longer than it.
    """
    alike: Counter[int] = Counter()
    ranks: dict[int, tuple[int, float]] = {}
    for digest in sorted(parts, key=lambda digest: draw(digest, len(parts[digest].text))):
        text = parts[digest].text
        kind = _kind(text, seed)
        ranks[digest] = (alike[kind], draw(digest, len(text)))
        alike[kind] += 1
    return ranks


def _kind(text: str, seed: int) -> int:
    """Return a number that most texts have in common whose words are alike: the least hash.

    The source is Broder's min-wise hashing.
    """
    text = text.lower()
    if text.isascii():
        words = _ASCII_WORDS(text.encode())
    else:
        words = [word.encode("utf-8", "surrogatepass") for word in _WORDS(text)]
    return min(map(crc32, words, itertools.repeat(seed)), default=0)


def draw(digest: int, size: int) -> float:
    """Return a number for a digest. Its chance to be the lowest of several grows with `size`.

    The source is Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.
    """
    return -math.log(((digest & _DIGEST_MASK) + 1) / (_DIGEST_MASK + 2)) / max(size, 1)


def bounded(parts: Mapping[int, _NewChunk], seed: int) -> tuple[int, ...]:
    """Return the digests of as many chunks of a segment as can ever be chosen."""
    if len(parts) <= MAX_CHUNKS:
        return tuple(parts)
    ranks = _ranked(parts, seed)
    kept = set(nsmallest(MAX_CHUNKS, ranks, key=ranks.__getitem__))
    return tuple(digest for digest in parts if digest in kept)
