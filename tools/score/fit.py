"""Fit the sweep score, evaluate it on corpora it has not seen, and write it into the package.

    python -m tools.score.fit --corpora DIR [--write]

Needs scikit-learn in addition to querybudget. Nothing is set for any corpus by name. Contents of
`querybudget.coverage.weights`:

    MEAN, SPREAD   mean and spread of every rate of honest callers, over the number of calls
    WEIGHT, BIAS   of a logistic regression without gateways, whose content is that of a sweep
    SUSPECT        evidence that at most `MAX_FALSE_SHARE` of honest persons and applications ever
                   reach in their whole life, in cross-validation by corpus: each is scored with a
                   fit that saw neither its corpus nor the others of its fold
    POOL_SUSPECT   the same for pools, by the number of their identities
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from tools.score.evaluation import HONEST, UNSCORED, evaluate, formatted, found_shares
from tools.score.model import Model, fit
from tools.score.pools import evaluate_pools
from tools.score.streams import Streams, streams
from tools.score.write import write

DRAWS = 20


def main() -> None:
    """Fit, evaluate, and write with `--write`."""
    parser = argparse.ArgumentParser(description="Fit the sweep score.")
    parser.add_argument("--corpora", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--write", action="store_true", help="write querybudget.coverage.weights")
    arguments = parser.parse_args()
    start = time.perf_counter()
    every = streams(arguments.corpora, DRAWS)
    print(f"{len(every.observations)} streams of {len(np.unique(every.corpus))} corpora")
    suspect = evaluate(every)
    pools = evaluate_pools(every)
    used = every.kind != "gateway"
    final = fit(every.rates[used], every.swept[used], every.corpus[used])
    _print_final(every, final, suspect)
    if arguments.write:
        write(final, suspect, pools, sorted(np.unique(every.corpus[used])))
    print(f"{time.perf_counter() - start:.0f} s")


def _print_final(every: Streams, final: Model, suspect: float) -> None:
    evidence = final.evidence(every.rates)
    evidence[:, :UNSCORED] = -np.inf
    within = found_shares(every, evidence, suspect)
    print(f"fitted on all:         broad {formatted(within[0])}  narrow {formatted(within[1])}")
    for kind in (*HONEST, "gateway"):
        over = evidence[every.kind == kind].max(1) > suspect
        print(f"    {kind:8} {over.sum()} of {len(over)} suspected")


if __name__ == "__main__":
    main()
