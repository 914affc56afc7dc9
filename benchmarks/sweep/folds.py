"""Fits without some sources: `python -m benchmarks.sweep.folds --corpora DIR --out folds.json`.

tools/score fits the score once for each fold of the sources. This writes the weights of every fit
and the sources that it has not seen:

    {"fits": [{"unseen": ["a source", ...], "constants": {"coverage.score.WEIGHT": ...}}, ...]}

The benchmark scores each corpus with a fit that saw none of its sources. It makes the file itself
if it is not given one. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sweep.corpora import manifest

__all__ = ["make_folds"]

DRAWS = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.sweep.folds")
    parser.add_argument("--corpora", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    if make_folds(arguments.corpora, arguments.out) is None:
        sys.exit(1)


def make_folds(corpora: Path, out: Path) -> Path | None:
    """Fit without each fold of the sources, and write the weights; None if that cannot be done."""
    try:
        fits = _fits(corpora)
    except ImportError as error:
        print(
            f"no fits without some sources, because {error.name} is not installed:"
            " corpora that the shipped weights have seen are scored in-sample",
            file=sys.stderr,
        )
        return None
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"fits": fits}) + "\n")
    print(f"{len(fits)} fits in {out}", file=sys.stderr)
    return out


def _fits(corpora: Path) -> list[dict[str, Any]]:
    """Return the weights of every fit, by name of constant, and what it has not seen."""
    # Imported by name: only this needs scikit-learn, which has no types.
    every = import_module("tools.score.streams").streams(corpora, DRAWS)
    sources = {entry.name: entry.sources or {entry.name} for entry in manifest(corpora)}
    fits: list[dict[str, Any]] = []
    for held, model in import_module("tools.score.evaluation").folds(every, 0):
        left_out = {str(name) for name in np.unique(every.corpus[held])}
        used = {name for name in sources if name not in left_out}
        known = {source for name in used for source in sources[name]}
        unseen = {source for name in left_out for source in sources[name]} - known
        fits.append({"unseen": sorted(unseen), "constants": _constants(model)})
    return fits


def _constants(model: Any) -> dict[str, Any]:  # noqa: ANN401 - of tools.score
    return {
        "coverage.score.BIAS": float(model.bias),
        "coverage.score.MEAN": model.mean.T.tolist(),
        "coverage.score.SPREAD": np.concatenate([model.spread, model.least[None]]).T.tolist(),
        "coverage.score.WEIGHT": np.stack([model.weight, model.tilt], axis=1).tolist(),
    }


if __name__ == "__main__":
    main()
