"""Campaigns: `python -m benchmarks.campaign --corpora DIR --accounts N --out result.json`.

Sends a campaign of many accounts, and the honest callers beside it, as requests through the real
adapters, limiter, profiles and memory store, on a virtual clock of some days. docs/research.md
defines every figure. No prompt is printed or written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.campaign.goals import goals
from benchmarks.campaign.page import before, show
from benchmarks.campaign.processes import figures_of
from benchmarks.campaign.run import planned
from benchmarks.campaign.scenarios import FULL, QUICK
from benchmarks.sweep import context
from benchmarks.sweep.corpora import manifest
from benchmarks.sweep.folds import make_folds
from benchmarks.sweep.meta import meta, seen_sources
from benchmarks.sweep.scoring import read_fits
from querybudget.errors import PolicyError

DEFAULT_POLICY = str(Path(__file__).with_name("policy.yaml"))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.campaign", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--corpora", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--accounts", type=int, help="accounts of a campaign (1,000)")
    parser.add_argument("--policy", default=DEFAULT_POLICY, help="a file, or preset:NAME")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="a sub-sample, in some minutes")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only this one")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument("--folds", type=Path, help="fits without some sources; made if missing")
    parser.add_argument("--add", action="store_true", help="keep the other scenarios in --out")
    parser.add_argument("--before", type=Path, help="an earlier result, to show beside this one")
    parser.add_argument("--seen", type=Path, help="file that keeps what prompts show between runs")
    arguments = parser.parse_args(words)
    begun, entries = time.monotonic(), manifest(arguments.corpora)
    size = QUICK if arguments.quick else FULL
    if arguments.accounts:
        size = replace(size, accounts=arguments.accounts)
    every = planned(size, entries)
    wanted = [one for one in every if one.name in (arguments.scenario or [one.name])]
    if not wanted:
        print("expected one of " + ", ".join(one.name for one in every), file=sys.stderr)
        return 2
    order = [one.name for one in planned(FULL, entries)]
    seen = seen_sources(entries)
    folds: Path | None = arguments.folds
    if seen and (folds is None or not folds.is_file()):
        folds = make_folds(arguments.corpora, folds or arguments.out.with_suffix(".folds.json"))
    settings = context.Settings(
        arguments.corpora, arguments.policy, context.FULL, fits=read_fits(folds, seen)
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    if arguments.add and arguments.out.is_file():
        found = json.loads(arguments.out.read_bytes())["scenarios"]
    result: dict[str, Any] = {}
    try:  # what is done is kept, if the rest is not awaited
        for name, figures in figures_of(settings, size, wanted, arguments.jobs, arguments.seen):
            found[name] = figures
            about = meta(settings, entries, time.monotonic() - begun) | {"size": asdict(size)}
            ordered = {one: found[one] for one in order if one in found}
            result = {"goals": goals(found), "scenarios": ordered, "meta": about}
            if arguments.before:
                earlier = json.loads(arguments.before.read_bytes())
                result["before"] = earlier.get("before") or before(earlier)
            arguments.out.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    except PolicyError as error:
        print(error, file=sys.stderr)
        return 2
    show(result)
    print(f"\nwritten to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
