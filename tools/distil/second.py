"""Pieces of the second round: for words that the first had no space or no gloss for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from querybudget.embedding.wordpiece import CONTINUATION, UNSPACED, WordPiece
from tools.distil.sources import Gloss, Pair
from tools.distil.vocabulary import MAIN, runs

__all__ = ["additions", "extended", "glossary"]

ADDED = 14_000
LONGEST = 20
_FULL = {"it", "id"}  # had room enough in the first round
_KEPT = 1.3  # a mean over several glosses is shorter than each of them


class _Given(Protocol):
    @property
    def glosses(self) -> list[Gloss]: ...
    @property
    def english(self) -> list[str]: ...


class English:
    """Words of English; no new piece may change how they are cut."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.words = {word for text in texts for word in runs(text)[0]}
        self._beginnings = {word[:end] for word in self.words for end in range(1, len(word) + 1)}

    def would_notice(self, piece: str) -> bool:
        """Whether an English word starts with the piece."""
        return piece in self._beginnings


def more_pieces(
    pieces: Sequence[str], candidates: Iterable[str], english: English, count: int, longest: int
) -> list[str]:
    """Return at most `count` of the candidates that start no English word."""
    known = set(pieces)
    found: dict[str, None] = {}
    for piece in candidates:
        if piece in known or len(piece) > longest or piece.startswith(CONTINUATION):
            continue
        if len(piece) > 1 and not english.would_notice(piece):
            found[piece] = None
        if len(found) == count:
            break
    return list(found)


def glossary(path: Path) -> list[Pair]:
    """Common words of prompts, written for this: one concept per line, one column per language."""
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    languages = head.split("\t")[1:]
    return [
        Pair(language, word.strip(), concept)
        for concept, *columns in (line.split("\t") for line in lines)
        for language, column in zip(languages, columns, strict=True)
        for word in column.split("|")
    ]


def additions(
    pieces: Sequence[str],
    ranked: Sequence[str],
    written: Iterable[Pair],
    named: Iterable[Pair],
    given: _Given,
) -> list[str]:
    """Return new pieces, and every single character of those of unspaced scripts."""
    texts = [(pair.language in MAIN, pair.text) for pair in written]
    texts += [(pair.language in MAIN - _FULL, pair.text) for pair in named]
    texts += [
        (gloss.language in MAIN - _FULL, gloss.word)
        for gloss in given.glosses
        if gloss.language != "zh" or len(gloss.word) > 1
    ]
    first: list[str] = []
    for wanted, text in texts:
        words, unspaced = runs(text) if wanted else ([], [])
        first += words + unspaced if len(words) + len(unspaced) == 1 else words
    added = more_pieces(pieces, [*first, *ranked], English(given.english), ADDED, LONGEST)
    known = {*pieces, *added}
    unspaced_piece = re.compile(f"[{UNSPACED}]").match
    return [
        *added,
        *sorted({sign for piece in added if unspaced_piece(piece) for sign in piece} - known),
    ]


def extended(
    table: NDArray[np.float32],
    old: WordPiece,
    every: WordPiece,
    pieces: Sequence[str],
    glosses: Iterable[Gloss],
) -> NDArray[np.float32]:
    """Return the table with rows for new pieces: the mean of glosses, or of their old pieces."""
    count = len(table)
    table = np.concatenate([table, np.zeros((len(pieces) - count, table.shape[1]), np.float32)])
    total, times = np.zeros(table.shape), np.zeros(len(table))
    for gloss in glosses:
        words, unspaced = runs(gloss.word)
        if len(words) + len(unspaced) == 1:
            rows, meant = every.rows((words + unspaced)[0]), old.rows(gloss.english)
            if len(rows) == 1 and rows[0] >= count and meant:
                total[rows[0]] += table[meant].mean(0) * _KEPT
                times[rows[0]] += 1
    for place in range(count, len(pieces)):
        rows = old.rows(pieces[place])
        if times[place]:
            table[place] = total[place] / times[place]
        elif rows:
            table[place] = table[rows].sum(0)
    return table
