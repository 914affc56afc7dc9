"""How good a table is, on text that it never learnt from."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["agreement", "retrieval"]

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
HELD_OUT = ("ntrex", "xquad")


def _lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().split("\n")


def retrieval(embed: Embed, folder: Path, count: int = 1_000) -> dict[str, dict[str, float]]:
    """For each held-out set and language: how often a text's nearest English one is its own."""
    found: dict[str, dict[str, float]] = {}
    for name in HELD_OUT:
        source = embed(_lines(folder / f"{name}.en.txt.gz")[:count])
        found[name] = {}
        for path in sorted(folder.glob(f"{name}.*.txt.gz")):
            language = path.name.split(".")[1]
            if language != "en":
                foreign = embed(_lines(path)[:count])
                nearest = (foreign @ source.T).argmax(1)
                found[name][language] = float((nearest == np.arange(len(nearest))).mean())
    return found


def agreement(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Correlation of cosines over all pairs of texts, ours with the sentence model's."""
    upper = np.triu_indices(len(ours), 1)
    return float(np.corrcoef((ours @ ours.T)[upper], (theirs @ theirs.T)[upper])[0, 1])
