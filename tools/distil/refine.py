"""Second round of training, for the other languages; English rows stay the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, normalize

from querybudget.embedding.wordpiece import WordPiece
from tools.distil.train import Bags, Lessons
from tools.distil.vocabulary import runs

__all__ = ["english_rows", "mixed", "refine"]

_SEED = 4
_BATCH = 1_024
_OTHERS = 1_024  # English texts that each foreign one must tell its own from, beside its batch's
_SHARPNESS = 20.0
_DROPPED = 0.15  # share of pieces that a text loses at random, so that it leans on none
_CUT = 0.3  # share of words cut into shorter pieces than at run time
_DECAY = 0.02


def mixed(every: WordPiece, short: WordPiece, texts: Sequence[str]) -> Bags:
    """Return texts cut as at run time, except some words that are cut shorter."""
    draw = np.random.default_rng(_SEED)
    rows: list[int] = []
    starts = [0]
    for text in texts:
        words, unspaced = runs(text)
        for word, cut in zip(
            [*words, *unspaced], draw.random(len(words) + len(unspaced)), strict=True
        ):
            rows += (short if cut < _CUT else every).rows(word)
        starts.append(len(rows))
    return Bags(np.array(rows, dtype=np.int64), np.array(starts, dtype=np.int64))


def _thinned(
    bags: Bags, which: NDArray[np.int64], draw: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, offsets = bags.take(which)
    weights = torch.from_numpy((draw.random(len(rows)) >= _DROPPED).astype(np.float32))
    return rows, offsets, weights


def english_rows(every: WordPiece, texts: Iterable[str], latin: int) -> NDArray[np.bool_]:
    """Return the rows that any English text uses."""
    used = np.zeros(every.size, dtype=np.bool_)
    used[:latin] = True
    for text in texts:
        used[every.rows(text)] = True
    return used


def refine(
    table: NDArray[np.float32],
    frozen: NDArray[np.bool_],
    lessons: Lessons,
    steps: int,
    rate: float,
) -> NDArray[np.float32]:
    """Train the rows that are not frozen; `lessons.targets` are the vectors by the frozen rows."""
    torch.manual_seed(_SEED)
    draw = np.random.default_rng(_SEED)
    bag = torch.nn.EmbeddingBag.from_pretrained(
        torch.from_numpy(table.copy()), freeze=False, mode="sum", sparse=True
    )
    free = torch.from_numpy(~frozen).to(torch.float32)[:, None]
    optimiser = torch.optim.SparseAdam(list(bag.parameters()), lr=rate)
    targets = torch.from_numpy(lessons.targets)
    with torch.no_grad():
        parts = np.array_split(np.arange(len(lessons.glosses.starts) - 1), 64)
        meant = torch.cat([normalize(bag(*lessons.glosses.take(part)), dim=1) for part in parts])
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - step / steps) + rate * _DECAY
        which = np.searchsorted(lessons.chances, draw.random(_BATCH), side="right")
        own = lessons.foreign_english[which]
        pool = np.concatenate([own, draw.integers(0, len(targets), _OTHERS)])
        bags = lessons.foreign if draw.random() < 0.5 else lessons.foreign_cut
        rows, offsets, weights = _thinned(bags, which, draw)
        foreign = normalize(bag(rows, offsets, per_sample_weights=weights), dim=1)
        same = torch.from_numpy(own[:, None] == pool[None, :])
        same[torch.arange(len(own)), torch.arange(len(own))] = False
        logits = (foreign @ targets[pool].T * _SHARPNESS).masked_fill(same, -1e4)
        loss = cross_entropy(logits, torch.arange(len(own)))
        loss = loss + cross_entropy(logits[:, : len(own)].T, torch.arange(len(own)))
        loss = loss + (1 - (foreign * targets[own]).sum(1)).mean()
        words = draw.integers(0, len(meant), _BATCH // 2)
        cut = lessons.words_cut if draw.random() < 0.5 else lessons.words
        known = normalize(bag(*cut.take(words)), dim=1)
        loss = loss + 2 * (1 - (known * meant[words]).sum(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        grad = bag.weight.grad
        if grad is not None:
            grad = grad.coalesce()
            values = grad.values() * free[grad.indices()[0]]
            bag.weight.grad = torch.sparse_coo_tensor(
                grad.indices(), values, grad.shape, check_invariants=False
            )
        optimiser.step()
        if step % 100 == 0:
            print(step, steps, round(float(loss.detach()), 4), flush=True)
    refined: NDArray[np.float32] = bag.weight.detach().numpy()
    return refined
