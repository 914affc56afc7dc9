"""Into the package: `querybudget.coverage.weights`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import querybudget.coverage.weights as shipped
from querybudget.coverage.score import FEATURES
from tools.score.model import CAP, CLIP, FLOOR, Floats, Model


def write(final: Model, suspect: float, pools: list[tuple[int, float]], corpora: list[str]) -> None:
    def rows(values: Floats) -> str:
        return "\n".join(
            "    (" + ", ".join(f"{v:.6g}" for v in row) + "),  # " + name
            for name, row in zip(FEATURES, values, strict=True)
        )

    spread = np.concatenate([final.spread, final.least[None]]).T
    weight = np.stack([final.weight, final.tilt], axis=1)
    text = f'''"""The sweep score's numbers. Made by tools/score: do not edit.

Fitted on {len(corpora)} corpora of prompts, gateways left out.
"""

from __future__ import annotations

CORPORA = ({", ".join(json.dumps(str(name)) for name in corpora)})
"""Names of the corpora that it was fitted on."""

BIAS = {final.bias:.6g}
CAP, FLOOR, CLIP = {CAP}, {FLOOR}, {CLIP}
SUSPECT = {suspect:.4g}
POOL_SUSPECT = {tuple((most, round(needed, 4)) for most, needed in pools)!r}
"""(most identities, evidence that is suspect); 0 for any number."""

MEAN = (
{rows(final.mean.T)}
)
"""Honest callers' mean of each rate: 1, ln n and ln^2 n."""

SPREAD = (
{rows(spread)}
)
"""Their standard deviation, likewise, and its least value."""

WEIGHT = (
{rows(weight)}
)
"""Weight of each rate at 100 calls, and what (ln n - ln 100) / 2 adds to it."""
'''
    Path(shipped.__file__).write_text(text)
