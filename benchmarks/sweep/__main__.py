"""Coverage budgets on real prompts: `python -m benchmarks.sweep --corpora DIR --out result.json`.

Runs honest callers and sweeps, plain and by many tricks, as request bodies through the real
adapters, limiter and memory store, on a virtual clock; published detectors on the same streams at
the same rate of honest disturbance; and ablations, each without one view. Every corpus is scored by
weights that have seen no text of its source. docs/research.md defines every figure. No prompt is
printed or written.

Members of the JSON, with shares between 0 and 1 and None for never:

    goals         goal, measured value, whether it is met
    honest        class to identities, disturbed, refused, priced_over_2, p99_price, and their 95 %
                  intervals; `strict` is persons and applications
    sources       the same by source, the worst first
    applications  keys with several applications behind them
    groups        honest groups slowed as pools, by size
    deployment    callers of all sources behind one limiter, by threshold
    thin          thin accounts disturbed, by number of calls and class
    ways          honest ways of working, disturbed
    slowed        sweeps slowed, by class and language, unseen and in-sample
    sweeps        name to class, language, queries_to_slow, slowed_within, obtained, and more
    tricks        trick to what one account obtains of each sweep, and the median
    crowds        what accounts of 15 calls obtain
    baselines     name to source, threshold, honest and sweeps of the same shape
    ablations     view to honest, broad, narrow
    speed         µs added to a call; bytes of an identity's state
    meta          versions, sizes, seconds, which corpora the weights have seen
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.sweep.context import FULL, QUICK, Settings
from benchmarks.sweep.corpora import manifest
from benchmarks.sweep.folds import make_folds
from benchmarks.sweep.meta import meta, seen_sources
from benchmarks.sweep.page import write_page
from benchmarks.sweep.report import show
from benchmarks.sweep.run import run_all
from benchmarks.sweep.scoring import read_fits
from querybudget.errors import PolicyError

DEFAULT_POLICY = "preset:distillation"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.sweep", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--corpora", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--policy", default=DEFAULT_POLICY, help="a file, or preset:NAME")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="a sub-sample, in some minutes")
    parser.add_argument("--html", type=Path, metavar="DIR", help="folder for the page and plots")
    parser.add_argument("--folds", type=Path, help="fits without some sources; made if missing")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    arguments = parser.parse_args(words)
    begun, entries = time.monotonic(), manifest(arguments.corpora)
    seen = seen_sources(entries)
    folds: Path | None = arguments.folds
    if seen and (folds is None or not folds.is_file()):
        folds = make_folds(arguments.corpora, folds or arguments.out.with_suffix(".folds.json"))
    settings = Settings(
        arguments.corpora,
        arguments.policy,
        QUICK if arguments.quick else FULL,
        fits=read_fits(folds, seen),
    )
    try:
        result = run_all(settings, arguments.jobs)
    except PolicyError as error:
        print(error, file=sys.stderr)
        return 2
    result["meta"] = meta(settings, entries, time.monotonic() - begun)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    show(result)
    print(f"\nwritten to {arguments.out}")
    _draw(result, arguments.out.with_suffix(".png"), arguments.html)
    return 0


def _draw(result: dict[str, Any], picture: Path, folder: Path | None) -> None:
    """Write the plots beside the JSON, and the page if `folder` is given."""
    drawn: Path | None = picture
    try:
        from benchmarks.sweep.plots import draw  # noqa: PLC0415 - only this needs matplotlib
    except ImportError:
        print("no plots: they need matplotlib (pip install --group bench)", file=sys.stderr)
        drawn = None
    else:
        draw(result, picture)
        print(f"drawn in {picture}")
    if folder is not None:
        write_page(result, drawn, folder / "sweep.html")
        print(f"page in {folder / 'sweep.html'}")


if __name__ == "__main__":
    sys.exit(main())
