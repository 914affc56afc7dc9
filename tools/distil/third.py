"""Third round: more languages, and small vectors for what stands around a prompt's subject.

It starts from the file that the second round wrote. English rows keep their directions and are
shortened by `frames.weights`; the rows of other languages are trained anew, against that.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from querybudget.embedding.static import _read
from querybudget.embedding.wordpiece import CONTINUATION, UNSPACED, WordPiece
from tools.distil import frames, sources, vocabulary
from tools.distil.first import english_vectors
from tools.distil.model import MODEL
from tools.distil.names import names
from tools.distil.pack import unpermuted
from tools.distil.refine import english_rows, mixed, refine
from tools.distil.second import English, glossary, more_pieces
from tools.distil.sources import Gloss, Pair
from tools.distil.train import Bags, Lessons
from tools.distil.vocabulary import MAIN, learnable, runs, short

__all__ = ["lengths", "third_round"]

Table = NDArray[np.float32]

STEPS = 1_500
RATE = 0.008
WORDS = 11_500  # new pieces that start a word
LONGEST = 20
_ENDINGS = 3_000  # new pieces that stand inside a word
_SEEN = 3  # texts that have a word, to make it a piece
_SOLID = 1_500  # pieces of Burmese, Khmer and Lao
_IS_SOLID = re.compile("[\u0e80-\u0eff\u1000-\u109f\u1780-\u17d3]")
_LESS_TEXT = {"ar", "bn", "fa", "hi", "ja", "ko", "sw", "ta", "th", "ur", "vi"}
_WANTED = {"ar", "ja", "ko", "sw", "th", "vi"}  # trained more often than their text is long
_MOST = 25_000  # pairs of one language
_SENTENCE = 30  # characters of an English text whose words count as frequent or not
_COMMON, _CONTENT = 0.03, 0.005  # shares of a language's texts: at which a word counts half, fully
_ALIGNED = 2.0  # a word's share in the vectors of its sentences, over that in one of many words
_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class _Given:
    pairs: list[Pair]
    named: list[Pair]
    written: list[Pair]
    glosses: list[Gloss]
    english: list[str]
    ranked: list[str]


def _given(parallel: Path, lexicon: Path, downloads: Path) -> _Given:
    pairs = sources.more_pairs(parallel, downloads)
    alone = sources.english(downloads)
    glosses = sources.glosses(lexicon, downloads)
    english = list(dict.fromkeys([*(pair.english for pair in pairs), *alone]))
    return _Given(
        pairs=pairs,
        named=names(downloads, (*sources.LANGUAGES, *sources.MORE)),
        written=glossary(Path(__file__).parent / "glossary.tsv"),
        glosses=glosses,
        english=english,
        ranked=vocabulary.candidates(pairs, glosses, english, 400_000),
    )


def _at_most(pairs: Iterable[Pair]) -> list[Pair]:
    draw = random.Random(0)
    by_language: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_language.setdefault(pair.language, []).append(pair)
    return [
        pair
        for own in by_language.values()
        for pair in (own if len(own) <= _MOST else draw.sample(own, _MOST))
    ]


def _new_pieces(pieces: Sequence[str], given: _Given, pairs: Iterable[Pair]) -> list[str]:
    seen: Counter[str] = Counter()
    for pair in pairs:
        if pair.language in sources.MORE or pair.language in _LESS_TEXT:
            seen.update(set(runs(pair.text)[0]))
    frequent = [
        word
        for word, count in seen.most_common()
        if count >= _SEEN and not any(map(str.isdigit, word))
    ]
    first = [word for text in frames.courtesies() for part in runs(text) for word in part]
    solid = [piece for piece in given.ranked if _IS_SOLID.match(piece)][:_SOLID]
    english = English(given.english)
    heads = more_pieces(pieces, [*first, *solid, *frequent], english, WORDS, LONGEST)
    known = set(pieces)
    foreign = [
        piece
        for piece in given.ranked
        if piece not in known and not piece.removeprefix(CONTINUATION).isascii()
    ]
    endings = [piece for piece in foreign if piece.startswith(CONTINUATION)][:_ENDINGS]
    signs = [piece for piece in foreign if len(piece.removeprefix(CONTINUATION)) == 1]
    unspaced = re.compile(f"[{UNSPACED}]").match
    parts = sorted({sign for piece in heads if unspaced(piece) for sign in piece})
    return [
        piece for piece in dict.fromkeys([*heads, *endings, *signs, *parts]) if piece not in known
    ]


def _chances(pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Return running sums: a language is trained by the root of its number of pairs."""
    counts = Counter(pair.language for pair in pairs)
    shares = np.array(
        [
            counts[pair.language] ** -0.5
            * (2.0 if pair.language in MAIN else 1.0)
            * (1.5 if pair.language in _WANTED else 1.0)
            for pair in pairs
        ]
    )
    sums: NDArray[np.float64] = np.cumsum(shares / shares.sum())
    return sums


def _numbered(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(pair.language, len(numbers)) for pair in pairs])


def _shortened(
    table: Table, frozen: NDArray[np.bool_], foreign: Bags, language: NDArray[np.int64]
) -> Table:
    """Shorten the rows of other languages' frequent words, as a start."""
    share = np.zeros(len(table))
    for number in range(int(language.max()) + 1):
        texts = np.flatnonzero(language == number)
        rows = foreign.take(texts)[0].numpy()
        share = np.maximum(share, np.bincount(rows, minlength=len(table)) / len(texts))
    kept = _COMMON / (_COMMON + np.maximum(0, share - _CONTENT))
    return (table * np.where(frozen, 1.0, kept)[:, None]).astype(np.float32)


def _guessed(table: Table, lessons: Lessons, language: NDArray[np.int64]) -> Table:
    """Give empty rows the mean of the English sentences that they stand in.

    Sentences count by how they differ from the mean of their language's: frequent words stay small.
    """
    meant = lessons.targets[lessons.foreign_english]
    means = np.zeros((int(language.max()) + 1, table.shape[1]), dtype=np.float32)
    np.add.at(means, language, meant)
    means /= np.bincount(language)[:, None]
    total, times = torch.zeros(table.shape), torch.zeros(len(table))
    for bags in (lessons.foreign, lessons.foreign_cut):
        for part in np.array_split(np.arange(len(language)), len(language) // _CHUNK + 1):
            lengths = bags.starts[part + 1] - bags.starts[part]
            rows, _ = bags.take(part)
            differs = np.repeat(meant[part] - means[language[part]], lengths, axis=0)
            total.index_add_(0, rows, torch.from_numpy(differs))
            times.index_add_(0, rows, torch.ones(len(rows)))
    empty = np.linalg.norm(table, axis=1) == 0
    aligned = (_ALIGNED * total / (times[:, None] + 1)).numpy()
    return np.where(empty[:, None], aligned, table).astype(np.float32)


def lengths(parallel: Path, downloads: Path) -> dict[str, float]:
    """Return by how much to lengthen the rows of a file of the former third round."""
    pairs = sources.more_pairs(parallel, downloads)
    return frames.lengths(_sentences(pairs, sources.english(downloads)))


def _sentences(pairs: Iterable[Pair], alone: Iterable[str]) -> list[str]:
    sentences = [pair.english for pair in pairs if len(pair.english) > _SENTENCE]
    return [*dict.fromkeys(sentences), *alone]


def _weighted(
    table: Table, pieces: Sequence[str], frozen: NDArray[np.bool_], given: _Given
) -> Table:
    """Shorten the rows of frequent English words and courtesies."""
    alone = given.english[len({pair.english for pair in given.pairs}) :]
    shares = frames.weights(_sentences(given.pairs, alone))
    kept = [
        shares.get(piece, 1.0) if own else 1.0 for piece, own in zip(pieces, frozen, strict=True)
    ]
    return (table * np.array(kept)[:, None]).astype(np.float32)


def third_round(
    start: Path, parallel: Path, lexicon: Path, downloads: Path
) -> tuple[list[str], Table, Table, int]:
    """Return pieces, the table before and after training, and the number of Latin pieces."""
    given = _given(parallel, lexicon, downloads)
    old = _read(start.read_bytes())
    latin = len(vocabulary.latin(MODEL))
    table = unpermuted(old.rows.astype(np.float32) * old.scales[:, None])
    used = english_rows(WordPiece(old.pieces), given.english, latin)
    table = _weighted(table, old.pieces, used, given)
    pairs = _at_most(given.pairs)
    added = _new_pieces(old.pieces, given, pairs)
    pieces = [*old.pieces, *added]
    table = np.concatenate([table, np.zeros((len(added), table.shape[1]), np.float32)])
    pairs += [*given.named, *given.written]
    every = WordPiece(pieces)
    frozen = english_rows(every, given.english, latin)
    foreign = Bags.of(every, frames.framed(pairs))
    table = _shortened(table, frozen, foreign, _numbered(pairs))
    lessons = _lessons(table, pieces, pairs, foreign, given)
    table = _guessed(table, lessons, _numbered(pairs))
    return pieces, table, refine(table, frozen, lessons, STEPS, RATE), latin


def _lessons(
    table: Table, pieces: Sequence[str], pairs: list[Pair], foreign: Bags, given: _Given
) -> Lessons:
    every, cut = WordPiece(pieces), short(pieces)
    english = list(dict.fromkeys([*given.english, *(pair.english for pair in pairs)]))
    place = {text: number for number, text in enumerate(english)}
    named = [pair for pair in given.named if pair.language in sources.LANGUAGES]
    written = [Gloss(*astuple(pair)) for pair in given.written]
    glosses = [*given.glosses, *(Gloss(*astuple(pair)) for pair in named), *written]
    words = learnable(every, every, glosses) + learnable(every, every, written) * 4
    return Lessons(
        english=Bags.of(every, english[:2]),
        targets=english_vectors(every, table, english),
        foreign=foreign,
        foreign_cut=mixed(every, cut, frames.framed(pairs)),
        foreign_english=np.array([place[pair.english] for pair in pairs]),
        chances=_chances(pairs),
        words=Bags.of(every, [gloss.word for gloss in words]),
        words_cut=Bags.of(cut, [gloss.word for gloss in words]),
        glosses=Bags.of(every, [gloss.english for gloss in words]),
    )
