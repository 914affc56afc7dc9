"""From a table of floats to the file that ships: product quantisation, and its digest."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from querybudget.embedding.static import FORMAT

__all__ = ["pack"]

_CENTRES = 256
_SAMPLE = 16_000
_ROUNDS = 12


def _columns(width: int) -> list[int]:
    """Every four columns hold two of much variance and two of little, so that codes are well used."""
    quarter = width // 4
    return [
        column
        for place in range(quarter)
        for column in (place, width - 1 - place, 2 * quarter - 1 - place, 2 * quarter + place)
    ]


def _nearest(points: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    scores = points @ centres.T - (centres * centres).sum(1) / 2
    nearest: NDArray[np.int64] = scores.argmax(1)
    return nearest


def _centres(points: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
    sample = points[draw.permutation(len(points))[:_SAMPLE]]
    centres = sample[:_CENTRES].copy()
    for _ in range(_ROUNDS):
        own = _nearest(sample, centres)
        counts = np.bincount(own, minlength=_CENTRES)
        for column in range(points.shape[1]):
            sums = np.bincount(own, weights=sample[:, column], minlength=_CENTRES)
            centres[:, column] = np.where(counts, sums / np.maximum(counts, 1), centres[:, column])
    return centres


def _quantise(
    units: NDArray[np.float32], width: int, factor: float, draw: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.float32]]:
    """Codes (column group, row), centres (group, centre, component), and the rows they stand for."""
    groups = units.shape[1] // width
    codes = np.empty((groups, len(units)), dtype=np.uint8)
    centres = np.empty((groups, _CENTRES, width), dtype=np.int8)
    back = np.empty_like(units)
    for group in range(groups):
        part = np.ascontiguousarray(units[:, group * width : (group + 1) * width])
        rounded = np.clip(np.round(_centres(part, draw) * factor), -127, 127)
        own = _nearest(part, (rounded / factor).astype(np.float32))
        centres[group], codes[group] = rounded.astype(np.int8), own.astype(np.uint8)
        back[:, group * width : (group + 1) * width] = rounded[own]
    return codes, centres, back


def pack(
    table: NDArray[np.float32], pieces: Sequence[str], fine: int, name: str, path: Path
) -> str:
    """Write the file; its SHA-256, which is also written beside it.

    The first `fine` rows get a code for every 2 components, the others for every 4.
    """
    draw = np.random.default_rng(0)
    table = table[:, _columns(table.shape[1])]
    lengths = np.maximum(np.linalg.norm(table, axis=1), 1e-6)
    units = (table / lengths[:, None]).astype(np.float32)
    factor = 127 / float(np.quantile(np.abs(units[:fine]), 0.9999))
    arrays: dict[str, NDArray[np.generic]] = {}
    scales = np.empty(len(table), dtype=np.float16)
    for label, width, rows in (("fine", 2, slice(0, fine)), ("coarse", 4, slice(fine, None))):
        codes, centres, back = _quantise(units[rows], width, factor, draw)
        arrays[f"{label}_codes"], arrays[f"{label}_centres"] = codes, centres
        fit = (table[rows] * back).sum(1) / np.maximum((back * back).sum(1), 1e-6)
        scales[rows] = np.maximum(fit, 0).astype(np.float16)
    about = {"name": name, "format": FORMAT, "dimensions": table.shape[1], "pieces": len(pieces)}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    words = zlib.compress("\n".join(pieces).encode(), 9)
    arrays["pieces"] = np.frombuffer(words, np.uint8)
    arrays["scales"] = scales
    np.savez(path, **arrays)  # type: ignore[arg-type]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  {path.name}\n")
    return digest
