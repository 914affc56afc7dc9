"""Fits without some sources: `python -m benchmarks.sweep.folds --corpora DIR --out folds.json`.

`tools.score.folds.fits` fits the score once for each fold of the sources, and returns for each fit
the sources that it has not seen and the constants that it changes, by module in querybudget and
name. This writes them:

    {"fits": [{"unseen": ["a source", ...], "constants": {"coverage.evidence.BIAS": ...}}, ...]}

Every name that holds a fitted value is listed: modules that import a constant have their own. The
benchmark scores each corpus with a fit that saw none of its sources. It makes the file itself if it
is not given one. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

__all__ = ["make_folds"]


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
        # Imported by name: only this needs scikit-learn, which has no types.
        fits = import_module("tools.score.folds").fits(corpora)
    except ImportError as error:
        print(
            f"no fits without some sources, because there is no {error.name}:"
            " corpora that the shipped weights have seen are scored in-sample",
            file=sys.stderr,
        )
        return None
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"fits": fits}) + "\n")
    print(f"{len(fits)} fits in {out}", file=sys.stderr)
    return out


if __name__ == "__main__":
    main()
