"""Fits for cross-validation: `python -m benchmarks.sweep.folds --corpora DIR --out folds.json`.

tools/score fits the score once for each fold of the corpora. This writes the weights of every fit
and the corpora that it has not seen. `python -m benchmarks.sweep --folds folds.json` then scores
each corpus with a fit that saw neither it nor the others of its fold, at the shipped threshold.
Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["numbers"]

DRAWS = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.sweep.folds")
    parser.add_argument("--corpora", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    # Imported by name: only this needs scikit-learn, which has no types.
    every = import_module("tools.score.streams").streams(arguments.corpora, DRAWS)
    fits: list[dict[str, Any]] = []
    of: dict[str, int] = {}
    for held, model in import_module("tools.score.evaluation").folds(every, 0):
        of.update((str(name), len(fits)) for name in np.unique(every.corpus[held]))
        fits.append(numbers(model))
    arguments.out.write_text(json.dumps({"fits": fits, "of": of}) + "\n")
    print(f"{len(fits)} fits, {len(of)} corpora: {arguments.out}")


def numbers(model: Any) -> dict[str, Any]:  # noqa: ANN401 - of tools.score
    """Return the weights of a fit, by their names in `querybudget.coverage.weights`."""
    return {
        "BIAS": float(model.bias),
        "MEAN": model.mean.T.tolist(),
        "SPREAD": np.concatenate([model.spread, model.least[None]]).T.tolist(),
        "WEIGHT": np.stack([model.weight, model.tilt], axis=1).tolist(),
    }


if __name__ == "__main__":
    main()
