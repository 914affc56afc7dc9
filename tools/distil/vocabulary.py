"""Chooses the pieces: the sentence model's Latin ones, and those of other languages."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, trainers

from querybudget.embedding.wordpiece import (
    CONTINUATION,
    SEPARATORS,
    UNSPACED,
    WordPiece,
    normalise,
)
from tools.distil.sources import Gloss, Pair

__all__ = ["candidates", "latin", "learnable", "runs", "short"]

MAIN = {
    "zh",
    "ja",
    "ko",
    "ru",
    "ar",
    "hi",
    "de",
    "fr",
    "es",
    "pt",
    "it",
    "tr",
    "vi",
    "id",
    "th",
    "nl",
}
_RUNS = re.compile(f"([{UNSPACED}]+)|([^{SEPARATORS}{UNSPACED}]+)")
_LATIN = re.compile(r"(##)?[a-z0-9]+")
_PICTURE = "xx"
_RUNNING = ("zh", "ja", "th", "km", "my")  # languages without spaces between words


def runs(text: str) -> tuple[list[str], list[str]]:
    """Return the words of a text, and its runs of scripts without spaces."""
    words: list[str] = []
    unspaced: list[str] = []
    for match in _RUNS.finditer(normalise(text)):
        (unspaced if match.lastindex == 1 else words).append(match[0])
    return words, unspaced


def latin(model: Path) -> list[str]:
    """Return the sentence model's pieces of letters a-z and digits, in its order (by frequency)."""
    vocabulary: dict[str, int] = json.loads((model / "tokenizer.json").read_text())["model"][
        "vocab"
    ]
    return [
        piece for piece in sorted(vocabulary, key=vocabulary.__getitem__) if _LATIN.fullmatch(piece)
    ]


def _word_pieces(counts: Counter[str], size: int) -> list[str]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=4, limit_alphabet=1_500, show_progress=False
    )
    tokenizer.train_from_iterator(
        (word for word, count in sorted(counts.items()) for _ in range(min(count, 30))), trainer
    )
    return [piece for piece in tokenizer.get_vocab() if piece != CONTINUATION]


def _run_pieces(counts: Counter[str], size: int) -> list[str]:
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=4, max_token_length=6, show_progress=False
    )
    tokenizer.train_from_iterator(
        (run for run, count in sorted(counts.items()) for _ in range(min(count, 30))), trainer
    )
    return list(tokenizer.get_vocab())


def candidates(
    pairs: Sequence[Pair], glosses: Sequence[Gloss], english: Iterable[str], size: int
) -> list[str]:
    """Return at most `size` further pieces, the most useful first."""
    worth: Counter[str] = Counter()
    words: Counter[str] = Counter()
    unspaced: dict[str, Counter[str]] = {code: Counter() for code in _RUNNING}
    for text in english:
        worth.update(_without_digits(runs(text)[0]))
    for pair in pairs:
        spaced, solid = runs(pair.text)
        words.update(_without_digits(spaced))
        for run in solid if pair.language in unspaced else ():
            unspaced[pair.language][run] += 1
            for sign in run:
                worth[sign] += 2
    _count_glossed(glosses, worth, words)
    for word, count in words.items():
        worth[word] += count
    for piece in _word_pieces(words, 40_000):
        alone = len(piece.removeprefix(CONTINUATION)) == 1
        worth[piece] += 112 if alone else 12
    for counts in unspaced.values():
        for piece in _run_pieces(counts, 9_000):
            worth[piece] += 8
    return [piece for piece, _ in sorted(worth.items(), key=lambda item: (-item[1], item[0]))][
        :size
    ]


def _without_digits(words: Iterable[str]) -> list[str]:
    return [word for word in words if not any(map(str.isdigit, word))]


def _count_glossed(glosses: Sequence[Gloss], worth: Counter[str], words: Counter[str]) -> None:
    ranks: Counter[str] = Counter()
    for gloss in glosses:
        ranks[gloss.language] += 1
        spaced, solid = runs(gloss.word)
        if len(spaced) + len(solid) != 1:
            continue
        share = 1 if gloss.language in MAIN else 0.35
        if len(gloss.word) > 1 or gloss.language != "zh":
            worth[(spaced + solid)[0]] += int(40_000 * share / (ranks[gloss.language] + 400)) + 1
        if spaced:
            words[spaced[0]] += 2
        elif gloss.language in _RUNNING:
            for sign in gloss.word:
                worth[sign] += 1
        if gloss.language == _PICTURE:
            worth[gloss.word] += 1_000


def short(pieces: Sequence[str]) -> WordPiece:
    """Return the same rows without the longer pieces."""
    unspaced = re.compile(f"[{UNSPACED}]")
    return WordPiece(
        [
            piece
            if len(piece) <= 2
            or (piece.startswith(CONTINUATION) and len(piece) <= 6)
            or (len(piece) <= 4 and not unspaced.match(piece))
            else ""
            for piece in pieces
        ]
    )


def learnable(every: WordPiece, english: WordPiece, glosses: Sequence[Gloss]) -> list[Gloss]:
    """Return the glosses of which both sides have pieces."""
    return [gloss for gloss in glosses if every.rows(gloss.word) and english.rows(gloss.english)]
