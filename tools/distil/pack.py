"""Writes the shipped file from a table of floats: product quantisation and digest."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from querybudget.embedding.static import FORMAT

__all__ = ["pack", "rescaled", "unpermuted"]

_CENTRES = 256
_SAMPLE = 16_000
_ROUNDS = 12


def _columns(width: int) -> list[int]:
    """Order columns so that each four have two of high and two of low variance."""
    quarter = width // 4
    return [
        column
        for place in range(quarter)
        for column in (place, width - 1 - place, 2 * quarter - 1 - place, 2 * quarter + place)
    ]


def unpermuted(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows as they are in the file in the order of columns that `pack` takes."""
    table = np.empty_like(rows)
    table[:, _columns(rows.shape[1])] = rows
    return table


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


def _book(
    units: NDArray[np.float32], width: int, factor: float, draw: np.random.Generator
) -> NDArray[np.float32]:
    """Return centres for every group of components, in 8 bits: (group, centre, component)."""
    groups = [
        np.clip(np.round(_centres(part, draw) * factor), -127, 127)
        for part in np.split(units, units.shape[1] // width, axis=1)
    ]
    return np.stack(groups).astype(np.float32)


def _encode(
    units: NDArray[np.float32], book: NDArray[np.float32], factor: float
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return codes (group, row), and the rows that they decode to."""
    parts = np.split(units, len(book), axis=1)
    codes = [_nearest(part, centres / factor) for part, centres in zip(parts, book, strict=True)]
    back = np.concatenate([centres[own] for centres, own in zip(book, codes, strict=True)], axis=1)
    return np.stack(codes).astype(np.uint8), back


def _units(table: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-6)
    units: NDArray[np.float32] = (table / lengths).astype(np.float32)
    return units


def pack(
    tables: tuple[NDArray[np.float32], NDArray[np.float32]],
    pieces: Sequence[str],
    fine: int,
    name: str,
    path: Path,
) -> str:
    """Write the second table, and return its SHA-256, which is also written beside it.

    The first `fine` rows get a code for every 2 components, the others for every 4. The centres are
    fitted to the first table, so a row of both tables is the same whatever else is new.
    """
    draw = np.random.default_rng(0)
    old, table = (one[:, _columns(one.shape[1])] for one in tables)
    factor = 127 / float(np.quantile(np.abs(_units(old)[:fine]), 0.9999))
    arrays: dict[str, NDArray[np.generic]] = {}
    scales = np.empty(len(table), dtype=np.float16)
    for label, width, rows in (("fine", 2, slice(0, fine)), ("coarse", 4, slice(fine, None))):
        book = _book(_units(old[rows]), width, factor, draw)
        codes, back = _encode(_units(table[rows]), book, factor)
        arrays[f"{label}_codes"], arrays[f"{label}_centres"] = codes, book.astype(np.int8)
        fit = (table[rows] * back).sum(1) / np.maximum((back * back).sum(1), 1e-6)
        scales[rows] = np.maximum(fit, 0).astype(np.float16)
    about = {"name": name, "format": FORMAT, "dimensions": table.shape[1], "pieces": len(pieces)}
    arrays["about"] = _json(about)
    arrays["pieces"] = np.frombuffer(zlib.compress("\n".join(pieces).encode(), 9), np.uint8)
    arrays["scales"] = scales
    return _written(arrays, path)


def rescaled(start: Path, factors: Mapping[str, float], name: str, path: Path) -> str:
    """Write the file `start` with the rows of some pieces longer or shorter; return its SHA-256."""
    with np.load(start, allow_pickle=False) as file:
        arrays: dict[str, NDArray[np.generic]] = dict(file)
    pieces = zlib.decompress(arrays["pieces"].tobytes()).decode().split("\n")
    each = np.array([factors.get(piece, 1.0) for piece in pieces], dtype=np.float32)
    arrays["scales"] = (arrays["scales"].astype(np.float32) * each).astype(np.float16)
    arrays["about"] = _json(json.loads(arrays["about"].tobytes()) | {"name": name})
    return _written(arrays, path)


def _json(about: Mapping[str, object]) -> NDArray[np.generic]:
    return np.frombuffer(json.dumps(about).encode(), np.uint8)


def _written(arrays: Mapping[str, NDArray[np.generic]], path: Path) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  {path.name}\n")
    return digest
