"""Measures a table on text that it was not trained on."""

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
    """Return, per held-out set and language, how often a text's translation is the nearest."""
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
    """Return the correlation of all cosines between texts with those of the sentence model."""
    upper = np.triu_indices(len(ours), 1)
    return float(np.corrcoef((ours @ ours.T)[upper], (theirs @ theirs.T)[upper])[0, 1])
