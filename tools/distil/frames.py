"""What stands around a prompt's subject: frequent words, greetings, thanks, and other courtesies.

A few such words must not move a prompt to another bucket. English ones get small vectors, by how
many texts have them and by the list below; those of other languages learn it, because each text is
also trained behind a courtesy, with the vector that it has without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.distil.sources import Pair
from tools.distil.vocabulary import runs

__all__ = ["courtesies", "framed", "lengths", "weights"]

_RARE = 0.008  # share of texts up to which a word counts whole
_FREQUENT = 0.012  # share of texts beyond that at which a word counts half
_FORMER = 0.006  # share at which a word counted half when the shipped rows were trained
_FRAMED = 0.35  # share of texts that are trained behind or before a courtesy
_SEED = 9
_COURTESIES = {
    0.1: "please kindly could would can may might will you your yours me my i we us hello"
    " hi hey dear thanks thank appreciate appreciated regards sir madam wondering"
    " wonder let able ok okay yes",
    0.15: "help assist assistance question questions following below tell give want need"
    " know like ask favor favour mind trouble possible sorry excuse pardon grateful"
    " glad bit something anyone",
    0.3: "explain answer answers respond response reply request here quick detailed"
    " carefully clearly advance greetings good morning evening afternoon briefly try"
    " sure just look hope",
    0.5: "describe step steps think detail details task best",
}
"""English words by the share of their vector that stays."""


def weights(texts: Iterable[str]) -> dict[str, float]:
    """Return the weights of the words of English texts, from 0 to 1; other words have 1."""
    found = {word: _weight(share) for word, share in _shares(texts).items()}
    for share, words in _COURTESIES.items():
        for word in words.split():
            found[word] = min(share, found.get(word, 1.0))
    return found


def lengths(texts: Iterable[str]) -> dict[str, float]:
    """Return by how much the words of English texts became longer; other words did not.

    The rows that ship were trained when a word counted half at `_FORMER` already. Courtesies stay.
    """
    short = {word for words in _COURTESIES.values() for word in words.split()}
    return {
        word: _weight(share) * (_FORMER + share) / _FORMER
        for word, share in _shares(texts).items()
        if word not in short
    }


def _weight(share: float) -> float:
    return _FREQUENT / (_FREQUENT + max(0, share - _RARE))


def _shares(texts: Iterable[str]) -> dict[str, float]:
    seen: Counter[str] = Counter()
    count = 0
    for text in texts:
        count += 1
        seen.update(set(runs(text)[0]))
    return {word: times / count for word, times in seen.items()}


def courtesies() -> list[str]:
    """Return all courtesies, of all languages."""
    return [text for texts in _courtesies().values() for text in texts]


def _courtesies() -> Mapping[str, list[str]]:
    content = Path(__file__).with_name("frames.tsv").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in content.splitlines()]
    return {language: texts for language, *texts in lines}


def framed(pairs: Sequence[Pair]) -> list[str]:
    """Return the texts, some of them behind or before courtesies of their language."""
    known = _courtesies()
    draw = np.random.default_rng(_SEED)
    chances = draw.random(len(pairs))
    numbers: NDArray[np.int64] = draw.integers(0, 1 << 30, len(pairs))
    texts: list[str] = []
    for pair, chance, number in zip(pairs, chances, map(int, numbers), strict=True):
        own = known.get(pair.language, ())
        if own and chance < _FRAMED:
            courtesy = own[number % len(own)]
            before = number % 3
            texts.append(f"{courtesy}: {pair.text}" if before else f"{pair.text} {courtesy}")
        else:
            texts.append(pair.text)
    return texts
