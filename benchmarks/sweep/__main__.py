"""Coverage budgets on real prompts: `python -m benchmarks.sweep --corpora DIR --out result.json`.

Runs honest callers, sweeps, cover traffic and pools through the real limiter and the memory store,
on a virtual clock; published detectors on the same streams at the same rate of honest disturbance;
and ablations, each without one signal. docs/research.md defines every figure. No prompt is printed
or written.

Members of the JSON, with shares between 0 and 1 and None for never:

    honest      class to identities, disturbed, refused, priced_over_2, p99_price, and their
                95 % intervals
    sweeps      name to class, language, prompts, queries_to_slow, slowed_within, obtained by way
                and number of accounts, cost_multiplier, and more
    baselines   name to source, threshold, honest and sweeps of the same shape
    ablations   signal to honest, broad, narrow
    dilution    sweep to own queries before the first slowdown, by template and share of cover
    pools       accounts until a pool is slowed; honest groups slowed
    slowed      by class and split, and by language
    speed       µs added to a call
    goals       goal, measured value, whether it is met
    meta        versions, sizes, seconds, split of tuned and held-out corpora
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
from benchmarks.sweep.meta import meta, tuned_corpora
from benchmarks.sweep.page import write_page
from benchmarks.sweep.report import show
from benchmarks.sweep.run import run_all
from querybudget.errors import PolicyError

DEFAULT_POLICY = "preset:distillation"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.sweep", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--corpora", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--policy", default=DEFAULT_POLICY, help="a file, or preset:NAME")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="a sub-sample: under two minutes")
    parser.add_argument("--html", type=Path, metavar="DIR", help="folder for the page and plots")
    parser.add_argument("--folds", type=Path, help="from benchmarks.sweep.folds: cross-validate")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    arguments = parser.parse_args(words)
    settings = Settings(
        arguments.corpora,
        arguments.policy,
        QUICK if arguments.quick else FULL,
        folds=_folds(arguments.folds),
    )
    begun, entries = time.monotonic(), manifest(arguments.corpora)
    try:
        tuned = tuned_corpora() - settings.folds.keys()
        result = run_all(settings, arguments.jobs, tuned)
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


def _folds(path: Path | None) -> dict[str, dict[str, Any]]:
    """Return, by corpus, the weights of a fit that has not seen it.

    The file holds ``fits``, a list of weights, and ``of``, corpus names to indexes in it.
    """
    if path is None:
        return {}
    found = json.loads(path.read_text())
    return {name: found["fits"][place] for name, place in found["of"].items()}


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
