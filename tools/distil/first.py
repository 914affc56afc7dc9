"""The table before training: the sentence model's pieces, and glossed words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from querybudget.embedding.wordpiece import CONTINUATION, WordPiece
from tools.distil.sources import Gloss
from tools.distil.vocabulary import runs

__all__ = ["english_vectors", "first_table"]

_KEPT = 1.3  # a mean over several glosses is shorter than each of them
_SEEN = 3  # English texts with a word that make it an English word, whatever else it means
_STEM = 4  # letters of a beginning that tells something; in Hangul 2
_ENDING = 5  # letters of an ending that is a word of its own, as in German


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    units: NDArray[np.float32] = vectors / np.maximum(
        np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9
    )
    return units


def english_vectors(
    own: WordPiece, table: NDArray[np.float32], texts: Sequence[str]
) -> NDArray[np.float32]:
    """Return the vectors of English texts by the sentence model's pieces alone."""
    found = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
    for place, text in enumerate(texts):
        rows = own.rows(text)
        if rows:
            found[place] = table[rows].sum(0)
    return _units(found)


def first_table(
    pieces: Sequence[str],
    own: Mapping[str, NDArray[np.float32]],
    glosses: Iterable[Gloss],
    english: Sequence[str],
) -> NDArray[np.float32]:
    """Return rows for all pieces; the first are the sentence model's `own`."""
    count = len(own)
    table = np.zeros((len(pieces), len(next(iter(own.values())))), dtype=np.float32)
    table[:count] = np.stack([own[piece] for piece in pieces[:count]])
    table /= np.median(np.linalg.norm(table[:count], axis=1))
    english_pieces, every = WordPiece(pieces[:count]), WordPiece(pieces)
    glossed = _glossed(table, every, english_pieces, glosses, count)
    places = {piece: place for place, piece in enumerate(pieces)}
    _stems(table, pieces, places, glossed, count)
    seen = Counter(word for text in english for word in runs(text)[0])
    for place, piece in enumerate(pieces[count:], count):
        starts = not piece.startswith(CONTINUATION) and piece.isascii()
        if starts and (not glossed[place] or seen[piece] >= _SEEN):
            rows = english_pieces.rows(piece)
            if rows:
                table[place] = table[rows].sum(0)
    return table


def _glossed(
    table: NDArray[np.float32],
    every: WordPiece,
    english: WordPiece,
    glosses: Iterable[Gloss],
    count: int,
) -> NDArray[np.bool_]:
    total = np.zeros(table.shape)
    times = np.zeros(len(table))
    for gloss in glosses:
        words, unspaced = runs(gloss.word)
        if len(words) + len(unspaced) == 1:
            rows = every.rows((words + unspaced)[0])
            meant = english.rows(gloss.english)
            if len(rows) == 1 and rows[0] >= count and meant:
                total[rows[0]] += table[meant].mean(0) * _KEPT
                times[rows[0]] += 1
    has = times > 0
    table[has] = total[has] / times[has, None]
    return has


def _stems(
    table: NDArray[np.float32],
    pieces: Sequence[str],
    places: Mapping[str, int],
    glossed: NDArray[np.bool_],
    count: int,
) -> None:
    """Give a prefix the mean of the words that start with it, and a suffix that of its word."""
    stems: dict[str, list[int]] = {}
    for place in map(int, np.flatnonzero(glossed)):
        piece = pieces[place]
        least = 2 if "\uac00" <= piece[0] <= "\ud7a3" else _STEM
        for length in range(max(least, (len(piece) + 1) // 2), len(piece)):
            stem = places.get(piece[:length])
            if stem is not None and stem >= count and not glossed[stem]:
                stems.setdefault(piece[:length], []).append(place)
    for piece, rows in stems.items():
        table[places[piece]] = table[rows].mean(0)
    for place, piece in enumerate(pieces[count:], count):
        word = piece.removeprefix(CONTINUATION)
        if len(piece) - len(word) and len(word) >= _ENDING:
            whole = places.get(word)
            if whole is not None and (glossed[whole] or word in stems):
                table[place] = table[whole]
