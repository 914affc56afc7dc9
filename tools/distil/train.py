"""Trains the table: sums of pieces' vectors approximate the sentence model's vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, normalize

from querybudget.embedding.wordpiece import WordPiece

__all__ = ["Bags", "Lessons", "even", "train"]

_SHARPNESS = 20.0
_BATCH = 1_024
_ANCHOR = 15.0  # how much a change to English costs against a gain elsewhere
_SEED = 20_261


@dataclass(frozen=True, slots=True)
class Bags:
    """Texts as rows of the table: those of text n are `rows[starts[n]:starts[n + 1]]`."""

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, pieces: WordPiece, texts: Sequence[str]) -> Bags:
        """Cut each text into pieces."""
        cut = [pieces.rows(text)[:256] for text in texts]
        starts = np.zeros(len(cut) + 1, dtype=np.int64)
        np.cumsum([len(rows) for rows in cut], out=starts[1:])
        return cls(np.array([row for rows in cut for row in rows], dtype=np.int64), starts)

    def take(self, which: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows and offsets of some texts, as EmbeddingBag takes them."""
        lengths = self.starts[which + 1] - self.starts[which]
        offsets = np.cumsum(lengths) - lengths
        places = np.repeat(self.starts[which] - offsets, lengths) + np.arange(int(lengths.sum()))
        return torch.from_numpy(self.rows[places]), torch.from_numpy(offsets)


@dataclass(frozen=True, slots=True)
class Lessons:
    """Training data.

    Attributes:
        english: English texts, each once.
        targets: The sentence model's unit vectors for them.
        foreign: Texts in other languages, cut as at run time.
        foreign_cut: The same, cut into shorter pieces, so that parts of words are trained too.
        foreign_english: For each, the index of its English text.
        chances: Running sums of how often each is trained.
        words: Glossed words; `words_cut` the same in shorter pieces; `glosses` their English.
    """

    english: Bags
    targets: NDArray[np.float32]
    foreign: Bags
    foreign_cut: Bags
    foreign_english: NDArray[np.int64]
    chances: NDArray[np.float64]
    words: Bags
    words_cut: Bags
    glosses: Bags


def even(count: int) -> NDArray[np.float64]:
    """Return the running sums of equal chances."""
    return np.arange(1, count + 1) / count


def _against(left: torch.Tensor, right: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """Return the contrastive loss between two sets of rows; equal other rows do not count."""
    logits = (left @ right.T * _SHARPNESS).masked_fill(same, -1e4)
    aim = torch.arange(len(left))
    return (cross_entropy(logits, aim) + cross_entropy(logits.T, aim)) / 2


def train(
    start: NDArray[np.float32], lessons: Lessons, epochs: float, rate: float
) -> NDArray[np.float32]:
    """Train a first table; the same start and data give the same table on one machine."""
    torch.manual_seed(_SEED)
    draw = np.random.default_rng(_SEED)
    bag = torch.nn.EmbeddingBag.from_pretrained(
        torch.from_numpy(start.copy()), freeze=False, mode="sum", sparse=True
    )
    optimiser = torch.optim.SparseAdam(list(bag.parameters()), lr=rate)
    targets = torch.from_numpy(lessons.targets)
    count = len(lessons.foreign_english)
    steps = int(epochs * count) // _BATCH
    order = np.arange(count)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - step / steps) + rate * 0.02
        if step % (count // _BATCH) == 0:
            order = draw.permutation(count)
        at = step * _BATCH % (count - _BATCH)
        which = order[at : at + _BATCH]
        own = lessons.foreign_english[which]
        alone = draw.integers(0, len(targets), _BATCH)
        bags = lessons.foreign_cut if draw.random() < 0.25 else lessons.foreign
        foreign = normalize(bag(*bags.take(which)), dim=1)
        places = np.concatenate([own, alone])
        english = normalize(bag(*lessons.english.take(places)), dim=1)
        aims = targets[places]
        same = torch.from_numpy((own[:, None] == own[None, :]) & ~np.eye(len(own), dtype=np.bool_))
        mine = english[: len(own)]
        loss = _against(foreign, mine, same) + (1 - (foreign * aims[: len(own)]).sum(1)).mean()
        loss = loss + _ANCHOR * (1 - (english * aims).sum(1)).mean()
        words = draw.integers(0, len(lessons.words.starts) - 1, _BATCH // 2)
        cut = lessons.words_cut if draw.random() < 0.3 else lessons.words
        known = normalize(bag(*cut.take(words)), dim=1)
        with torch.no_grad():
            meant = normalize(bag(*lessons.glosses.take(words)), dim=1)
        loss = loss + (1 - (known * meant).sum(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 0:
            print(step, steps, round(float(loss.detach()), 4), flush=True)
    table: NDArray[np.float32] = bag.weight.detach().numpy()
    return table
