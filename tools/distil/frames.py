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

__all__ = ["courtesies", "framed", "weights"]

_RARE = 0.008  # share of texts up to which a word counts whole
_FREQUENT = 0.012  # share of texts beyond that at which a word counts half
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
    seen: Counter[str] = Counter()
    count = 0
    for text in texts:
        count += 1
        seen.update(set(runs(text)[0]))
    found = {
        word: _FREQUENT / (_FREQUENT + max(0, times / count - _RARE))
        for word, times in seen.items()
    }
    for share, words in _COURTESIES.items():
        for word in words.split():
            found[word] = min(share, found.get(word, 1.0))
    return found


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
